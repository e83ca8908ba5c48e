"""Alone: one process works on an inbox, so that what is under way is known without leases."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import text

from schemas.errors import TermijnError
from services.storage import private_files
from services.storage.database import Database

_ADVISORY_LOCK_ID = 0x7465726D  # any number; it is this inbox's database that it locks in


class AlreadyRunning(TermijnError):
    """Another agent works on this inbox; this one has refused to start, or has stopped.

    The operator stops the other one. Where one should stand in for another, its supervisor starts it
    again until it gets its turn.
    """

    def __init__(self) -> None:
        super().__init__("another agent works on this inbox")


@contextmanager
def inbox_lock(inbox: Database) -> Iterator[Callable[[], None]]:
    """Keep every other agent away while the block lasts; the answer makes sure that it still does.

    Raises:
        AlreadyRunning: there is one already.
    """
    if not inbox.is_sqlite:
        with inbox.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.detach()  # closed at the end, not kept for the next: the lock is the session's
            acquired = connection.execute(
                text("SELECT pg_try_advisory_lock(:lock)"), {"lock": _ADVISORY_LOCK_ID}
            )
            if not acquired.scalar_one():
                raise AlreadyRunning
            # A session that has ended has lost its lock, and then this raises.
            yield lambda: connection.execute(text("SELECT 1")).close()
        return
    if not inbox.engine.url.database:
        yield lambda: None
        return
    lock = f"{inbox.engine.url.database}.agent"
    with open(lock, "w", opener=private_files.opener) as file:  # `Path` takes none
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as cause:
            raise AlreadyRunning from cause
        yield lambda: None
