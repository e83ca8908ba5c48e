"""Requests of data subjects, answered: what was done, what is kept and why (GDPR 12-20)."""
