"""Compare two runs of the benchmarks: which figures became worse by more than noise."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from schemas.errors import TermijnError

Verdict = Literal["worse", "better", "same", "new", "gone"]


class UnreadableFigures(TermijnError):
    """A file is not the output of `python -m tests.benchmarks all --json`."""

    def __init__(self, file: str, line: int, why: str) -> None:
        super().__init__(f"{file}:{line}: {why}")
        self.file = file
        self.line = line


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureComparison:
    """One figure in both runs; its ratio where it has one, else its value."""

    name: str
    old: float | None
    new: float | None
    verdict: Verdict

    @property
    def change(self) -> float | None:
        """Return the change as a part of the old figure."""
        return self.new / self.old - 1 if self.old and self.new is not None else None


def read(path: Path) -> dict[str, Mapping[str, Any]]:
    """Return the figures of one run, by name.

    Raises:
        UnreadableFigures: a line is not one figure.
    """
    figures = {}
    try:
        lines = path.read_text("utf-8").splitlines()
    except ValueError as cause:
        raise UnreadableFigures(str(path), 0, "is not UTF-8") from cause
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            figures[str(row["name"])] = row
            _measure(row)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as cause:
            raise UnreadableFigures(str(path), number, f"is no figure: {cause}") from cause
    return figures


def compare(
    old: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]], tolerance: float
) -> Iterator[FigureComparison]:
    """Return each figure of either run, in the new run's order; `tolerance` is a part, such as 0.15."""
    for name in [*new, *(name for name in old if name not in new)]:
        before, after = _measure(old.get(name)), _measure(new.get(name))
        yield FigureComparison(
            name=name,
            old=before,
            new=after,
            verdict=_verdict(before, after, (new.get(name) or old[name])["reach"], tolerance),
        )


def _measure(row: Mapping[str, Any] | None) -> float | None:
    if row is None:
        return None
    by_value = str(row["reach"] or "").startswith("value")
    ratio = row["ratio"]
    return float(row["value"] if ratio is None or by_value else ratio)


def _verdict(old: float | None, new: float | None, reach: str | None, tolerance: float) -> Verdict:
    if old is None:
        return "new"
    if new is None:
        return "gone"
    if abs(new - old) <= tolerance * abs(old):
        return "same"
    more_is_better = ">=" in (reach or "")
    return "better" if (new > old) == more_is_better else "worse"
