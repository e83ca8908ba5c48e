"""Threads with database connections of their own that act as other processes, on PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import sleep
from typing import Any

from sqlalchemy import Connection, text

from services.storage.database import Database
from tests.patience import Patience

PATIENCE_SECONDS = 300.0


@contextmanager
def worker_threads(count: int = 4) -> Iterator[ThreadPoolExecutor]:
    """Yield an executor whose threads act as other processes, with connections of their own."""
    with ThreadPoolExecutor(count) as pool:
        yield pool


@dataclass
class ConcurrentTransaction:
    """A transaction of another process, which commits when the test lets it."""

    ledger: Database
    work: Callable[[Connection], object]
    pool: ThreadPoolExecutor
    is_done: threading.Event = field(default_factory=threading.Event)
    may_commit: threading.Event = field(default_factory=threading.Event)
    task: Future[None] | None = None

    def begin(self) -> None:
        """Do the work until it is done or waits for a lock; its error is raised by `end`."""
        self.task = self.pool.submit(self.ledger.run_in_transaction, self._work)
        patience = Patience(PATIENCE_SECONDS)
        while not (self.is_done.is_set() or self.task.done() or is_lock_awaited(self.ledger)):
            assert not patience.is_over
            sleep(0.01)

    def commit(self) -> None:
        """Commit at once, or as soon as the lock that it waits for is free."""
        self.may_commit.set()
        if self.is_done.is_set():
            self.end()

    def end(self) -> None:
        """Wait until the transaction is over, and raise its error if it had one."""
        assert self.task is not None
        self.task.result(PATIENCE_SECONDS)

    def _work(self, connection: Connection) -> None:
        self.work(connection)
        self.is_done.set()
        assert self.may_commit.wait(PATIENCE_SECONDS)


def is_lock_awaited(ledger: Database) -> bool:
    """Return whether a session waits for another session's lock."""
    with ledger.transaction() as connection:
        result = connection.execute(
            text(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        )
        return bool(result.scalar_one())


def wait_for_lock(ledger: Database, task: Future[Any]) -> None:
    """Wait until the task waits for a lock; fail if it has ended, since it never will."""
    pause = threading.Event()
    for _ in range(int(PATIENCE_SECONDS / 0.02)):
        if is_lock_awaited(ledger):
            return
        assert not task.done(), task.result()
        pause.wait(0.02)
    raise AssertionError("nobody waited")
