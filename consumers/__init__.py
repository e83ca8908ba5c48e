"""The roles that read Kafka: each is a loop that passes messages to functions of `services`."""
