"""The deleter: claims what is due, tells the systems, and goes on until each has answered."""
