"""A plan: what every event of one shape means under a policy, with gaps for the event's identifiers.

It has the event's records, what each system must do to them as their terms end, the clocks that the terms
depend on, and the changes that the event makes to clocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple, Self

from services.policy.check_times import (
    EventTerm,
    certainly_open_for,
    clocks_of,
    earliest_ending_terms,
    event_terms,
)
from services.policy.decision_fields import encode_decision_fields
from services.policy.event_subject import KeyFields, find_key_fields
from services.policy.gap_text import GapText, has_placeholder
from services.policy.ids import ClockRef, clock_ref
from services.policy.model import Policy
from services.policy.notices import NONE_ENDED, EndedSystems, find_notices
from services.policy.obligation import Obligation, sort_key
from services.policy.plan_obligations import (
    AnnouncedTerm,
    SystemPlan,
    TermContext,
    announced_ends,
    fill_starts,
    plan_announced_terms,
    plan_starts,
    plan_systems,
)
from services.policy.retention_windows import Facts
from services.policy.rule_ends import ClockStanding
from services.policy.tagged_event import (
    ClockChange,
    ClockKey,
    DecisionValue,
    Holding,
    HoldingChange,
    TaggedEvent,
)


class ClockChangePlan(NamedTuple):
    """A change of a clock, by its position in the plan."""

    clock: int
    move: Literal["start", "end"]
    date: GapText | None
    outcome: str | None

    @classmethod
    def from_change(cls, change: ClockChange, position: int) -> Self:
        """Return the change with a gap for its date."""
        date = GapText(change.date) if change.date else None
        return cls(position, change.move, date, change.outcome)


class ClockPlan(NamedTuple):
    """A clock that the event names."""

    clock: str
    key: GapText
    parent: str | None
    parent_key: GapText

    @classmethod
    def from_key(cls, clock: ClockKey) -> Self:
        """Return the clock with gaps for the placeholders in its keys."""
        above = clock.parent
        return cls(
            clock.clock,
            GapText(clock.key),
            above.clock if above else None,
            GapText(above.key if above else ""),
        )

    def fill(self, identifiers: Sequence[str]) -> ClockRef:
        """Return the clock of an event with these identifiers."""
        above = self.parent_key.fill(identifiers) if self.parent else ""
        return clock_ref(self.clock, self.key.fill(identifiers), self.parent, above)


class HoldingPlan(NamedTuple):
    """A holding; the positions of its subject and its clocks are those in the plan."""

    subject: int
    starts: tuple[int | GapText | None, ...]
    purpose: str
    basis: str
    rule: str
    systems: tuple[str, ...]
    own_consent: bool
    alternative: HoldingChange | None

    def fill(
        self, subjects: Sequence[str], clocks: Sequence[ClockRef], identifiers: Sequence[str]
    ) -> Holding:
        """Return the holding of an event with these subjects, clocks and identifiers."""
        return Holding(
            subject=subjects[self.subject],
            purpose=self.purpose,
            basis=self.basis,
            rule=self.rule,
            systems=self.systems,
            starts=tuple(
                clocks[start].clock if isinstance(start, int) else start
                for start in fill_starts(self.starts, identifiers)
            ),
            own_consent=self.own_consent,
            alternative=self.alternative,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPlan:
    """An event's data on one of its subjects."""

    subject: GapText
    clocks: tuple[int, ...]
    """The clocks on which an obligation depends, or would depend if nothing were retired."""
    terms: frozenset[EventTerm]
    """The terms that depend on no clock."""
    first_terms: tuple[EventTerm, ...]
    """Those of them of which one ends first, whatever the time of the event."""
    open_for: timedelta | None
    """A time after the event in which none of them certainly ends; None if there is none."""
    end_of_rule: str | None
    """A rule of these terms, if the end of the event's year, quarter or month starts them all."""
    has_dates: bool
    """Whether one of these terms starts at a date in the event."""
    systems: tuple[SystemPlan, ...]
    announced: tuple[AnnouncedTerm, ...]
    """The terms of its holdings of whose ends notice is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What all events of one shape mean under one policy; plans are compared by content."""

    type: str
    decision_json: GapText
    """The decision fields as canonical JSON."""
    fixed_fields: tuple[tuple[str, DecisionValue], ...]
    """The decision fields that are the same in all of the events."""
    text_fields: tuple[str, ...]
    """The decision fields that are, or have, an identifier."""
    date_fields: tuple[tuple[str, GapText], ...]
    """The decision fields that are dates."""
    list_fields: tuple[str, ...]
    """The decision fields that are lists of identifiers."""
    key_fields: KeyFields
    """The fields by which a system finds the rows of its own subject."""
    subject: GapText | None
    """The event's own subject."""
    holdings: tuple[HoldingPlan, ...]
    retired_holdings: tuple[HoldingPlan, ...]
    records: tuple[RecordPlan, ...]
    clock_changes: tuple[ClockChangePlan, ...]
    clocks: tuple[ClockPlan, ...]

    @classmethod
    def from_tagged(cls, tagged: TaggedEvent, policy: Policy) -> Self:
        """Return the plan of a tagged event, with gaps for the placeholders among its identifiers."""
        fields, types = tagged.decision_fields, policy.events[tagged.type].fields
        open_ = [name for name, value in fields.items() if has_placeholder(value)]
        clocks: dict[ClockKey, int] = {}
        subjects = tagged.subjects

        def position(clock: ClockKey) -> int:
            return clocks.setdefault(clock, len(clocks))

        def planned(holding: Holding) -> HoldingPlan:
            return HoldingPlan(
                subject=subjects.index(holding.subject),
                starts=plan_starts(holding.starts, position),
                purpose=holding.purpose,
                basis=holding.basis,
                rule=holding.rule,
                systems=holding.systems,
                own_consent=holding.own_consent,
                alternative=holding.alternative,
            )

        records = []
        for subject in subjects:
            terms = event_terms(tagged, subject, policy)
            records.append(
                RecordPlan(
                    subject=GapText(subject),
                    clocks=tuple(map(position, clocks_of(tagged, subject, policy))),
                    terms=terms,
                    first_terms=tuple(earliest_ending_terms(terms, policy)),
                    open_for=min(
                        (certainly_open_for(term, policy) for term in terms), default=None
                    ),
                    end_of_rule=_end_of_rule(terms, policy),
                    has_dates=any(term.date for term in terms),
                    systems=plan_systems(tagged, subject, policy, position),
                    announced=plan_announced_terms(tagged, subject, policy, position),
                )
            )
        return cls(
            type=tagged.type,
            decision_json=GapText(encode_decision_fields(fields)),
            fixed_fields=tuple(
                (name, value) for name, value in fields.items() if name not in open_
            ),
            text_fields=tuple(
                name
                for name in open_
                if isinstance(fields[name], str) and types[name].type != "date"
            ),
            date_fields=tuple(
                (name, GapText(str(fields[name]))) for name in open_ if types[name].type == "date"
            ),
            list_fields=tuple(name for name in open_ if isinstance(fields[name], tuple)),
            key_fields=find_key_fields(tagged, policy),
            subject=GapText(tagged.subject) if tagged.subject else None,
            holdings=tuple(map(planned, tagged.holdings)),
            retired_holdings=tuple(map(planned, tagged.retired_holdings)),
            records=tuple(records),
            clock_changes=tuple(
                ClockChangePlan.from_change(change, position(change.clock))
                for change in tagged.clock_changes
            ),
            clocks=tuple(map(ClockPlan.from_key, clocks)),
        )

    def decision_fields(
        self, data: Mapping[str, Any], identifiers: Sequence[str]
    ) -> dict[str, DecisionValue]:
        """Return the decision fields of an event with this data and these identifiers."""
        fields: dict[str, DecisionValue] = dict(self.fixed_fields)
        for name in self.text_fields:
            fields[name] = data[name]
        for name, kept in self.date_fields:
            fields[name] = kept.fill(identifiers)
        for name in self.list_fields:
            fields[name] = tuple(data[name])
        return fields

    def fill(self, identifiers: Sequence[str]) -> FilledPlan:
        """Return the plan of an event with these identifiers."""
        return FilledPlan(
            self,
            identifiers,
            [record.subject.fill(identifiers) for record in self.records],
            [clock.fill(identifiers) for clock in self.clocks],
            {},
        )

    def __hash__(self) -> int:
        """Return a hash that hardly any other plan has."""
        return hash(self.decision_json)


