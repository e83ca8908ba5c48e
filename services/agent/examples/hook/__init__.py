"""An example of an agent with a hook: letters in a directory."""
