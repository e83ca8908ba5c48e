"""Everything that talks to brokers: clients, security, topics and their retention, trace headers."""
