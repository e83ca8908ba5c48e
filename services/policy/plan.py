"""A plan: what every event of one shape means under a policy, with gaps for the event's identifiers.

It has the records that an event makes, for each what its systems must do as its terms end, the clocks that
the terms depend on, and the changes that the event makes to clocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

from services.policy.check_times import EventTerm, clocks_of, earliest_ending_terms, event_terms
from services.policy.decision_fields import encode_decision_fields
from services.policy.gap_text import GapText
from services.policy.ids import ClockRef, clock_ref
from services.policy.model import Policy
from services.policy.system_plan import SystemPlan, system_plans
from services.policy.tagged_event import ClockKey, HoldingChange, TaggedEvent


class PlannedHolding(NamedTuple):
    """A holding; its subject and its clock are given by their positions in the plan."""

    subject: int
    purpose: str
    basis: str
    rule: str
    systems: tuple[str, ...]
    clock: int | None
    own_consent: bool
    alternative: HoldingChange | None


class PlannedClock(NamedTuple):
    """A clock that the event names."""

    clock: str
    key: GapText
    parent: str | None
    parent_key: GapText

    @classmethod
    def from_key(cls, clock: ClockKey) -> Self:
        """Return the clock with gaps for what in its keys are placeholders."""
        above = clock.parent
        return cls(
            clock.clock,
            GapText(clock.key),
            above.clock if above else None,
            GapText(above.key if above else ""),
        )

    def fill(self, identifiers: Sequence[str]) -> ClockRef:
        """Return the clock of an event with these identifiers."""
        return clock_ref(
            self.clock, self.key.fill(identifiers), self.parent, self.parent_key.fill(identifiers)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRecord:
    """An event's data on one of its subjects."""

    subject: GapText
    clocks: tuple[int, ...]
    """The clocks on which an obligation depends, or would depend if nothing were retired."""
    terms: frozenset[EventTerm]
    """The terms that depend on no clock."""
    first_terms: tuple[EventTerm, ...]
    """Those of them of which one ends first, whatever the time of the event."""
    systems: tuple[SystemPlan, ...]
    """What each system must do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What all events of one shape mean under one policy; plans are compared by content."""

    type: str
    decision_json: GapText
    """The decision fields as canonical JSON."""
    subject: GapText | None
    """The event's own subject."""
    holdings: tuple[PlannedHolding, ...]
    retired_holdings: tuple[PlannedHolding, ...]
    records: tuple[PlannedRecord, ...]
    clocks: tuple[PlannedClock, ...]
    clock_changes: tuple[tuple[int, Literal["start", "end"]], ...]

    @classmethod
    def from_tagged(cls, tagged: TaggedEvent, policy: Policy) -> Self:
        """Return the plan of a tagged event, with gaps for the placeholders among its identifiers."""
        clocks: dict[ClockKey, int] = {}
        subjects = tagged.subjects

        def position(clock: ClockKey) -> int:
            return clocks.setdefault(clock, len(clocks))

        def planned_holdings(retired: bool) -> tuple[PlannedHolding, ...]:
            return tuple(
                PlannedHolding(
                    subject=subjects.index(holding.subject),
                    purpose=holding.purpose,
                    basis=holding.basis,
                    rule=holding.rule,
                    systems=holding.systems,
                    clock=position(holding.clock) if holding.clock else None,
                    own_consent=holding.own_consent,
                    alternative=holding.alternative,
                )
                for holding in (tagged.retired_holdings if retired else tagged.holdings)
            )

        records = []
        for subject in subjects:
            terms = event_terms(tagged, subject, policy)
            records.append(
                PlannedRecord(
                    subject=GapText(subject),
                    clocks=tuple(map(position, clocks_of(tagged, subject, policy))),
                    terms=terms,
                    first_terms=earliest_ending_terms(terms, policy),
                    systems=system_plans(tagged, subject, policy),
                )
            )
        return cls(
            type=tagged.type,
            decision_json=GapText(encode_decision_fields(tagged.decision_fields)),
            subject=GapText(tagged.subject) if tagged.subject else None,
            holdings=planned_holdings(retired=False),
            retired_holdings=planned_holdings(retired=True),
            records=tuple(records),
            clock_changes=tuple(
                (position(change.clock), change.move) for change in tagged.clock_changes
            ),
            clocks=tuple(map(PlannedClock.from_key, clocks)),
        )

    def __hash__(self) -> int:
        """Return a hash that plans of other events hardly have."""
        return hash(self.decision_json)
