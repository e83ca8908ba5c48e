"""Durations in rules, and shorter ones for a test that cannot wait for hours."""

from __future__ import annotations

from dataclasses import dataclass

MINUTE = 60.0
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_SHORTEST = 5.0
"""The shortest window, in seconds: a rate needs several scrapes, which such a test makes every second."""
_UNITS = ((DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (1.0, "s"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeScale:
    """Divides every duration of the rules by `divisor`; 1 in production."""

    divisor: float = 1.0

    def seconds(self, real: float) -> float:
        """Return a threshold in seconds."""
        return real / self.divisor

    def promql_seconds(self, real: float) -> str:
        """Return a threshold in seconds, as PromQL writes it."""
        return f"{self.seconds(real):g}"

    def for_duration(self, real: float) -> str:
        """Return a duration for an alert's `for`."""
        return _text(self.seconds(real))

    def range_window(self, real: float) -> str:
        """Return the window of a range, as PromQL writes it."""
        return _text(max(self.seconds(real), min(real, _SHORTEST)))


PRODUCTION = TimeScale()


def _text(seconds: float) -> str:
    for size, unit in _UNITS:
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds * 1000:.0f}ms"
