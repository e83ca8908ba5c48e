"""The database, and what every consumer keeps in it: offsets, gaps, dead letters, pauses, operators."""
