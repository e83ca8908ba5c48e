"""What the roles do becomes metrics and logs."""
