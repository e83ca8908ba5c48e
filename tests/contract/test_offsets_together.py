"""Positions on PostgreSQL, where several processes of a role write at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from services.storage import offsets
from services.storage.database import Database
from services.storage.offsets import Fenced, OffsetAdvance, PartitionId

ROLE = "recorder"
LOGS = [
    PartitionId(cluster_id="c1", topic="retention.tagged.v1", topic_id="t1", partition=number)
    for number in range(6)
]


def run_together(*works: Callable[[], None]) -> list[str]:
    """Do the work in parallel, and return the results, sorted."""
    ready = Barrier(len(works))

    def run(work: Callable[[], None]) -> str:
        ready.wait()
        try:
            work()
        except Fenced:
            return "fenced"
        return "done"

    with ThreadPoolExecutor(len(works)) as pool:
        return sorted(pool.map(run, works))


def batch(
    ledger: Database, expected: int | None, to: int, logs: list[PartitionId]
) -> Callable[[], None]:
    def write() -> None:
        with ledger.transaction() as connection:  # which does not try again after a deadlock
            advances = [OffsetAdvance(log=log, expected=expected, next=to) for log in logs]
            offsets.advance_offsets(connection, ROLE, advances)

    return write


@pytest.mark.parametrize("start", [None, 5], ids=["never read", "read before"])
def test_of_two_batches_from_one_position_one_counts(
    postgres_ledger: Database, start: int | None
) -> None:
    """A process that was taken for dead and returns writes nothing."""
    if start is not None:
        batch(postgres_ledger, None, start, LOGS)()
    works = [batch(postgres_ledger, start, 9, LOGS) for _ in range(4)]
    assert run_together(*works) == ["done", "fenced", "fenced", "fenced"]


def test_partitions_in_any_order_make_no_deadlock(postgres_ledger: Database) -> None:
    """Rows are locked in sorted order, whatever order the bus gave them in."""
    batch(postgres_ledger, None, 0, LOGS)()
    for number in range(20):
        works = [
            batch(postgres_ledger, number, number + 1, logs) for logs in (LOGS, LOGS[::-1], LOGS)
        ]
        assert run_together(*works) == ["done", "fenced", "fenced"]
