"""Scan the records of data subjects that have a new privacy event, a chunk of records at a time."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, or_, select, update

from services.ledger import tables
from services.ledger.due import is_due
from services.ledger.facts import LedgerFacts
from services.ledger.rows import RECORD_COLUMNS, SUBJECT_COLUMNS, RecordRow, SubjectRow, record_rows
from services.policy.ids import record_id
from services.policy.tagged_event import TaggedEvent
from services.storage.bulk import select_in, update_in


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectScanChunk:
    """A chunk of the records of a subject."""

    subject: str
    due: datetime | None
    """When the scan was due, UTC."""
    cursor: UUID | None
    """The last record of the chunk before."""
    records: tuple[RecordRow, ...]
    """The records of the chunk, without those that an import holds back."""
    last_record: UUID | None
    """The last record of this chunk; None if the scan is finished with it."""


def due_scans(
    connection: Connection, now: datetime, *, limit: int, max_records: int, chunk: int
) -> list[SubjectScanChunk]:
    """Return a chunk for each of up to `limit` subjects whose scan is due, longest due first.

    This stops once the chunks have `max_records` records. The subjects are not locked yet, since clocks are
    locked before subjects: `advance_scans` sees whether another deleter has scanned one meanwhile.
    """
    column = tables.subject.c
    query = (
        select(*SUBJECT_COLUMNS)
        .where(is_due(column.next_due, now))
        .order_by(column.next_due)
        .limit(limit)
    )
    scans: list[SubjectScanChunk] = []
    records = 0
    for row in map(SubjectRow._make, connection.execute(query).all()):
        if records >= max_records:
            break  # the other subjects stay due
        scans.append(_scan_chunk(connection, row, chunk))
        records += len(scans[-1].records)
    return scans


def co_subject_records(
    connection: Connection, scans: Collection[SubjectScanChunk], events: Mapping[UUID, TaggedEvent]
) -> list[RecordRow]:
    """Return the records of the same events for other subjects: pseudonymisation waits for all of them."""
    ids = {
        record_id(row.event_id, event.source, event.id, subject)
        for scan in scans
        for row in scan.records
        if len((event := events[row.event_id]).subjects) > 1
        for subject in event.subjects
    }
    column = tables.record.c
    query = select(*RECORD_COLUMNS).where(column.backfill.is_(None))
    return record_rows(select_in(connection, query, column.record_id, ids))


def advance_scans(
    connection: Connection, scans: Collection[SubjectScanChunk], facts: LedgerFacts, now: datetime
) -> None:
    """Store how far each scan has come; the subjects are locked. A restarted scan stays due."""
    column = tables.subject.c
    for scan in scans:
        changes = [time for time in facts.subject_state(scan.subject).change_times if time > now]
        due = scan.due if scan.last_record else min(changes, default=None)
        connection.execute(
            update(tables.subject)
            .where(
                column.subject == scan.subject,
                column.next_due == scan.due,
                column.cursor.is_not_distinct_from(scan.cursor),
            )
            .values(next_due=due, cursor=scan.last_record)
        )


def postpone_scans(connection: Connection, subjects: Collection[str], at: datetime) -> None:
    """Scan these subjects' records again at an instant, UTC, or sooner; the subjects are locked."""
    column = tables.subject.c
    is_later = or_(column.next_due.is_(None), column.next_due > at)
    restart = update(tables.subject).where(is_later).values(next_due=at, cursor=None)
    update_in(connection, restart, column.subject, sorted(subjects))


def _scan_chunk(connection: Connection, row: SubjectRow, chunk: int) -> SubjectScanChunk:
    column = tables.record.c
    query = select(*RECORD_COLUMNS).where(column.subject == row.subject)
    if row.cursor is not None:
        query = query.where(column.record_id > row.cursor)
    records = record_rows(connection.execute(query.order_by(column.record_id).limit(chunk)))
    return SubjectScanChunk(
        subject=row.subject,
        due=row.next_due,
        cursor=row.cursor,
        records=tuple(record for record in records if record.backfill is None),
        last_record=records[-1].record_id if len(records) == chunk else None,
    )
