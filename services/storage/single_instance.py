"""Locks that keep a second process away from a database that only one may work on."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import text

from schemas.errors import TermijnError
from services.storage.database import Database
from services.storage.files import private_opener

_ADVISORY_LOCK_ID: Final = 0x7465726D
"""Any number: the lock is in the inbox's own database."""


class AlreadyRunning(TermijnError):
    """Another process works on the database; this one has refused to start, or has stopped.

    The operator stops the other one. Where one should stand in for another, its supervisor starts it
    again until it gets its turn. Several deleters may run on PostgreSQL.
    """


@contextmanager
def deleter_lock(ledger: Database) -> Iterator[None]:
    """Keep every other deleter away from a SQLite ledger while the block lasts.

    Raises:
        AlreadyRunning: there is one already.
    """
    with _file_lock(
        ledger, "deleter", "ledger: another deleter holds {lock}; on SQLite only one can run"
    ):
        yield


@contextmanager
def inbox_lock(inbox: Database) -> Iterator[Callable[[], None]]:
    """Keep every other agent away from an inbox while the block lasts; yield a check that it still does.

    Raises:
        AlreadyRunning: there is one already.
    """
    problem = "inbox: another agent works on it; only one can run"
    if inbox.is_sqlite:
        with _file_lock(inbox, "agent", problem):
            yield lambda: None
        return
    with inbox.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.detach()  # closed at the end, not kept for the next: the lock is the session's
        acquired = connection.execute(
            text("SELECT pg_try_advisory_lock(:lock)"), {"lock": _ADVISORY_LOCK_ID}
        )
        if not acquired.scalar_one():
            raise AlreadyRunning(problem)
        # A session that has ended has lost its lock, and then this raises.
        yield lambda: connection.execute(text("SELECT 1")).close()


@contextmanager
def _file_lock(database: Database, suffix: str, problem: str) -> Iterator[None]:
    """Hold a lock on a file beside a SQLite database; one in memory needs none, nor does PostgreSQL."""
    if not database.is_sqlite or not database.engine.url.database:
        yield
        return
    lock = f"{database.engine.url.database}.{suffix}"
    with open(lock, "w", opener=private_opener) as file:  # `Path` takes none
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as cause:
            raise AlreadyRunning(problem.format(lock=lock)) from cause
        yield
