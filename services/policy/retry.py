"""How long to wait before something is tried again."""

from __future__ import annotations

from datetime import timedelta


def backoff(base: timedelta, cap: timedelta, attempt: int) -> timedelta:
    """Return the wait after an attempt, counted from 1: `base`, twice that, four times, ... up to `cap`."""
    doubled: timedelta = base * (1 << min(attempt - 1, 30))
    return min(cap, doubled)
