"""Claim records that are due: write the commands that facts and policy require and that do not exist yet.

A call is one transaction. It locks in one order (clocks, then subjects), decides under these locks, and
writes commands, their records and how far each scan has come together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, or_, select

from schemas import limits
from services.deleter import subject_scan
from services.deleter.command_records import Claimed
from services.deleter.record_planning import (
    PlannedObligation,
    group_into_commands,
    plan_obligations,
)
from services.deleter.withheld import is_withheld
from services.ledger import clocks, outbox, tables
from services.ledger.blind_spots import (
    NO_BLIND_SPOTS,
    RESCAN_DELAY,
    BlindSpots,
    schedule_record_check,
)
from services.ledger.clocks import ClockState
from services.ledger.due import is_scan_due
from services.ledger.facts import load_tagged_events
from services.ledger.outbox import LeaseRequest
from services.ledger.rows import RECORD_COLUMNS, RecordRow, record_rows
from services.policy.check_times import event_check_times
from services.policy.model import Policy
from services.policy.obligation import Obligation
from services.policy.tagged_event import TaggedEvent
from services.storage.bulk import update_each

MAX_RECORDS_PER_COMMAND = limits.MAX_COMMAND_RECORDS
"""No command names more records than this."""
_NEWEST_SHARE = 8
"""One in so many of the records that a claim takes is one of those that became due last."""
_CLOCKS_PER_RECORD = 4
"""A claim scans one clock for so many records: most clocks have few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimResult:
    """The result of a claim."""

    commands: tuple[UUID, ...]
    leased: tuple[UUID, ...]
    """The written commands that are to be dispatched at once."""
    known: Claimed
    """What is known of the written commands."""
    planned: Sequence[PlannedObligation]
    """What the commands are for."""
    scanned: int
    """How many records, clocks and subjects were due."""
    more: bool
    """Whether more may be due by the same instant."""


