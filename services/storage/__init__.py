"""The database and what every consumer stores in it: offsets, gaps, dead letters, pauses, operator log."""
