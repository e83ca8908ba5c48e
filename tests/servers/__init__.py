"""A real Kafka and a real PostgreSQL on loopback, started for tests and benchmarks and ended with them."""
