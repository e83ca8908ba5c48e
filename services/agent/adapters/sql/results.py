"""What an adapter reports of the rows that it found and changed."""

from __future__ import annotations

from collections.abc import Mapping

from services.agent.adapters.base import CommandTask
from services.agent.adapters.sql.statements import CommandSelection
from services.agent.result import Result, Status


class RowsRemaining(Exception):
    """Rows were still there after they were erased; the transaction is rolled back."""

    def __init__(self, table: str) -> None:
        self.table = table


def result_of_change(
    task: CommandTask, selection: CommandSelection, counts: Mapping[str, int]
) -> Result:
    """Return the result of a change of so many rows by table."""
    if not any(counts.values()) and any((task.checkpoint or {}).values()):
        # An earlier run did it, but was cut short before it reported.
        counts = dict(task.checkpoint or {})
    return build_result(selection, counts)


def build_result(selection: CommandSelection, counts: Mapping[str, int]) -> Result:
    """Return the result of so many rows by table, and of what could not be looked up."""
    has_rows = any(counts.values())
    if selection.problems:
        status: Status = "partial" if has_rows else "failed"
        return Result(status=status, counts=counts, detail="; ".join(selection.problems)[:300])
    return Result(status="done" if has_rows else "nothing_held", counts=counts)


def failed_result(detail: str) -> Result:
    """Return the result of a command that was not carried out, with the reason."""
    return Result(status="failed", detail=detail[:300])
