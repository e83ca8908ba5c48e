"""Each role, put together from its parts."""
