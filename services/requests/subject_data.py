"""Reads what the ledger has on one data subject: records, the facts that decide on them, and commands.

A subject may have millions of records, so they come in chunks of a bounded size.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, select

from services.ledger import tables
from services.ledger.command_state import CARRIED_OUT
from services.ledger.facts import LedgerFacts, load_record_facts
from services.policy.model import Policy
from services.policy.tagged_event import TaggedEvent
from services.storage.bulk import select_in

_CHUNK_SIZE = 2_000


class CommandSummary(NamedTuple):
    """The active command that covers one obligation for a record."""

    command_id: UUID
    created_at: datetime
    reason: str
    state: str
    outcome: str | None
    settled_at: datetime | None
    escalated: bool
    sent_at: datetime | None
    ground: str | None
    acknowledged_at: datetime | None
    message_id: int | None
    item: int | None

    @property
    def is_done(self) -> bool:
        """Whether the system has acknowledged that it carried the command out."""
        return self.state in CARRIED_OUT


def record_chunks(connection: Connection, subject: str) -> Iterator[Sequence[Row[Any]]]:
    """Yield the records of a subject in chunks, by id; events that are held back are left out."""
    record = tables.record.c
    query = (
        select(record.record_id, record.event_id)
        .where(record.subject == subject, record.backfill.is_(None))
        .order_by(record.record_id)
        .limit(_CHUNK_SIZE)
    )
    rows: Sequence[Any] = connection.execute(query).all()
    while rows:
        yield rows
        rows = connection.execute(query.where(record.record_id > rows[-1].record_id)).all()


def load_subject_facts(
    connection: Connection, subject: str, events: Sequence[TaggedEvent], policy: Policy
) -> LedgerFacts:
    """Return the facts that decide on a subject's holdings in these events."""
    subjects = {subject} | {name for event in events for name in event.subjects}
    return load_record_facts(connection, [(event, subject) for event in events], policy, subjects)


def load_commands(
    connection: Connection, records: Collection[UUID]
) -> Mapping[UUID, Mapping[tuple[str, str], CommandSummary]]:
    """Return the active commands of each record, by system and obligation."""
    member, command = tables.member.c, tables.command.c
    query = (
        select(member.record_id, member.system, member.step, member.command_id)
        .add_columns(command.created_at, tables.wording.c.reason, command.state)
        .add_columns(command.outcome, command.settled_at)
        .add_columns(command.escalated_at, command.first_sent_at)
        .add_columns(command.ground, command.acknowledged_at)
        .add_columns(command.message_id, command.item)
        .join(tables.command, command.command_id == member.command_id)
        .join(tables.wording, tables.wording.c.wording_id == command.wording_id)
        .where(member.live)
    )
    rows = list(select_in(connection, query, member.record_id, records))
    by_record: defaultdict[UUID, dict[tuple[str, str], CommandSummary]] = defaultdict(dict)
    for row in rows:
        by_record[row.record_id][row.system, row.step] = CommandSummary(
            command_id=row.command_id,
            created_at=row.created_at,
            reason=row.reason,
            state=row.state,
            outcome=row.outcome,
            settled_at=row.settled_at,
            escalated=row.escalated_at is not None,
            sent_at=row.first_sent_at,
            ground=row.ground if row.state == "refused" else None,
            acknowledged_at=row.acknowledged_at,
            message_id=row.message_id,
            item=row.item,
        )
    return by_record
