"""The ledger: the database of facts and commands. Facts depend on the set of events, not on their order."""
