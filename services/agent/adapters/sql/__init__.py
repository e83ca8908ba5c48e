"""The SQL adapter: the agent erases, restricts, corrects, discloses and counts rows itself."""