def claim_due(
    connection: Connection,
    policy: Policy,
    now: datetime,
    *,
    limit: int,
    lease: LeaseRequest | None = None,
    blind_spots: BlindSpots = NO_BLIND_SPOTS,
) -> ClaimResult:
    """Write the commands for records that are due by `now`, UTC by the database's clock.

    1. Take up to `limit` records whose own event makes them due.
    2. Take a chunk of the records of each of some clocks that are due.
    3. Take a chunk of the records of each of some subjects that are due: they have a privacy event.
    4. Tag the events of all these records, and add the records of their other subjects.
    5. Plan the records under locks, and write the commands; with a `lease` they are leased at once.
    6. Schedule the next check of each record, also of those that a parked event (`blind_spots`) withholds.

    Rows that another deleter claims at this moment are skipped, not waited for.
    """
    # Step 1: records whose own event makes them due.
    due_records = _due_records(connection, now, limit)
    records: dict[UUID, RecordRow] = {row.record_id: row for row in due_records}
    # Step 2: clocks that are due.
    advanced: list[ClockState] = []
    for clock in _due_clocks(connection, now, limit):
        if advanced and len(records) >= limit:
            break  # the other clocks stay due
        chunk = _clock_chunk(connection, clock)
        records.update((row.record_id, row) for row in chunk if row.backfill is None)
        cursor = chunk[-1].record_id if len(chunk) == MAX_RECORDS_PER_COMMAND else None
        advanced.append(clock.with_scan_advanced(now, cursor, policy))
    clocks.update_clocks(connection, advanced)
    # Step 3: subjects that are due.
    scans = subject_scan.due_scans(
        connection,
        now,
        limit=max(1, limit // _CLOCKS_PER_RECORD),
        max_records=limit,
        chunk=MAX_RECORDS_PER_COMMAND,
    )
    records.update((row.record_id, row) for scan in scans for row in scan.records)
    # Step 4: tag the events, and add the records of their other subjects.
    events = load_tagged_events(connection, {row.event_id for row in records.values()}, policy)
    co_subject_records = subject_scan.co_subject_records(connection, scans, events)
    records.update((row.record_id, row) for row in co_subject_records)

    def is_postponed(step: Obligation, event: TaggedEvent, subject: str) -> bool:
        return is_withheld(blind_spots, step.action, subject, event, policy)

    # Step 5: plan, and write the commands.
    subjects = {scan.subject for scan in scans}
    planned = plan_obligations(
        connection, records.values(), events, policy, now, subjects, is_postponed
    )
    drafts = group_into_commands(planned.obligations)
    result = outbox.insert_commands(connection, drafts, policy.version, now, lease)
    # Step 6: schedule the next checks.
    _schedule_next_check(connection, due_records, events, policy, now)
    schedule_record_check(connection, planned.withheld | planned.superseded.keys(), now)
    subject_scan.advance_scans(connection, scans, planned.facts, now)
    subject_scan.postpone_scans(connection, set(planned.superseded.values()), now + RESCAN_DELAY)
    return ClaimResult(
        commands=result.commands,
        leased=result.leased,
        known=Claimed.from_drafts(result.commands, drafts, records, events, policy),
        planned=planned.obligations,
        scanned=len(due_records) + len(advanced) + len(scans),
        more=len(due_records) >= limit or bool(advanced) or bool(scans),
    )


def _due_records(connection: Connection, now: datetime, limit: int) -> list[RecordRow]:
    """Return the records that have been due longest, and some that became due last, despite any backlog."""
    record = tables.record.c
    query = (
        select(*RECORD_COLUMNS)
        .where(is_scan_due(tables.record, now))
        .with_for_update(skip_locked=True)
    )
    newest = limit // _NEWEST_SHARE
    by_age = query.order_by(record.next_due).limit(limit - newest)
    rows = record_rows(connection.execute(by_age))
    if len(rows) < limit - newest or not newest:
        return rows
    latest = query.order_by(record.next_due.desc()).limit(newest)
    rows += record_rows(connection.execute(latest))
    return list({row.record_id: row for row in rows}.values())


def _due_clocks(connection: Connection, now: datetime, limit: int) -> Iterator[ClockState]:
    """Return clocks whose scan is due, a few at a time: oldest first, with the latest among the first."""
    column = tables.clock.c
    query = (
        select(tables.clock)
        .where(is_scan_due(tables.clock, now))
        .where(or_(column.cursor.is_(None), column.fired_to <= now))
        .with_for_update(skip_locked=True)
    )
    scanned: set[UUID] = set()
    page = max(1, limit // MAX_RECORDS_PER_COMMAND)
    while len(scanned) < max(1, limit // _CLOCKS_PER_RECORD):
        queries = [query.order_by(column.next_due).limit(len(scanned) + page)]
        if not scanned and limit > MAX_RECORDS_PER_COMMAND:
            queries.insert(0, query.order_by(column.next_due.desc()).limit(1))
        due = (row for statement in queries for row in connection.execute(statement))
        rows = {row.clock_id: row for row in due if row.clock_id not in scanned}
        if not rows:
            return
        scanned.update(rows)
        yield from map(clocks.clock_from_row, rows.values())
        page *= 4


def _clock_chunk(connection: Connection, clock: ClockState) -> Sequence[RecordRow]:
    """Return the next records that depend on a clock, after those that its scan has passed."""
    hanging = tables.hanging.c
    query = (
        select(*RECORD_COLUMNS)
        .join(tables.hanging, hanging.record_id == tables.record.c.record_id)
        .where(hanging.clock_id == clock.clock_id)
        .order_by(hanging.record_id)
        .limit(MAX_RECORDS_PER_COMMAND)
    )
    if clock.cursor is not None:
        query = query.where(hanging.record_id > clock.cursor)
    return record_rows(connection.execute(query))


def _schedule_next_check(
    connection: Connection,
    records: Sequence[RecordRow],
    events: Mapping[UUID, TaggedEvent],
    policy: Policy,
    now: datetime,
) -> None:
    """Set each claimed record to the next instant that its event fixes."""
    if not records:
        return
    changes = []
    for row in records:
        check_times = event_check_times(events[row.event_id], row.subject, policy)
        next_check_at = min((time for time in check_times if time > now), default=None)
        changes.append({"record_id": row.record_id, "next_due": next_check_at})
    update_each(connection, tables.record, changes)
