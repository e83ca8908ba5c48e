"""The ledger: the only state. Facts are a function of the set of events; the journal is history."""
