"""The one root of every error that Termijn knows."""

from __future__ import annotations


class TermijnError(Exception):
    """Something is wrong that Termijn knows about; its text is one clear line for the operator."""
