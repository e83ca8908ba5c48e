"""Whether a run of the deleter has anything to do: one query, so that waiting costs nearly nothing."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, exists, or_, select

from services.ledger import tables
from services.ledger.due import is_due, is_scan_due


def has_due_work(connection: Connection, now: datetime) -> bool:
    """Return whether a record, a scan, an attempt or a verification is due by `now`, UTC.

    Data that an import holds back is not.
    """
    due = (
        is_scan_due(tables.record, now),
        is_scan_due(tables.clock, now),
        is_due(tables.subject.c.next_due, now),
        is_due(tables.command.c.next_attempt_at, now),
        is_due(tables.command.c.follow_up_at, now),
    )
    any_due = or_(*(exists().where(condition) for condition in due))
    return bool(connection.execute(select(any_due)).scalar_one())
