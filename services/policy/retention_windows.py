"""Windows: until when a holding must be kept, and by when it must be gone.

All instants are UTC. `erase_by` is the promise of a maximum, `not_before` the duty of a minimum, and
`due_at` the instant at which the command to a system leaves, earlier by the time that system needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from services.policy import calendar, rights_effects
from services.policy.calendar import Period
from services.policy.model import Policy, Rule
from services.policy.rights_effects import EarlyEnd
from services.policy.subject_state import EMPTY_STATE, SubjectState
from services.policy.tagging import ClockKey, Holding


class Facts(Protocol):
    """What is known beside the event itself."""

    def anchor(self, clock: ClockKey) -> datetime | None:
        """Where a shared clock stands: the instant of its end, or nothing while it is open."""

    def subject_state(self, subject: str) -> SubjectState:
        """Where a data subject stands."""


class NoFacts:
    """Facts of whoever knows an event and nothing else."""

    def anchor(self, clock: ClockKey) -> datetime | None:
        """No clock has ended."""
        return None

    def subject_state(self, subject: str) -> SubjectState:
        """Nobody has said anything."""
        return EMPTY_STATE


NO_FACTS = NoFacts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """How long a holding lasts, as far as the facts tell."""

    holding: Holding
    """As consent given or withdrawn since leaves it."""
    rule: Rule
    anchor_at: datetime | None
    not_due_before: datetime | None
    """It is not due before this: what held until then was another, longer term."""
    early_end: EarlyEnd | None
    """It is due here at the latest, whatever the rule says."""
    rule_ends_at: datetime | None
    """When the rule alone has its maximum reached or its minimum over."""

    def command_time(self, lead: Period, policy: Policy) -> datetime | None:
        """When the command for a system with this lead time leaves; nothing while that is open."""
        at = self.rule_ends_at
        if at and self.anchor_at and self.rule.kind == "at_most":
            at = max(self.anchor_at, at - lead.exact)
        if at and self.not_due_before:
            at = max(at, self.not_due_before)
        return min(at or self.early_end.at, self.early_end.at) if self.early_end else at

    def ends_at(self, policy: Policy) -> datetime | None:
        """When the maximum is reached or the minimum is over; nothing while that is open."""
        at = self.rule_ends_at
        if at and self.not_due_before:
            at = max(at, self.not_due_before)
        return min(at or self.early_end.at, self.early_end.at) if self.early_end else at


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A holding's window; what its open clock still hides is absent."""

    holding: Holding
    """As consent given or withdrawn since leaves it."""
    anchor_at: datetime | None
    not_before: datetime | None
    erase_by: datetime | None
    due_at: Mapping[str, datetime | None]
    early_end: EarlyEnd | None = None
    """What the person said or did that ends it before its term."""

    @property
    def ends_at(self) -> datetime | None:
        """When its last command leaves."""
        instants = [due for due in self.due_at.values() if due is not None]
        return max(instants) if len(instants) == len(self.due_at) else None


def compute_term(holding: Holding, event_time: datetime, facts: Facts, policy: Policy) -> Term:
    """How long a holding lasts under the facts."""
    state = facts.subject_state(holding.subject)
    not_due_before = None
    if state:
        holding, not_due_before = rights_effects.apply_consent_change(holding, event_time, state)
    rule = policy.rules[holding.rule]
    clock = holding.clock
    anchor_at = facts.anchor(clock) if clock else event_anchor(rule, event_time, policy)
    early_end = None
    if state and rule.kind == "at_most":  # a duty of a minimum stands, whatever its basis
        early_end = rights_effects.find_early_end(holding, event_time, anchor_at, state, policy)
    return Term(
        holding=holding,
        rule=rule,
        anchor_at=anchor_at,
        not_due_before=not_due_before,
        early_end=early_end,
        rule_ends_at=_ends_at(rule, anchor_at, policy) if anchor_at else None,
    )


def compute_window(holding: Holding, event_time: datetime, facts: Facts, policy: Policy) -> Window:
    """The window of a holding as far as the facts tell.

    A command leaves at `erase_by` minus the system's lead time, but never before the anchor itself: a
    term shorter than the lead time, P0D above all, is due at its own instant, and so is a cut.
    """
    term = compute_term(holding, event_time, facts, policy)
    leads = {system: policy.systems[system].lead_time_period for system in term.holding.systems}
    due_at = {system: term.command_time(lead, policy) for system, lead in leads.items()}
    not_before = None
    erase_by = term.ends_at(policy)
    if term.rule.kind == "at_least" and erase_by:
        not_before = erase_by
        erase_by = not_before + max(lead.exact for lead in leads.values())
    return Window(
        holding=term.holding,
        anchor_at=term.anchor_at,
        not_before=not_before,
        erase_by=erase_by,
        due_at=due_at,
        early_end=term.early_end,
    )


def apply_legal_holds(window: Window, event: str, state: SubjectState, policy: Policy) -> Window:
    """The window as the holds on this event leave it: what they kept leaves at their release.

    A system for which a hold is still open keeps the instant that its command would have had.
    """
    delayed = {
        system: released_at
        for system, at in window.due_at.items()
        if at
        and (released_at := rights_effects.released_at(at, event, state))
        and released_at != at
    }
    if not delayed or window.erase_by is None:
        return window
    latest = max(
        at + policy.systems[system].lead_time_period.exact for system, at in delayed.items()
    )
    return replace(
        window, due_at={**window.due_at, **delayed}, erase_by=max(window.erase_by, latest)
    )


def event_anchor(rule: Rule, event_time: datetime, policy: Policy) -> datetime:
    """The anchor that the event itself fixes; a book year's is the instant at which it has ended."""
    if rule.anchor.kind == "event":
        return event_time
    zone = policy.controller.zone
    day = calendar.book_year_end(event_time, policy.controller.book_year, zone)
    return calendar.earliest_erasure(day, Period(), zone)


def command_time(rule: Rule, anchor_at: datetime, lead: Period, policy: Policy) -> datetime:
    """When the command for a system with this lead time leaves, given the anchor."""
    ends = _ends_at(rule, anchor_at, policy)
    return ends if rule.kind == "at_least" else max(anchor_at, ends - lead.exact)


def check_times(clock: str, anchor_at: datetime, policy: Policy) -> tuple[datetime, ...]:
    """Every instant at which something that hangs on an ended clock of this kind can become due."""
    leads = {system.lead_time_period for system in policy.systems.values()}
    rules: Iterable[Rule] = (r for r in policy.rules.values() if r.anchor.clock == clock)
    return tuple(
        sorted({command_time(rule, anchor_at, lead, policy) for rule in rules for lead in leads})
    )


def _ends_at(rule: Rule, anchor_at: datetime, policy: Policy) -> datetime:
    zone = policy.controller.zone
    if rule.kind == "at_most":
        return calendar.latest_erasure(anchor_at, rule.period, zone)
    day = anchor_at.astimezone(zone).date()
    if rule.anchor.kind == "book-year":
        day -= calendar.DAY  # the anchor is the first instant after the book year's last day
    return calendar.earliest_erasure(day, rule.period, zone)
