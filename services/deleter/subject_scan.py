"""Looks: the records of a data subject of whom something was said, chunk by chunk."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, or_, select, update

from services.ledger import tables
from services.ledger.facts import LedgerFacts
from services.policy.ids import record_id
from services.policy.tagging import TaggedEvent
from services.storage.bulk import select_in, update_in


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectScanChunk:
    """One chunk of the look at a subject's records."""

    subject: str
    due: datetime
    cursor: UUID | None
    """The last record that the look had passed before."""
    records: tuple[Row[Any], ...]
    """Without those that an import holds back."""
    last_record: UUID | None
    """The last record of the chunk; nothing when the look is over."""


def due_scans(
    connection: Connection, now: datetime, *, limit: int, max_records: int, chunk: int
) -> list[SubjectScanChunk]:
    """A chunk of each of the looks that are due: at most `limit` subjects, and hardly over `most` records.

    Their rows are not locked yet: clocks are locked before subjects. `looked` sees whether another
    deleter has been there.
    """
    column = tables.subject.c
    query = (
        select(tables.subject)
        .where(column.next_due <= now, column.next_due.is_not(None))
        .order_by(column.next_due)
        .limit(limit)
    )
    found: list[SubjectScanChunk] = []
    records = 0
    for row in connection.execute(query).all():
        if records >= max_records:
            break  # the others keep their turn
        found.append(_scan_chunk(connection, row, chunk))
        records += len(found[-1].records)
    return found


def co_subject_records(
    connection: Connection, looks: Collection[SubjectScanChunk], events: Mapping[UUID, TaggedEvent]
) -> list[Row[Any]]:
    """The records that the same events make for other subjects: pseudonymisation waits for all."""
    ids = {
        record_id(row.event_id, tagged.source, tagged.id, subject)
        for look in looks
        for row in look.records
        if len((tagged := events[row.event_id]).subjects) > 1
        for subject in tagged.subjects
    }
    query = select(tables.record).where(tables.record.c.backfill.is_(None))
    return list(select_in(connection, query, tables.record.c.record_id, ids))


def advance_scans(
    connection: Connection, looks: Collection[SubjectScanChunk], facts: LedgerFacts, now: datetime
) -> None:
    """Note how far each look has come; the subjects are locked. One that began anew stays due."""
    column = tables.subject.c
    for look in looks:
        later = [at for at in facts.subject_state(look.subject).change_times if at > now]
        due = look.due if look.last_record else min(later, default=None)
        connection.execute(
            update(tables.subject)
            .where(
                column.subject == look.subject,
                column.next_due == look.due,
                column.cursor.is_not_distinct_from(look.cursor),
            )
            .values(next_due=due, cursor=look.last_record)
        )


def postpone_scans(connection: Connection, subjects: Collection[str], at: datetime) -> None:
    """Look at these subjects' records again at an instant, UTC, or sooner; they are locked."""
    column = tables.subject.c
    later = or_(column.next_due.is_(None), column.next_due > at)
    looking = update(tables.subject).where(later).values(next_due=at, cursor=None)
    update_in(connection, looking, column.subject, sorted(subjects))


def _scan_chunk(connection: Connection, row: Row[Any], chunk: int) -> SubjectScanChunk:
    record = tables.record.c
    query = select(tables.record).where(record.subject == row.subject)
    if row.cursor is not None:
        query = query.where(record.record_id > row.cursor)
    found: Sequence[Row[Any]] = connection.execute(
        query.order_by(record.record_id).limit(chunk)
    ).all()
    return SubjectScanChunk(
        subject=row.subject,
        due=row.next_due,
        cursor=row.cursor,
        records=tuple(one for one in found if one.backfill is None),
        last_record=found[-1].record_id if len(found) == chunk else None,
    )
