"""The deleter: claims what is due, and sends each system its commands until it acknowledges them."""
