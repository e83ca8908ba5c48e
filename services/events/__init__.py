"""Business events on their way in: files, publishing, tagging, and what each becomes in the ledger."""
