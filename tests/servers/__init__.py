"""Real servers (Kafka, PostgreSQL ...) on loopback for tests and benchmarks, ended with them."""
