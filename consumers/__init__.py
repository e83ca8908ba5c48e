"""The roles that read the bus: thin loops around what `services` does."""
