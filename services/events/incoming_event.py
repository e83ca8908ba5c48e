"""Incoming events: what a tagged event becomes in the ledger, its records, clock changes and privacy event.

It does not depend on what the ledger holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

from services.policy.calendar import start_of_date
from services.policy.check_times import clocks_of, event_check_times
from services.policy.decision_fields import encode_decision_fields
from services.policy.event_type import ProvenanceReport
from services.policy.ids import ClockRef, clock_ref_of, event_id, record_id
from services.policy.model import Policy
from services.policy.plans import CompiledPolicy
from services.policy.provenance import report_of
from services.policy.subject_state import PrivacyEvent
from services.policy.tagged_event import ClockChange, DecisionValue, TaggedEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedEventRow:
    """A tagged event from Kafka: its decision fields, and topic, partition and offset of its original."""

    source: str
    id: str
    type: str
    time: datetime
    content_hash: bytes
    decision_fields: Mapping[str, DecisionValue]
    topic: str
    partition: int
    offset: int
    backfill: str | None = None
    """The import that it belongs to."""
    history: str | None = None
    """The group of old live events that the tagger put it into."""

    @property
    def data(self) -> Mapping[str, DecisionValue]:
        """The decision fields, which are all that tagging needs."""
        return self.decision_fields


class IncomingRecord(NamedTuple):
    """A record to be inserted: an event's data on one subject."""

    record_id: UUID
    subject: str
    clocks: Sequence[ClockRef]
    next_check_at: datetime | None
    """The first instant, UTC, fixed by the event itself, at which an obligation can become due."""


class IncomingClockChange(NamedTuple):
    """A clock to be ended or started."""

    clock: ClockRef
    move: Literal["start", "end"]
    ends_at: datetime | None = None
    """When it ends, UTC, if the event names the day; else it ends at the event's time."""
    outcome: str | None = None


class IncomingEvent(NamedTuple):
    """What a tagged event becomes in the ledger."""

    row: TaggedEventRow
    event_id: UUID
    decision_json: str
    """Its decision fields as canonical JSON."""
    subject: str | None
    """Its own subject, one of those of its records."""
    records: Sequence[IncomingRecord]
    clock_changes: Sequence[IncomingClockChange]
    privacy_event: PrivacyEvent | None = None
    provenance: ProvenanceReport | None = None
    """What it reports about where its subject's data comes from."""

    @property
    def history(self) -> str | None:
        """The group of old live events that it belongs to; None if nothing in it is to be held back.

        A privacy event and the start of a clock count whatever their time.
        """
        makes_due = self.records or any(change.move == "end" for change in self.clock_changes)
        return self.row.history if makes_due else None


def build_incoming_event(arrival: TaggedEventRow, compiled: CompiledPolicy) -> IncomingEvent:
    """Return what a tagged event becomes in the ledger.

    Raises:
        TaggingFailed: its deciding fields do not fit the policy.
    """
    policy = compiled.policy
    kind = policy.events.get(arrival.type)
    plan = None if kind is None or kind.act else compiled.fill_plan(arrival)
    if plan is None:
        return _build_from_tagged(arrival, compiled.tag(arrival), policy)
    time, source, id = arrival.time, arrival.source, arrival.id
    event = event_id(arrival.type, source, id)
    clocks = plan.clocks
    return IncomingEvent(
        arrival,
        event,
        plan.decision_json,
        plan.subject,
        [
            IncomingRecord(
                record_id(event, source, id, subject),
                subject,
                [clocks[position] for position in record.clocks],
                plan.first_check(record, time, policy),
            )
            for record, subject in zip(plan.plan.records, plan.subjects, strict=True)
        ],
        [_incoming_change(change, policy) for change in plan.clock_changes()],
        provenance=report_of(policy.events[arrival.type], plan.decision_fields(arrival.data))
        if kind and kind.provenance
        else None,
    )


def _incoming_change(change: ClockChange, policy: Policy) -> IncomingClockChange:
    zone = policy.controller.zone
    ends_at = start_of_date(change.date, zone) if change.date else None
    return IncomingClockChange(clock_ref_of(change.clock), change.move, ends_at, change.outcome)


def _build_from_tagged(
    arrival: TaggedEventRow, tagged: TaggedEvent, policy: Policy
) -> IncomingEvent:
    event = event_id(arrival.type, arrival.source, arrival.id)
    return IncomingEvent(
        row=arrival,
        event_id=event,
        decision_json=encode_decision_fields(tagged.decision_fields),
        subject=tagged.subject,
        records=[
            IncomingRecord(
                record_id=record_id(event, arrival.source, arrival.id, subject),
                subject=subject,
                clocks=[clock_ref_of(clock) for clock in clocks_of(tagged, subject, policy)],
                next_check_at=min(event_check_times(tagged, subject, policy), default=None),
            )
            for subject in tagged.subjects
        ],
        clock_changes=[_incoming_change(change, policy) for change in tagged.clock_changes],
        privacy_event=tagged.privacy_event,
        provenance=report_of(policy.events[arrival.type], tagged.decision_fields),
    )
