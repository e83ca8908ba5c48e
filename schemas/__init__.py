"""What crosses the bus: events, topics and the bytes they travel in. Imports nothing else of ours."""
