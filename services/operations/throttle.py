"""Run periodic work of a role's loop at most every few seconds, never while metrics are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Generic, TypeVar

T = TypeVar("T")

_MAX_TIME_SHARE = 20
"""The work takes at most one part in so many of the role's time."""


@dataclass(slots=True, kw_only=True)
class Throttled(Generic[T]):
    """Periodic work that a role's loop does beside its main work, such as measuring or sealing."""

    run: Callable[[], T]
    interval_seconds: float
    """The least time between two runs; after a slow run it is longer."""
    monotonic_seconds: Callable[[], float] = monotonic
    """A monotonic clock, in seconds."""
    _next_run_at: float = float("-inf")

    def run_if_due(self) -> T | None:
        """Run the work if it is due, and return its result; None if it is not due."""
        started_at = self.monotonic_seconds()
        if started_at < self._next_run_at:
            return None
        result = self.run()
        duration = self.monotonic_seconds() - started_at
        self._next_run_at = started_at + max(self.interval_seconds, _MAX_TIME_SHARE * duration)
        return result
