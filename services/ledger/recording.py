"""Record tagged events as facts in the ledger, whatever their order.

Any order, duplication, batching or crash gives the same facts: an event is recognised by its identity, the
last change of a clock by event time counts, and a batch commits as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from services.events.incoming_event import (
    IncomingEvent,
    IncomingRecord,
    TaggedEventRow,
    build_incoming_event,
)
from services.ledger import (
    backfills,
    clocks,
    disowned_keys,
    identifying_keys,
    key_conflicts,
    outbox,
    provenance,
    purpose_commands,
    subject_acts,
    tables,
)
from services.ledger.backfills import BatchBackfills
from services.ledger.deduplication import deduplicate
from services.policy import obligations
from services.policy.ids import ClockRef, clock_id
from services.policy.model import Policy
from services.policy.plans import compile_policy
from services.policy.retention_windows import NoFacts
from services.policy.rule_ends import ClockStanding
from services.policy.tagged_event import ClockKey, TaggedEvent
from services.storage.bulk import insert_tuples

_EVENT = (
    "event_id",
    "source",
    "id",
    "type",
    "time",
    "content_hash",
    "deciding",
    "topic",
    "partition",
    "offset",
)
_RECORD = ("record_id", "event_id", "subject", "next_due", "backfill")
_RECORD_CLOCK = ("clock_id", "record_id")
_by_event_id = attrgetter("event_id.int")
_by_record_id = attrgetter("record.record_id.int")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingResult:
    """The numbers of events and records that a batch has added to the ledger."""

    new: int
    duplicates: int
    conflicts: tuple[TaggedEventRow, ...]
    """Events whose identity was seen before with other content: dead letters, not duplicates."""
    after_end: int
    """Records dated after the end of a clock that they depend on."""
    overdue: int
    """Records that were due before they arrived."""


class _RecordInBatch(NamedTuple):
    record: IncomingRecord
    event: IncomingEvent


def record(
    connection: Connection, arrivals: Sequence[TaggedEventRow], policy: Policy, now: datetime
) -> RecordingResult:
    """Record a batch of tagged events inside the caller's transaction.

    Raises:
        TaggingFailed: the decision fields do not fit the policy; the caller parks that event first.
    """
    compiled = compile_policy(policy)
    events = [build_incoming_event(arrival, compiled) for arrival in arrivals]
    return record_events(connection, events, policy, now)


def record_events(
    connection: Connection, events: Sequence[IncomingEvent], policy: Policy, now: datetime
) -> RecordingResult:
    """Record a batch of events inside the caller's transaction; `now` is UTC.

    1. Keep the events that are new; duplicates are dropped, and other content under a known identity is
       returned as a conflict.
    2. Find the imports that are not released, or groups of too old live events, that hold new events back.
    3. Insert the events, and store their identifying keys.
    4. Merge their changes into the clocks, and cancel or recall commands that depend on changed anchors.
    5. Store their privacy events under the subjects' locks, and schedule scans of the subjects' records;
       also of subjects with a purpose that was restricted because one of the clocks had ended. Store what
       they report about where data comes from.
    6. Insert the records, and on which clocks they depend.

    Locks are taken in this order: keys, clocks, subjects.
    """
    # Step 1: keep the events that are new.
    new_events, duplicates, conflicts = deduplicate(connection, events)
    # Step 2: find what holds them back.
    held_back = backfills.find_backfills(connection, new_events, now)
    # Step 3: insert the events and their keys.
    new_events.sort(key=_by_event_id)
    _insert_events(connection, new_events)
    contested = identifying_keys.record_keys(connection, new_events, policy, now)
    # Step 4: merge their changes into the clocks.
    records = [_RecordInBatch(record, event) for event in new_events for record in event.records]
    records.sort(key=_by_record_id)
    owners = disowned_keys.load_clock_owners(connection, new_events, policy)
    changes = _clock_changes(new_events, held_back, owners)
    merged = clocks.merge_changes(connection, changes, _first_record_times(records), policy)
    outbox.invalidate_by_clock(connection, merged.reanchored, policy, now)
    # Step 5: store their privacy events.
    subjects = {item.record.subject for item in records}
    privacy_events = _privacy_events(new_events, held_back)
    scanned_subjects = {*subjects, *(stored.privacy_event.subject for stored in privacy_events)}
    resumed = purpose_commands.restricted_subjects(connection, merged.reanchored)
    key_conflicts.schedule_rescan(connection, {*contested, *resumed}, now, scanned_subjects)
    reports = provenance.reports_of(new_events)
    alone = {report.subject for report in reports}
    subject_acts.store_privacy_events(connection, privacy_events, subjects, now, alone=alone)
    provenance.store_reports(connection, reports, policy, now)
    # Step 6: insert the records.
    with_privacy_events = subject_acts.subjects_with_privacy_events(connection, subjects)
    scanned_events = {
        event.event_id
        for event in new_events
        if any(record.subject in with_privacy_events for record in event.records)
    }
    insert_tuples(
        connection,
        tables.record,
        _RECORD,
        [
            (
                item.record.record_id,
                item.event.event_id,
                item.record.subject,
                _next_check_at(item, merged.clocks, scanned_events, now),
                held_back.of_records(item.event),
            )
            for item in records
        ],
    )
    dependencies = [
        (clock.id, item.record.record_id) for item in records for clock in item.record.clocks
    ]
    dependencies.sort(key=lambda row: row[0].int)  # stable: by record under the same clock
    insert_tuples(connection, tables.hanging, _RECORD_CLOCK, dependencies)
    return RecordingResult(
        new=len(new_events),
        duplicates=duplicates,
        conflicts=tuple(conflicts),
        after_end=sum(_is_after_end(item, merged.clocks) for item in records),
        overdue=_count_overdue(records, merged.clocks, policy, now),
    )


def _insert_events(connection: Connection, new_events: Sequence[IncomingEvent]) -> None:
    rows = [
        (
            event.event_id,
            row.source,
            row.id,
            row.type,
            row.time,
            row.content_hash,
            event.decision_json,
            row.topic,
            row.partition,
            row.offset,
        )
        for event in new_events
        for row in (event.row,)
    ]
    insert_tuples(connection, tables.event, _EVENT, rows)


def _clock_changes(
    new_events: Sequence[IncomingEvent], held_back: BatchBackfills, owners: Mapping[UUID, str]
) -> list[clocks.StoredClockChange]:
    """Return the clock changes that count; a clock with a decided owner is changed by no other subject."""
    return [
        clocks.StoredClockChange(
            clock=change.clock,
            move=change.move,
            ends_at=change.ends_at,
            outcome=change.outcome,
            time=event.row.time,
            source=event.row.source,
            id=event.row.id,
            backfill=held_back.of_records(event)
            if change.move == "end"
            else held_back.of_privacy_event(event),
        )
        for event in new_events
        for change in event.clock_changes
        if owners.get(change.clock.id, event.subject) == event.subject
    ]


def _first_record_times(records: Sequence[_RecordInBatch]) -> list[tuple[ClockRef, datetime]]:
    """Return the time of each clock's earliest record in the batch."""
    opened: dict[UUID, tuple[ClockRef, datetime]] = {}
    for item in records:
        event_time = item.event.row.time
        for clock in item.record.clocks:
            earliest = opened.get(clock.id)
            if earliest is None or event_time < earliest[1]:
                opened[clock.id] = (clock, event_time)
    return list(opened.values())


