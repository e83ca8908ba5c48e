"""Evidence: a chained, signed log of what was decided, commanded, acknowledged and verified."""
