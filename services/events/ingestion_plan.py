"""Plans: what a tagged event comes to in the ledger, whatever the ledger holds.

Events of one shape (`services.events.templates`) are planned once, from one with stand-ins for its
identifiers; the others of that shape only fill theirs in. What has no shape is planned by itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal, NamedTuple
from uuid import UUID

from services.events.templates import Shapes, Text
from services.policy import obligations, retiring
from services.policy.ids import ClockRef, clock_ref, event_id, record_id
from services.policy.model import Policy
from services.policy.obligations import EventTerm
from services.policy.subject_state import PrivacyEvent
from services.policy.tagging import EARLIEST, LATEST, ClockKey, TaggedEvent, Value, tag

_MOST_TEMPLATES = 1_000
_JSON = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A tagged event as it comes off the bus: deciding fields, and where its original stood."""

    source: str
    id: str
    type: str
    time: datetime
    content_hash: bytes
    deciding: Mapping[str, Value]
    topic: str
    partition: int
    offset: int
    backfill: str | None = None
    """The import that brings it."""
    history: str | None = None
    """The group of live history that it is of, by the tagger's word."""

    @property
    def data(self) -> Mapping[str, Value]:
        """The deciding fields: all that tagging looks at."""
        return self.deciding


class PlannedRecord(NamedTuple):
    """A record to be: an event's data on one subject."""

    record_id: UUID
    subject: str
    hangs_on: Sequence[ClockRef]
    wakes_at: datetime | None
    """The first instant, fixed by the event itself, at which a step of it can become due."""


class PlannedMove(NamedTuple):
    """A clock to be moved."""

    clock: ClockRef
    move: Literal["start", "end"]


