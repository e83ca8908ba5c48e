"""Adapters: how a command reaches the system itself."""
