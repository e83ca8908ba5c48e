"""A measured figure, and the target that it is held against."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from tests.benchmarks.environment import Stage


class ResultsDiffer(RuntimeError):
    """Two ways to do the same work gave different results, so there is nothing to compare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The limit of a figure: its ratio, or its value, must be at most or at least this."""

    subject: Literal["ratio", "value"] = "ratio"
    limit: float
    direction: Literal["at_most", "at_least"]

    def __str__(self) -> str:
        return f"{self.subject} {'<=' if self.direction == 'at_most' else '>='} {self.limit:g}"

    def is_met(self, measured: float) -> bool:
        """Return whether a measured ratio or value meets the target."""
        return measured <= self.limit if self.direction == "at_most" else measured >= self.limit


def upper(limit: float, subject: Literal["ratio", "value"] = "ratio") -> Target:
    """Return a target that must not be exceeded."""
    return Target(subject=subject, limit=limit, direction="at_most")


def lower(limit: float, subject: Literal["ratio", "value"] = "ratio") -> Target:
    """Return a target that must be reached."""
    return Target(subject=subject, limit=limit, direction="at_least")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured figure with the baseline from the same run."""

    name: str
    value: float
    unit: str
    baseline: float | None = None
    """In the same unit; None where the figure has no baseline."""
    reach: Target | None = None
    runs: int = 1

    @property
    def ratio(self) -> float | None:
        """Return value divided by baseline."""
        return self.value / self.baseline if self.baseline else None

    @property
    def met(self) -> bool | None:
        """Return whether the target was met; None without a target."""
        if self.reach is None:
            return None
        measured = self.value if self.reach.subject == "value" else self.ratio
        return measured is not None and self.reach.is_met(measured)

    def as_row(self) -> dict[str, Any]:
        """Return the figure as `python -m tests.benchmarks all --json` prints it."""
        ratio = self.ratio
        return {
            "name": self.name,
            "value": _round_number(self.value),
            "unit": self.unit,
            "baseline": None if self.baseline is None else _round_number(self.baseline),
            "ratio": None if ratio is None else _round_number(ratio),
            "reach": None if self.reach is None else str(self.reach),
            "met": self.met,
            "runs": self.runs,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One benchmark: its name, what it measures, and its function; it may yield several figures."""

    name: str
    title: str
    measure: Callable[[Stage], Iterator[Figure]]


def _round_number(number: float) -> float:
    return float(f"{number:.4g}")