class Plan(NamedTuple):
    """What an arrival comes to."""

    arrival: Arrival
    event_id: UUID
    deciding: str
    """Its deciding fields as canonical JSON."""
    subject: str | None
    """Its own, among those of its records."""
    records: Sequence[PlannedRecord]
    moves: Sequence[PlannedMove]
    act: PrivacyEvent | None = None

    @property
    def history(self) -> str | None:
        """The group of live history that it is of, if there is anything of it to be held back.

        What is said of a person, and the start of a clock, counts whatever its time.
        """
        makes_due = self.records or any(one.move == "end" for one in self.moves)
        return self.arrival.history if makes_due else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """Plans arrivals under one policy, and remembers the shapes that it has met."""

    policy: Policy
    _shapes: dict[str, Shapes] = field(default_factory=dict, init=False)
    _retiring: tuple[datetime, ...] = field(default=(), init=False)
    _templates: dict[object, _Template | None] = field(default_factory=dict, init=False)
    """By event type, shape and era; nothing for a shape that has no template."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_retiring", retiring.instants(self.policy))

    def of(self, arrival: Arrival) -> Plan:
        """The plan of an arrival; the same as `plan` makes.

        Raises:
            TaggingFailed: its deciding fields do not fit the policy.
        """
        shapes = self._shapes.get(arrival.type) or self._known(arrival.type)
        found = shapes.find(arrival.deciding) if shapes else None
        if found is None or not EARLIEST <= arrival.time < LATEST:
            return plan(arrival, self.policy)
        shape, values = found
        key = (arrival.type, shape, retiring.era(arrival.time, self._retiring))
        template = self._templates.get(key)
        if template is not None:
            return template.filled(arrival, values)
        planned = plan(arrival, self.policy)
        if key not in self._templates and shapes:
            if len(self._templates) >= _MOST_TEMPLATES:
                self._templates.clear()
            self._templates[key] = self._made(arrival, shapes, values, planned)
        return planned

    def _known(self, event_type: str) -> Shapes | None:
        kind = self.policy.events.get(event_type)
        if kind is None:
            return None
        self._shapes[event_type] = Shapes.of(kind, self.policy)
        return self._shapes[event_type]

    def _made(
        self, arrival: Arrival, shapes: Shapes, values: Sequence[str], planned: Plan
    ) -> _Template | None:
        if planned.act:
            return None  # what is said is made of more than identifiers, and is rare
        stood = replace(arrival, deciding=shapes.stood_in(arrival.deciding))
        template = _Template(tag(stood, self.policy), self.policy)
        return template if template.filled(arrival, values) == planned else None


def plan(arrival: Arrival, policy: Policy) -> Plan:
    """Plan an arrival by itself.

    Raises:
        TaggingFailed: its deciding fields do not fit the policy.
    """
    tagged = tag(arrival, policy)
    source, id = arrival.source, arrival.id
    event = event_id(arrival.type, source, id)
    return Plan(
        arrival=arrival,
        event_id=event,
        deciding=deciding_json(tagged.deciding),
        subject=tagged.subject,
        records=[
            PlannedRecord(
                record_id(event, source, id, subject),
                subject,
                [_named(clock) for clock in obligations.clocks_of(tagged, subject, policy)],
                min(obligations.event_check_times(tagged, subject, policy), default=None),
            )
            for subject in tagged.subjects
        ],
        moves=[PlannedMove(_named(one.clock), one.move) for one in tagged.moves],
        act=tagged.act,
    )


def deciding_json(deciding: Mapping[str, Value]) -> str:
    """The deciding fields as canonical JSON."""
    return _JSON.encode(deciding)


def from_deciding_json(text: str) -> dict[str, Value]:
    """The deciding fields from their JSON."""
    fields = json.loads(text)
    return {k: tuple(v) if v.__class__ is list else v for k, v in fields.items()}


class _Template:
    """The plans of one shape, made from one of its events with stand-ins."""

    __slots__ = ("_clocks", "_deciding", "_moves", "_policy", "_records", "_subject")

    def __init__(self, tagged: TaggedEvent, policy: Policy) -> None:
        self._policy = policy
        self._deciding = Text(deciding_json(tagged.deciding))
        self._subject = Text(tagged.subject) if tagged.subject else None
        clocks: dict[ClockKey, int] = {}
        self._records = [
            (
                Text(subject),
                [
                    clocks.setdefault(clock, len(clocks))
                    for clock in obligations.clocks_of(tagged, subject, policy)
                ],
                _first(obligations.event_terms(tagged, subject, policy), policy),
            )
            for subject in tagged.subjects
        ]
        self._moves = [
            (clocks.setdefault(one.clock, len(clocks)), one.move) for one in tagged.moves
        ]
        self._clocks = [
            (
                clock.clock,
                Text(clock.key),
                clock.parent.clock if clock.parent else None,
                Text(clock.parent.key) if clock.parent else None,
            )
            for clock in clocks
        ]

    def filled(self, arrival: Arrival, values: Sequence[str]) -> Plan:
        """The plan of one event."""
        source, id = arrival.source, arrival.id
        event = event_id(arrival.type, source, id)
        clocks = [
            clock_ref(kind, key.written(values), parent, above.written(values) if above else "")
            for kind, key, parent, above in self._clocks
        ]
        records = []
        for text, hangs_on, terms in self._records:
            subject = text.written(values)
            records.append(
                PlannedRecord(
                    record_id(event, source, id, subject),
                    subject,
                    [clocks[one] for one in hangs_on],
                    min([one.runs_out(arrival.time, self._policy) for one in terms], default=None),
                )
            )
        return Plan(
            arrival,
            event,
            self._deciding.written(values),
            self._subject.written(values) if self._subject else None,
            records,
            [PlannedMove(clocks[one], move) for one, move in self._moves],
        )


def _named(clock: ClockKey) -> ClockRef:
    above = clock.parent
    return clock_ref(
        clock.clock, clock.key, above.clock if above else None, above.key if above else ""
    )


def _first(terms: frozenset[EventTerm], policy: Policy) -> Sequence[EventTerm]:
    """Those of the terms of which one runs out first, whenever the event was."""
    by_rule: dict[str | None, EventTerm] = {}
    for one in sorted(terms, key=lambda one: policy.systems[one.system].lead.exact):
        by_rule[one.rule] = one  # the longest lead leaves first
    return [
        one
        for one in by_rule.values()
        if not any(_latest(other, policy) < _earliest(one, policy) for other in by_rule.values())
    ]


def _latest(term: EventTerm, policy: Policy) -> timedelta:
    """So long after the event it has certainly run out."""
    if term.rule is None:
        return timedelta(0)
    rule = policy.rules[term.rule]
    year = 366 if rule.anchor.kind == "book-year" else 0
    period = rule.period
    return timedelta(days=31 * period.months + period.days + year + 2) + period.exact


def _earliest(term: EventTerm, policy: Policy) -> timedelta:
    """So long after the event it has certainly not run out."""
    if term.rule is None:
        return timedelta(0)
    period = policy.rules[term.rule].period
    kept = timedelta(days=28 * period.months + period.days - 2) + period.exact
    return kept - policy.systems[term.system].lead.exact
