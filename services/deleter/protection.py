"""Write commands that protect a person, such as restrictions, while erasures have to wait.

A pause, a drain, the hourly cap or an unread message holds back erasures. It must not hold back the recall
of a command under a legal hold, or the restriction of data under an objection.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, select

from services.deleter.claim import MAX_RECORDS_PER_COMMAND
from services.deleter.record_planning import group_into_commands, plan_obligations
from services.ledger import outbox, tables
from services.ledger.due import is_due
from services.ledger.facts import load_tagged_events
from services.ledger.rows import RECORD_COLUMNS, record_rows
from services.policy.actions import PROTECTIVE
from services.policy.model import Policy
from services.policy.obligation import Obligation
from services.policy.tagged_event import TaggedEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanPosition:
    """How far a scan has come: a subject, and its last record if some of its records are left."""

    subject: str = ""
    record: UUID | None = None
    records_scanned: int = 0
    """How many records the last step has read."""


def protect(
    connection: Connection, policy: Policy, now: datetime, position: ScanPosition
) -> ScanPosition | None:
    """Plan one more chunk of records of subjects with new privacy events; return None after the last.

    This cancels or recalls commands that are no longer required, and writes those that protect. The scans
    of claims do not advance: a later claim checks all of these records. `now` is UTC, by the database's
    clock.
    """
    subject = (
        position.subject if position.record else _next_subject(connection, position.subject, now)
    )
    if subject is None:
        return None
    record = tables.record.c
    query = select(*RECORD_COLUMNS).where(record.subject == subject, record.backfill.is_(None))
    if position.record is not None:
        query = query.where(record.record_id > position.record)
    query = query.order_by(record.record_id).limit(MAX_RECORDS_PER_COMMAND)
    rows = record_rows(connection.execute(query))
    events = load_tagged_events(connection, {row.event_id for row in rows}, policy)
    planned = plan_obligations(connection, rows, events, policy, now, (), _is_postponed)
    drafts = group_into_commands(planned.obligations)
    outbox.insert_commands(connection, drafts, policy.version, now)
    has_more = len(rows) == MAX_RECORDS_PER_COMMAND
    return ScanPosition(
        subject=subject, record=rows[-1].record_id if has_more else None, records_scanned=len(rows)
    )


def _is_postponed(step: Obligation, _: TaggedEvent, __: str) -> bool:
    return step.action not in PROTECTIVE


def _next_subject(connection: Connection, subject: str, now: datetime) -> str | None:
    """Return the next subject, by name, whose records are due to be scanned."""
    column = tables.subject.c
    query = (
        select(column.subject)
        .where(is_due(column.next_due, now), column.subject > subject)
        .order_by(column.subject)
        .limit(1)
    )
    name: str | None = connection.execute(query).scalar_one_or_none()
    return name
