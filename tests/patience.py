"""How long a test waits for what must come: in seconds of a machine that has time, not of a clock.

A limit in seconds of the clock fails where other work has the processors, and shows nothing about the
program. Linux counts how long tasks stood waiting for a processor (PSI, `/proc/pressure/cpu`); that
time does not count here, up to five sixths of all that passed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic

_PRESSURE = Path("/proc/pressure/cpu")
_LEAST_SHARE = 1 / 6


class Patience:
    """Runs out after so many seconds in which the machine had time, or after six times as many."""

    def __init__(
        self,
        seconds: float,
        *,
        clock: Callable[[], float] = monotonic,
        stalled: Callable[[], float] | None = None,
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._stalled = stalled or _stalled_seconds
        self._began, self._stalled_before = clock(), self._stalled()

    @property
    def is_over(self) -> bool:
        """Whether it is time to give up."""
        passed = self._clock() - self._began
        counted = passed - (self._stalled() - self._stalled_before)
        return max(counted, passed * _LEAST_SHARE) > self._seconds


def _stalled_seconds() -> float:
    """How long some task has waited for a processor since the machine started; 0 if not counted."""
    try:
        line = _PRESSURE.read_text("ascii").partition("\n")[0]
    except OSError:
        return 0.0
    return int(line.rpartition("total=")[2]) / 1_000_000
