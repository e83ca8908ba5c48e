"""The records that a command is about, and whether the clocks that it depends on have changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, or_, select

from services.ledger import tables
from services.storage.bulk import select_in


class MemberRecord(NamedTuple):
    """A record of a command, with the columns that decide about it."""

    command_id: UUID
    record_id: UUID
    step: str
    event_id: UUID
    subject: str
    backfill: str | None


def load_records(
    connection: Connection, commands: Collection[UUID]
) -> Mapping[UUID, list[MemberRecord]]:
    """Return the records of each command, in the order of their ids."""
    member, record = tables.member.c, tables.record.c
    query = (
        select(
            *(member.command_id, member.record_id, member.step),
            *(record.event_id, record.subject, record.backfill),
        )
        .join(tables.record, record.record_id == member.record_id)
        .order_by(member.command_id, member.record_id)
    )
    records: defaultdict[UUID, list[MemberRecord]] = defaultdict(list)
    for row in select_in(connection, query, member.command_id, commands):
        records[row.command_id].append(MemberRecord._make(row))
    return records


def with_changed_clocks(connection: Connection, commands: Collection[UUID]) -> set[UUID]:
    """Return the commands that depend on a clock which has changed since, or is held back by an import."""
    column = tables.command_clock.c
    query = (
        select(column.command_id)
        .join(tables.clock, tables.clock.c.clock_id == column.clock_id)
        .where(or_(tables.clock.c.epoch != column.epoch, tables.clock.c.backfill.is_not(None)))
    )
    return {row.command_id for row in select_in(connection, query, column.command_id, commands)}
