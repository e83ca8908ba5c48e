"""Pace: how long things take in rules, and the same for a test that cannot wait for hours."""

from __future__ import annotations

from dataclasses import dataclass

MINUTE = 60.0
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_SHORTEST = 5.0
"""No window is shorter: a rate needs several scrapes, which such a test makes every second."""
_UNITS = ((DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (1.0, "s"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeScale:
    """Every duration of the rules is divided by `hasten`; 1 in production."""

    divisor: float = 1.0

    def seconds(self, real: float) -> float:
        """A threshold in seconds."""
        return real / self.divisor

    def promql_seconds(self, real: float) -> str:
        """The same, as PromQL has it."""
        return f"{self.seconds(real):g}"

    def for_duration(self, real: float) -> str:
        """How long something must last before it counts, as `for` has it."""
        return _text(self.seconds(real))

    def range_window(self, real: float) -> str:
        """How far a range looks back."""
        return _text(max(self.seconds(real), min(real, _SHORTEST)))


PRODUCTION = TimeScale()


def _text(seconds: float) -> str:
    for size, unit in _UNITS:
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds * 1000:.0f}ms"
