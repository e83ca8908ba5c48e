"""Retention windows: until when a holding must be kept, and by when it must be erased.

All instants are UTC. `not_before` is the end of a statutory minimum, `erase_by` the end of a promised
maximum, and `due_at` the instant at which each system's command is sent, earlier by its lead time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from services.policy import calendar, rights_effects
from services.policy.calendar import Period
from services.policy.model import Anchor, Policy, Rule
from services.policy.rights_effects import EarlyEnd
from services.policy.subject_state import EMPTY_STATE, SubjectState
from services.policy.tagged_event import ClockKey, Holding


class Facts(Protocol):
    """Facts beside the event itself: ends of clocks, and states of data subjects."""

    def anchor(self, clock: ClockKey) -> datetime | None:
        """Return the instant at which a retention clock ended, UTC; None while it is open."""

    def subject_state(self, subject: str) -> SubjectState:
        """Return the state of a data subject."""


class NoFacts:
    """The facts when nothing is known but the event itself."""

    def anchor(self, clock: ClockKey) -> datetime | None:
        """Return None: no clock has ended."""
        return None

    def subject_state(self, subject: str) -> SubjectState:
        """Return the state of a subject without privacy events."""
        return EMPTY_STATE


NO_FACTS = NoFacts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """How long a holding lasts under the facts known so far."""

    holding: Holding
    """As consent given or withdrawn since leaves it."""
    rule: Rule
    anchor_at: datetime | None
    not_due_before: datetime | None
    """The end of a longer term that was in force before a consent changed; it is not due earlier."""
    early_end: EarlyEnd | None
    """The end that the person's own decision gives it, whatever its rule."""
    rule_ends_at: datetime | None
    """When its maximum or minimum ends by the rule alone."""

    def command_time(self, lead: Period, policy: Policy) -> datetime | None:
        """Return when the command to a system with this lead time is sent; None while it is open."""
        at = self.rule_ends_at
        if at and self.anchor_at and self.rule.kind == "at_most":
            at = max(self.anchor_at, at - lead.exact)
        if at and self.not_due_before:
            at = max(at, self.not_due_before)
        return min(at or self.early_end.at, self.early_end.at) if self.early_end else at

    def ends_at(self, policy: Policy) -> datetime | None:
        """Return when its maximum or minimum ends; None while it is open."""
        at = self.rule_ends_at
        if at and self.not_due_before:
            at = max(at, self.not_due_before)
        return min(at or self.early_end.at, self.early_end.at) if self.early_end else at


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A holding's window; instants that depend on an open clock are None."""

    holding: Holding
    """As consent given or withdrawn since leaves it."""
    anchor_at: datetime | None
    not_before: datetime | None
    erase_by: datetime | None
    due_at: Mapping[str, datetime | None]
    early_end: EarlyEnd | None = None
    """The person's own decision that ends it before its term."""

    @property
    def ends_at(self) -> datetime | None:
        """When its last command is sent; None while one of them is open."""
        instants = [due for due in self.due_at.values() if due is not None]
        return max(instants) if len(instants) == len(self.due_at) else None


def compute_term(holding: Holding, event_time: datetime, facts: Facts, policy: Policy) -> Term:
    """Return how long a holding lasts under the facts."""
    state = facts.subject_state(holding.subject)
    not_due_before = None
    if state:
        holding, not_due_before = rights_effects.apply_consent_change(holding, event_time, state)
    rule = policy.rules[holding.rule]
    started_at = facts.anchor(holding.clock) if holding.clock else event_time
    anchor_at = anchor_instant(rule.anchor, started_at, policy) if started_at else None
    early_end = None
    if state and rule.kind == "at_most":  # nothing ends a statutory minimum, whatever its basis
        early_end = rights_effects.find_early_end(holding, event_time, started_at, state, policy)
    return Term(
        holding=holding,
        rule=rule,
        anchor_at=anchor_at,
        not_due_before=not_due_before,
        early_end=early_end,
        rule_ends_at=rule_ends_at(rule, anchor_at, policy) if anchor_at else None,
    )


def compute_window(holding: Holding, event_time: datetime, facts: Facts, policy: Policy) -> Window:
    """Return the window of a holding under the facts.

    A command is sent at `erase_by` minus the system's lead time, but never before the anchor. So a term
    shorter than the lead time, such as P0D, is due at its anchor. An early end is due at its own instant.
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
    """Return the window under the legal holds on its event: data that they kept is due at their release.

    While a hold is open, a system keeps the instant that its command would have had.
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


def anchor_instant(anchor: Anchor, at: datetime, policy: Policy) -> datetime:
    """Return the instant, UTC, at which a term starts, given that of the event or of the clock's end.

    With an `end_of` it is the first instant after the last local day of the year, quarter or month.
    """
    end_of = anchor.waits_for
    if end_of is None:
        return at
    zone = policy.controller.zone
    last_day = policy.controller.end_of(end_of, at.astimezone(zone).date())
    return calendar.start_of_day(last_day + calendar.DAY, zone)


def command_time(rule: Rule, anchor_at: datetime, lead: Period, policy: Policy) -> datetime:
    """Return when the command to a system with this lead time is sent, UTC."""
    ends = rule_ends_at(rule, anchor_at, policy)
    return ends if rule.kind == "at_least" else max(anchor_at, ends - lead.exact)


def check_times(clock: str, anchor_at: datetime, policy: Policy) -> tuple[datetime, ...]:
    """Return every instant, UTC, at which a holding under an ended clock of this kind can become due.

    `anchor_at` is the end of the clock.
    """
    leads = {system.lead_time_period for system in policy.systems.values()}
    anchors = (
        (rule, anchor_instant(rule.anchor, anchor_at, policy))
        for rule in policy.rules.values()
        if rule.anchor.clock == clock
    )
    return tuple(
        sorted({command_time(rule, at, lead, policy) for rule, at in anchors for lead in leads})
    )


def rule_ends_at(rule: Rule, anchor_at: datetime, policy: Policy) -> datetime:
    """Return when the rule's minimum or maximum term after an anchor ends, UTC."""
    zone = policy.controller.zone
    if rule.kind == "at_most":
        return calendar.latest_erasure(anchor_at, rule.period, zone)
    day = anchor_at.astimezone(zone).date()
    if rule.anchor.waits_for:
        day -= calendar.DAY  # the anchor is the first instant after the last day of the year
    return calendar.earliest_erasure(day, rule.period, zone)
