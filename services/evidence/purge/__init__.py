"""Forgetting: the ledger is a system with a retention of its own."""
