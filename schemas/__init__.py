"""What crosses the bus: events, topics and their encoding. Imports nothing from the rest of Termijn."""
