"""The composition root: settings, the wiring of each role, the command line."""
