"""Adapters: the ways in which a command reaches the system."""
