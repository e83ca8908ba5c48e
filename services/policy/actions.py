"""Actions: what a command may tell a system to do, by what each of them can do wrong."""

from __future__ import annotations

PROTECTIVE = frozenset({"recall", "restrict"})
"""What protects data or a person: nothing holds it up, no pause, drain, cap or unread message."""
HARMLESS = PROTECTIVE | {"verify", "disclose", "rectify"}
"""What breaks no promise whatever may lie unread: it may leave while the deleter is blind."""
ABOUT_COMMANDS = frozenset({"recall", "verify"})
"""What is about the records of another command, and does nothing to them itself."""
