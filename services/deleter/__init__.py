"""The deleter: creates commands for due records, and sends each until its system acknowledges it."""
