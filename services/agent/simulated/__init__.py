"""Simulated downstream systems, for trying Termijn out: they hold data and carry out commands."""
