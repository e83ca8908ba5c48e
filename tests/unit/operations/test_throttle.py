"""Measurements are throttled: not too often, and never for long."""

from __future__ import annotations

from services.operations.throttle import Throttled


class Slow:
    """A measurement that takes so many seconds of its own clock."""

    def __init__(self, seconds: float) -> None:
        self.at = 0.0
        self.seconds = seconds
        self.begun: list[float] = []

    def __call__(self) -> None:
        self.begun.append(self.at)
        self.at += self.seconds


def begun(took: float, until: float) -> list[float]:
    """Return when measurements begin, if one is tried every second."""
    slow = Slow(took)
    measuring = Throttled(run=slow, interval_seconds=5, monotonic_seconds=lambda: slow.at)
    while slow.at < until:
        measuring.run_if_due()
        slow.at += 1
    return slow.begun


def test_a_quick_measurement_is_done_every_five_seconds() -> None:
    """The first at once."""
    assert begun(took=0, until=12) == [0, 5, 10]


def test_a_slow_measurement_takes_a_twentieth_of_the_time() -> None:
    """One that takes a second is done every twenty."""
    assert begun(took=1, until=50) == [0, 20, 40]
