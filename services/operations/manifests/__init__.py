"""What a deployment is given, written from the same descriptions that the code runs on."""