def _privacy_events(
    new_events: Sequence[IncomingEvent], held_back: BatchBackfills
) -> list[subject_acts.StoredPrivacyEvent]:
    return [
        subject_acts.StoredPrivacyEvent(
            event_id=event.event_id,
            privacy_event=event.privacy_event,
            backfill=held_back.of_privacy_event(event),
        )
        for event in new_events
        if event.privacy_event
    ]


def _next_check_at(
    item: _RecordInBatch,
    clock_states: Mapping[UUID, clocks.ClockState],
    scanned_events: Set[UUID],
    now: datetime,
) -> datetime | None:
    """Return when a record must be checked; at once if a scan that it waits for may have passed it."""
    record = item.record
    check_times = [] if record.next_check_at is None else [record.next_check_at]
    if item.event.event_id in scanned_events:
        check_times.append(now)
    for clock in record.clocks:
        fired_to = clock_states[clock.id].fired_to
        if fired_to is not None:
            check_times.append(fired_to)
    return min(check_times, default=None)


def _count_overdue(
    records: Sequence[_RecordInBatch],
    clock_states: Mapping[UUID, clocks.ClockState],
    policy: Policy,
    now: datetime,
) -> int:
    """Count the records that are due already; each event is tagged once, however many records it has."""
    facts, compiled = _BatchClocks(clock_states), compile_policy(policy)
    tagged: dict[UUID, TaggedEvent] = {}
    overdue = 0
    for item in records:
        check_at = item.record.next_check_at
        if not (check_at and check_at < now) and not any(
            clock_states[clock.id].has_due_records(now) for clock in item.record.clocks
        ):
            continue  # no step is due before everything that it waits for
        event_id = item.event.event_id
        if event_id not in tagged:
            tagged[event_id] = compiled.tag(item.event.row)
        steps = obligations.obligations_of(tagged[event_id], item.record.subject, facts, policy)
        overdue += any(step.due < now for step in steps if step.action != "notify")
    return overdue


class _BatchClocks(NoFacts):
    """The anchors of a batch's clocks; the states of subjects are left to the deleter."""

    def __init__(self, clock_states: Mapping[UUID, clocks.ClockState]) -> None:
        self._clock_states = clock_states

    def standing(self, clock: ClockKey) -> ClockStanding:
        return self._clock_states[clock_id(clock)].standing


def _is_after_end(item: _RecordInBatch, clock_states: Mapping[UUID, clocks.ClockState]) -> bool:
    ends = [clock_states[clock.id].anchor_at for clock in item.record.clocks]
    return any(end is not None and item.event.row.time > end for end in ends)
