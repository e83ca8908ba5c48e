"""What Termijn knows and does: the policy, the ledger, the deleter, and the adapters around them."""
