"""The log itself: what its topics promise, what the brokers do, and what is to be done."""
