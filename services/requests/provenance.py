"""The open duties to inform people where their data comes from (GDPR 14(3)), and those that erasure ends.

Once the data is erased everywhere, the duty is over: what the notice would be about is not processed any
more, and sending it would take keeping the very data that had to go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, and_, case, exists, func, select

from services.ledger import tables
from services.ledger.facts import LedgerFacts, load_record_facts, load_tagged_events
from services.policy.ids import record_id
from services.policy.model import Policy
from services.policy.retention_windows import compute_window
from services.policy.tagged_event import TaggedEvent
from services.requests.subject_data import CommandSummary, load_commands
from services.storage.bulk import update_each

_PROVEN = ("erased", "attested")
_CHUNK_SIZE = 500


class OpenDuty(NamedTuple):
    """A duty that has not ended; instants are UTC."""

    subject: str
    event: str
    """The id of the event that reports the data as obtained."""
    type: str
    obtained_at: datetime
    inform_by: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DutyCounts:
    """The open duties, for metrics and alerts."""

    open: Mapping[str, int]
    """By what limits the time: the month, a contact or a disclosure."""
    late: int
    time_left: Mapping[str, timedelta]
    """The time to the nearest limit, by the same; below 0 once that has passed."""


def list_duties(connection: Connection) -> Iterator[OpenDuty]:
    """Yield the open duties, the most urgent first."""
    column, event = tables.provenance.c, tables.event.c
    query = (
        select(column.subject, event.id, event.type, column.at, column.inform_by, column.reason)
        .join(tables.event, event.event_id == column.event_id)
        .where(_is_open())
        .order_by(column.inform_by, column.event_id)
    )
    yield from (OpenDuty(*row) for row in connection.execute(query))


def open_events(connection: Connection, subject: str) -> Sequence[UUID]:
    """Return the events of a person's open duties, by id."""
    column = tables.provenance.c
    query = select(column.event_id).where(column.subject == subject, _is_open())
    return list(connection.execute(query.order_by(column.event_id)).scalars())


def count_duties(connection: Connection, now: datetime) -> DutyCounts:
    """Count the open duties at `now`, UTC."""
    column = tables.provenance.c
    late = func.sum(case((column.inform_by < now, 1), else_=0))
    duties, nearest = func.count().label("duties"), func.min(column.inform_by).label("nearest")
    query = select(column.reason, duties, late.label("late"), nearest).where(_is_open())
    rows = connection.execute(query.group_by(column.reason)).all()
    return DutyCounts(
        open={row.reason: row.duties for row in rows},
        late=sum(int(row.late) for row in rows),
        time_left={row.reason: row.nearest - now for row in rows},
    )


def end_erased_duties(connection: Connection, policy: Policy, now: datetime) -> int:
    """End the open duties about data that is proven to be erased everywhere; return how many ended."""
    ended = 0
    last = UUID(int=0)
    while rows := _partly_erased(connection, last):
        erased = _erased_at(connection, rows, policy, now)
        changes = [{"event_id": key, "erased_at": at} for key, at in sorted(erased.items())]
        update_each(connection, tables.provenance, changes)
        ended += len(changes)
        last = rows[-1].event_id
    return ended


def _is_open() -> Any:
    column = tables.provenance.c
    return and_(
        column.inform_by.is_not(None), column.informed_at.is_(None), column.erased_at.is_(None)
    )


def _partly_erased(connection: Connection, after: UUID) -> list[Any]:
    """Return the next open duties of whose data at least one system has proven its erasure."""
    column, record = tables.provenance.c, tables.record.c
    member, command = tables.member.c, tables.command.c
    erased = exists().where(
        member.record_id == record.record_id,
        member.live.is_(True),
        command.command_id == member.command_id,
        command.action == "erase",
        command.state.in_(_PROVEN),
    )
    query = (
        select(column.event_id, column.subject)
        .join(tables.record, record.event_id == column.event_id)
        .where(record.subject == column.subject, _is_open(), erased, column.event_id > after)
        .order_by(column.event_id)
        .limit(_CHUNK_SIZE)
    )
    return list(connection.execute(query))


def _erased_at(
    connection: Connection, rows: Sequence[Row[Any]], policy: Policy, now: datetime
) -> Mapping[UUID, datetime]:
    """Return when the data of events was proven to be erased in the last of its systems, by event."""
    tagged = load_tagged_events(connection, [row.event_id for row in rows], policy)
    pairs = [(tagged[row.event_id], row.subject) for row in rows]
    facts = load_record_facts(connection, pairs, policy)
    keys = {
        row.event_id: record_id(row.event_id, event.source, event.id, subject)
        for row, (event, subject) in zip(rows, pairs, strict=True)
    }
    commands = load_commands(connection, keys.values())
    found = {
        row.event_id: _proven_at(
            event, subject, facts, commands.get(keys[row.event_id], {}), policy, now
        )
        for row, (event, subject) in zip(rows, pairs, strict=True)
    }
    return {key: at for key, at in found.items() if at is not None}


def _proven_at(
    event: TaggedEvent,
    subject: str,
    facts: LedgerFacts,
    commands: Mapping[tuple[str, str], CommandSummary],
    policy: Policy,
    now: datetime,
) -> datetime | None:
    """Return when the last system's erasure was proven; None while one of them is due to have data."""
    proven = []
    for holding in event.by_subject.get(subject, ()):
        for system, due in compute_window(holding, event.time, facts, policy).due_at.items():
            command = commands.get((system, "erase"))
            if due is None or due > now or command is None or command.state not in _PROVEN:
                return None
            proven.append(command.settled_at or now)
    return max(proven, default=None)
