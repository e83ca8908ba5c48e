"""Measuring: what takes a look at the ledger is measured now and then, never at each scrape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

_MAX_TIME_SHARE = 20
"""A measurement takes no more than one part in so many of a role's time."""


@dataclass(slots=True, kw_only=True)
class Throttled:
    """A measurement that a role's loop does beside its work."""

    run: Callable[[], object]
    interval_seconds: float
    """Not sooner again than after these; after a slow one, later."""
    monotonic_seconds: Callable[[], float] = monotonic
    """Seconds that never go back."""
    _next_run_at: float = float("-inf")

    def run_if_due(self) -> None:
        """Measure, if it is time again."""
        begun = self.monotonic_seconds()
        if begun < self._next_run_at:
            return
        self.run()
        took = self.monotonic_seconds() - begun
        self._next_run_at = begun + max(self.interval_seconds, _MAX_TIME_SHARE * took)
