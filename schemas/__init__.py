"""What crosses Kafka: events, topics and their encoding. Imports nothing from the rest of Termijn."""
