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

    measure: Callable[[], object]
    seconds: float
    """Not sooner again than after these; after a slow one, later."""
    clock: Callable[[], float] = monotonic
    """Seconds that never go back."""
    _next: float = float("-inf")

    def now_and_then(self) -> None:
        """Measure, if it is time again."""
        begun = self.clock()
        if begun < self._next:
            return
        self.measure()
        took = self.clock() - begun
        self._next = begun + max(self.seconds, _MAX_TIME_SHARE * took)
