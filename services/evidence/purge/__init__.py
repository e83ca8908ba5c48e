"""The purge of the ledger itself, once the term of proof is over: it has a retention of its own."""
