"""Plan what a tagged event becomes in the ledger: records, clock changes and a privacy event.

A plan does not depend on what the ledger holds. Events of one shape (`services.policy.shapes`) are
planned once, with placeholders for identifiers, which each event fills in. Others are planned singly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

from services.policy import retiring
from services.policy.check_times import (
    clocks_of,
    earliest_ending_terms,
    event_check_times,
    event_terms,
)
from services.policy.decision_fields import encode_decision_fields
from services.policy.gap_text import GapText
from services.policy.ids import ClockRef, clock_ref, event_id, record_id
from services.policy.model import Policy
from services.policy.shapes import Shapes
from services.policy.subject_state import PrivacyEvent
from services.policy.tagged_event import ClockKey, DecisionValue, TaggedEvent
from services.policy.tagging import MAX_EVENT_TIME, MIN_EVENT_TIME, tag

_MAX_TEMPLATES = 1_000


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


class PlannedRecord(NamedTuple):
    """A record to be inserted: an event's data on one subject."""

    record_id: UUID
    subject: str
    clocks: Sequence[ClockRef]
    next_check_at: datetime | None
    """The first instant, UTC, fixed by the event itself, at which an obligation can become due."""


class PlannedClockChange(NamedTuple):
    """A clock to be ended or started."""

    clock: ClockRef
    move: Literal["start", "end"]


class IngestionPlan(NamedTuple):
    """What a tagged event becomes in the ledger."""

    event: TaggedEventRow
    event_id: UUID
    decision_json: str
    """Its decision fields as canonical JSON."""
    subject: str | None
    """Its own subject, one of those of its records."""
    records: Sequence[PlannedRecord]
    clock_changes: Sequence[PlannedClockChange]
    privacy_event: PrivacyEvent | None = None

    @property
    def history(self) -> str | None:
        """The group of old live events that it belongs to; None if nothing in it is to be held back.

        A privacy event and the start of a clock count whatever their time.
        """
        makes_due = self.records or any(change.move == "end" for change in self.clock_changes)
        return self.event.history if makes_due else None


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestionPlanner:
    """Plans tagged events under one policy, with a template for each shape of events."""

    policy: Policy
    _shapes: dict[str, Shapes] = field(default_factory=dict, init=False)
    _retiring: tuple[datetime, ...] = field(default=(), init=False)
    _templates: dict[object, _PlanTemplate | None] = field(default_factory=dict, init=False)
    """By event type, shape and era of retirements; None for a shape that has no template."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_retiring", retiring.retirement_times(self.policy))

    def plan_event(self, arrival: TaggedEventRow) -> IngestionPlan:
        """Return the plan of a tagged event: the same as `build_plan` returns.

        Raises:
            TaggingFailed: its deciding fields do not fit the policy.
        """
        shapes = self._shapes.get(arrival.type) or self._load_shapes(arrival.type)
        shape_and_values = shapes.find(arrival.decision_fields) if shapes else None
        if shape_and_values is None or not MIN_EVENT_TIME <= arrival.time < MAX_EVENT_TIME:
            return build_plan(arrival, self.policy)
        shape, values = shape_and_values
        key = (arrival.type, shape, retiring.retirement_era(arrival.time, self._retiring))
        template = self._templates.get(key)
        if template is not None:
            return template.fill(arrival, values)
        planned = build_plan(arrival, self.policy)
        if key not in self._templates and shapes:
            if len(self._templates) >= _MAX_TEMPLATES:
                self._templates.clear()
            self._templates[key] = self._build_template(arrival, shapes, values, planned)
        return planned

    def _load_shapes(self, event_type: str) -> Shapes | None:
        kind = self.policy.events.get(event_type)
        if kind is None:
            return None
        self._shapes[event_type] = Shapes.from_policy(kind, self.policy)
        return self._shapes[event_type]

    def _build_template(
        self, arrival: TaggedEventRow, shapes: Shapes, values: Sequence[str], planned: IngestionPlan
    ) -> _PlanTemplate | None:
        if planned.privacy_event:
            return None  # a privacy event has more than identifiers, and is rare
        placeholder_row = replace(
            arrival, decision_fields=shapes.with_placeholders(arrival.decision_fields)
        )
        template = _PlanTemplate(tag(placeholder_row, self.policy), self.policy)
        return template if template.fill(arrival, values) == planned else None


def build_plan(arrival: TaggedEventRow, policy: Policy) -> IngestionPlan:
    """Plan a tagged event without a template.

    Raises:
        TaggingFailed: its deciding fields do not fit the policy.
    """
    tagged = tag(arrival, policy)
    source, id = arrival.source, arrival.id
    event = event_id(arrival.type, source, id)
    return IngestionPlan(
        event=arrival,
        event_id=event,
        decision_json=encode_decision_fields(tagged.decision_fields),
        subject=tagged.subject,
        records=[
            PlannedRecord(
                record_id(event, source, id, subject),
                subject,
                [_clock_ref(clock) for clock in clocks_of(tagged, subject, policy)],
                min(event_check_times(tagged, subject, policy), default=None),
            )
            for subject in tagged.subjects
        ],
        clock_changes=[
            PlannedClockChange(_clock_ref(change.clock), change.move)
            for change in tagged.clock_changes
        ],
        privacy_event=tagged.privacy_event,
    )


class _PlanTemplate:
    """The template of the plans of one shape, made from one of its events with placeholders."""

    __slots__ = ("_clocks", "_deciding", "_moves", "_policy", "_records", "_subject")

    def __init__(self, tagged: TaggedEvent, policy: Policy) -> None:
        self._policy = policy
        self._deciding = GapText(encode_decision_fields(tagged.decision_fields))
        self._subject = GapText(tagged.subject) if tagged.subject else None
        clocks: dict[ClockKey, int] = {}
        self._records = [
            (
                GapText(subject),
                [
                    clocks.setdefault(clock, len(clocks))
                    for clock in clocks_of(tagged, subject, policy)
                ],
                earliest_ending_terms(event_terms(tagged, subject, policy), policy),
            )
            for subject in tagged.subjects
        ]
        self._moves = [
            (clocks.setdefault(change.clock, len(clocks)), change.move)
            for change in tagged.clock_changes
        ]
        self._clocks = [
            (
                clock.clock,
                GapText(clock.key),
                clock.parent.clock if clock.parent else None,
                GapText(clock.parent.key) if clock.parent else None,
            )
            for clock in clocks
        ]

    def fill(self, arrival: TaggedEventRow, values: Sequence[str]) -> IngestionPlan:
        """Return the plan of an event with these identifiers."""
        source, id = arrival.source, arrival.id
        event = event_id(arrival.type, source, id)
        clocks = [
            clock_ref(kind, key.fill(values), parent, above.fill(values) if above else "")
            for kind, key, parent, above in self._clocks
        ]
        records = []
        for text, clock_indices, terms in self._records:
            subject = text.fill(values)
            records.append(
                PlannedRecord(
                    record_id(event, source, id, subject),
                    subject,
                    [clocks[index] for index in clock_indices],
                    min(
                        [term.command_time(arrival.time, self._policy) for term in terms],
                        default=None,
                    ),
                )
            )
        return IngestionPlan(
            arrival,
            event,
            self._deciding.fill(values),
            self._subject.fill(values) if self._subject else None,
            records,
            [PlannedClockChange(clocks[index], move) for index, move in self._moves],
        )


def _clock_ref(clock: ClockKey) -> ClockRef:
    above = clock.parent
    return clock_ref(
        clock.clock, clock.key, above.clock if above else None, above.key if above else ""
    )