def _end_of_rule(terms: Iterable[EventTerm], policy: Policy) -> str | None:
    terms = list(terms)
    if not all(term.rule and term.is_plain(policy) for term in terms):
        return None
    rules = [term.rule for term in terms if term.rule]
    ends = {policy.rules[rule].parts[0].anchor.waits_for for rule in rules}
    return rules[0] if len(ends) == 1 and ends != {None} else None


class _KnownObligations(NamedTuple):
    """The obligations about a record, with all that they were computed from."""

    event_time: datetime
    standings: Sequence[ClockStanding]
    """Those of the event's clocks, in their order."""
    policy: Policy
    ended: EndedSystems
    obligations: tuple[Obligation, ...]

    def is_for(
        self,
        event_time: datetime,
        standings: Sequence[ClockStanding],
        policy: Policy,
        ended: EndedSystems,
    ) -> bool:
        """Return whether they were computed from these."""
        is_same = (self.event_time, self.standings) == (event_time, standings)
        return is_same and self.policy is policy and self.ended == ended


class FilledPlan(NamedTuple):
    """A plan with the subjects of the records and the clocks of one event."""

    plan: Plan
    identifiers: Sequence[str]
    subjects: Sequence[str]
    clocks: Sequence[ClockRef]
    known: dict[str, _KnownObligations]
    """By subject, the obligations that were computed last: a deleter asks again before it sends."""

    def decision_fields(self, data: Mapping[str, Any]) -> dict[str, DecisionValue]:
        """Return the decision fields of the event, whose data this is."""
        return self.plan.decision_fields(data, self.identifiers)

    @property
    def decision_json(self) -> str:
        """The decision fields as canonical JSON."""
        return self.plan.decision_json.fill(self.identifiers)

    @property
    def subject(self) -> str | None:
        """The event's own subject."""
        subject = self.plan.subject
        return subject.fill(self.identifiers) if subject else None

    def record_of(self, subject: str) -> RecordPlan | None:
        """Return the record of a subject; None if the event has none of it."""
        if subject not in self.subjects:
            return None
        return self.plan.records[self.subjects.index(subject)]

    def clocks_of(self, subject: str) -> tuple[ClockKey, ...]:
        """Return the clocks that the record of a subject depends on."""
        record = self.record_of(subject)
        return tuple(self.clocks[position].clock for position in record.clocks) if record else ()

    def terms_of(self, subject: str) -> frozenset[EventTerm]:
        """Return the terms of the record of a subject that depend on no clock."""
        record = self.record_of(subject)
        if record is None:
            return frozenset()
        if not record.has_dates:
            return record.terms
        return frozenset(term.fill(self.identifiers) for term in record.terms)

    def first_check(
        self, record: RecordPlan, event_time: datetime, policy: Policy
    ) -> datetime | None:
        """Return the first instant, fixed by the event, at which an obligation can become due; UTC."""
        times = [
            at
            for term in record.first_terms
            for at in term.fill(self.identifiers).check_times(event_time, policy)
        ]
        return min(times, default=None)

    def fill_holdings(self, holdings: Sequence[HoldingPlan]) -> tuple[Holding, ...]:
        """Return these holdings of the plan with the event's subjects and clocks."""
        return tuple(
            holding.fill(self.subjects, self.clocks, self.identifiers) for holding in holdings
        )

    def clock_changes(self) -> tuple[ClockChange, ...]:
        """Return the changes that the event makes to clocks."""
        return tuple(
            ClockChange(
                clock=self.clocks[change.clock].clock,
                move=change.move,
                date=change.date.fill(self.identifiers) if change.date else None,
                outcome=change.outcome,
            )
            for change in self.plan.clock_changes
        )

    def obligations(
        self,
        subject: str,
        event_time: datetime,
        facts: Facts,
        policy: Policy,
        ended: EndedSystems,
    ) -> tuple[Obligation, ...]:
        """Return the obligations about the record of a subject whose time is known, earliest first.

        This holds while none of the event's subjects has a privacy event.
        """
        record = self.record_of(subject)
        if record is None or not record.announced:
            ended = NONE_ENDED
        clocks = [ref.clock for ref in self.clocks]
        standings = [facts.standing(clock) for clock in clocks]
        known = self.known.get(subject)
        if known and known.is_for(event_time, standings, policy, ended):
            return known.obligations
        obligations = self._compute_obligations(
            subject, event_time, clocks, standings, policy, ended
        )
        self.known[subject] = _KnownObligations(event_time, standings, policy, ended, obligations)
        return obligations

    def _compute_obligations(
        self,
        subject: str,
        event_time: datetime,
        clocks: Sequence[ClockKey],
        standings: Sequence[ClockStanding],
        policy: Policy,
        ended: EndedSystems,
    ) -> tuple[Obligation, ...]:
        record = self.record_of(subject)
        if record is None:
            return ()
        context = TermContext(
            event_time,
            self.identifiers,
            standings.__getitem__,
            policy,
            {},
        )
        obligations = [
            obligation
            for system in record.systems
            for obligation in system.obligations(context, clocks)
        ]
        ends = announced_ends(record.announced, context, clocks, ended)
        obligations += find_notices(ends, event_time, policy)
        return tuple(sorted(obligations, key=sort_key))
