"""Whether a run of the deleter has anything to do: one query, so that waiting costs nearly nothing."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, exists, or_, select

from services.ledger import tables


def has_due_work(connection: Connection, now: datetime) -> bool:
    """Return whether a record, a scan, an attempt or a verification is due by `now`, UTC.

    Data that an import holds back is not.
    """
    record, clock, subject = tables.record.c, tables.clock.c, tables.subject.c
    command = tables.command.c
    due = (
        exists().where(
            record.next_due <= now, record.next_due.is_not(None), record.backfill.is_(None)
        ),
        exists().where(
            clock.next_due <= now, clock.next_due.is_not(None), clock.backfill.is_(None)
        ),
        exists().where(subject.next_due <= now, subject.next_due.is_not(None)),
        exists().where(command.next_attempt_at <= now, command.next_attempt_at.is_not(None)),
        exists().where(command.follow_up_at <= now, command.follow_up_at.is_not(None)),
    )
    return bool(connection.execute(select(or_(*due))).scalar_one())
