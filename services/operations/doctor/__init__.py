"""The doctor: checks all that a role needs before it starts, and names the fix for each error."""
