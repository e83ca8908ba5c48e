"""Protecting: what was said of somebody counts at once, also while nothing may be claimed.

A pause, a drain, the cap or an unread message holds back what destroys. It must not hold back that a
command which is out is recalled under a hold, or that data is restricted under an objection.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, select

from services.deleter.claim import MAX_RECORDS_PER_COMMAND, group_into_commands, plan_obligations
from services.ledger import outbox, tables
from services.ledger.facts import load_tagged_events
from services.policy.actions import PROTECTIVE
from services.policy.model import Policy
from services.policy.obligations import Obligation
from services.policy.tagging import TaggedEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanPosition:
    """How far the looks have come: a subject, and the last record of it if some are left."""

    subject: str = ""
    record: UUID | None = None
    records_scanned: int = 0
    """How many records the last look saw."""


def protect(
    connection: Connection, policy: Policy, now: datetime, position: ScanPosition
) -> ScanPosition | None:
    """Look at one more chunk of records of those of whom something was said; nothing after the last.

    Takes back what is not asked for any more, and writes what protects. It moves nothing on in the ledger:
    whoever claims later looks at all of them again. `now` is UTC, by the database's clock.
    """
    subject = (
        position.subject if position.record else _next_subject(connection, position.subject, now)
    )
    if subject is None:
        return None
    record = tables.record.c
    query = select(tables.record).where(record.subject == subject, record.backfill.is_(None))
    if position.record is not None:
        query = query.where(record.record_id > position.record)
    rows = connection.execute(query.order_by(record.record_id).limit(MAX_RECORDS_PER_COMMAND)).all()
    events = load_tagged_events(connection, {row.event_id for row in rows}, policy)
    found = plan_obligations(connection, rows, events, policy, now, (), _is_postponed)
    outbox.insert_commands(connection, group_into_commands(found.obligations), policy.version, now)
    more = len(rows) == MAX_RECORDS_PER_COMMAND
    return ScanPosition(
        subject=subject, record=rows[-1].record_id if more else None, records_scanned=len(rows)
    )


def _is_postponed(step: Obligation, _: TaggedEvent, __: str) -> bool:
    return step.action not in PROTECTIVE


def _next_subject(connection: Connection, subject: str, now: datetime) -> str | None:
    column = tables.subject.c
    query = (
        select(column.subject)
        .where(column.next_due <= now, column.next_due.is_not(None), column.subject > subject)
        .order_by(column.subject)
        .limit(1)
    )
    found: str | None = connection.execute(query).scalar_one_or_none()
    return found
