"""Other processes beside the test's own, as threads with connections of their own, on PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from sqlalchemy import text

from services.storage.database import Ledger

PATIENCE_SECONDS = 30.0


@contextmanager
def others(count: int = 4) -> Iterator[ThreadPoolExecutor]:
    """Other processes, as threads with connections of their own."""
    with ThreadPoolExecutor(count) as pool:
        yield pool


def is_waiting(ledger: Ledger) -> bool:
    """Whether some session waits for a lock of another."""
    with ledger.transaction() as connection:
        found = connection.execute(
            text(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        )
        return bool(found.scalar_one())


def wait_until_it_waits(ledger: Ledger, task: Future[Any]) -> None:
    """Until the task stands before a lock; one that has ended never will."""
    pause = threading.Event()
    for _ in range(int(PATIENCE_SECONDS / 0.02)):
        if is_waiting(ledger):
            return
        assert not task.done(), task.result()
        pause.wait(0.02)
    raise AssertionError("nobody waited")
