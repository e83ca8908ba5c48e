"""Everything that uses Kafka brokers: clients, security, topics and their retention, trace headers."""
