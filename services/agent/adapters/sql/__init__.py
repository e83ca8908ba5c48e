"""SQL: a system whose rows the agent itself erases, restricts, counts and tells."""
