"""Evidence: a chained, signed log of what was decided, commanded, answered and proven."""
