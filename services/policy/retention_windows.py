"""Retention windows: until when a holding must be kept, and by when it must be erased.

All instants are UTC. `not_before` is the end of a statutory minimum, `erase_by` the end of a promised
maximum, and `due_at` the instant at which each system's command is sent, earlier by its lead time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, Protocol

from services.policy import rights_effects
from services.policy.calendar import Period
from services.policy.model import Policy
from services.policy.rights_effects import EarlyEnd
from services.policy.rule import Rule
from services.policy.rule_ends import (
    OPEN_CLOCK,
    ClockStanding,
    RuleEnd,
    find_part_ends,
    find_rule_end,
    part_command_times,
)
from services.policy.subject_state import EMPTY_STATE, SubjectState
from services.policy.tagged_event import ClockKey, Holding

AT_ONCE: Final = datetime(1900, 1, 1, tzinfo=UTC)
"""A check time that has always passed."""


class Facts(Protocol):
    """Facts beside the event itself: standings of clocks, and states of data subjects."""

    def standing(self, clock: ClockKey) -> ClockStanding:
        """Return what is known of a retention clock."""

    def subject_state(self, subject: str) -> SubjectState:
        """Return the state of a data subject."""


class NoFacts:
    """The facts when nothing is known but the event itself."""

    def standing(self, clock: ClockKey) -> ClockStanding:
        """Return that the clock is open: no event has moved it."""
        return OPEN_CLOCK

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
    rule_end: RuleEnd | None
    """When its maximum or minimum ends by the rule alone; None while that is not known."""
    not_due_before: datetime | None
    """The end of a longer term that was in force before a consent changed; it is not due earlier."""
    early_end: EarlyEnd | None
    """The end that the person's own decision gives it, whatever its rule."""

    def command_time(self, lead: Period) -> datetime | None:
        """Return when the command to a system with this lead time is sent; None while it is open."""
        end = self._enforced_end
        return self._after_all(end.command_time(self.rule, lead.exact) if end else None)

    @property
    def ends_at(self) -> datetime | None:
        """When its maximum or minimum ends; None while it is open."""
        end = self._enforced_end
        return self._after_all(end.ends_at if end else None)

    @property
    def not_before(self) -> datetime | None:
        """Until when a law requires it; None while that is not known, or for no law."""
        if self.rule.kind == "at_least":
            return self.ends_at
        return self.rule_end.minimum_ends_at if self.rule_end else None

    @property
    def clocks(self) -> tuple[ClockKey, ...]:
        """The clocks that decide when it ends; none while that is not known."""
        end = self.rule_end
        return deciding_clocks(self.rule, self.holding.starts, end.part) if end else ()

    @property
    def _enforced_end(self) -> RuleEnd | None:
        """The end of the rule; None for a rule in test, by which nothing ends."""
        return None if self.rule.is_in_test else self.rule_end

    def _after_all(self, at: datetime | None) -> datetime | None:
        """Return an instant of the rule as the person's decisions move it."""
        if at and self.not_due_before:
            at = max(at, self.not_due_before)
        if self.early_end is None:
            return at
        at = min(at or self.early_end.at, self.early_end.at)
        if self.rule.minimum is None:
            return at
        # The minimum also holds for what a person may end; while its start is not known, it lasts.
        return max(at, self.rule_end.minimum_ends_at or at) if self.rule_end else None


class WindowAnchor(NamedTuple):
    """One of several anchors of a holding."""

    anchor: str
    anchor_at: datetime | None
    """When its term started, UTC; None while that is not known."""
    ends_at: datetime | None
    """When its term ends, UTC; None while that is not known, and for `never`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A holding's window; instants that depend on an open clock are None."""

    holding: Holding
    """As consent given or withdrawn since leaves it."""
    anchor_at: datetime | None
    """When the term started whose end decides; `anchor` names it."""
    not_before: datetime | None
    erase_by: datetime | None
    due_at: Mapping[str, datetime | None]
    early_end: EarlyEnd | None = None
    """The person's own decision that ends it before its term."""
    anchor: str = field(default="", compare=False)
    """What the term counts from; of several the one that decides, or the first while none does."""
    anchors: tuple[WindowAnchor, ...] = ()
    """Each of several anchors, in the order of the rule; empty for a rule with one."""
    clocks: tuple[ClockKey, ...] = field(default=(), compare=False)
    """The clocks that decide when it ends; none while that is not known."""

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
    early_end = None
    if state and rule.kind == "at_most":  # nothing ends a statutory minimum, whatever its basis
        open_until = _open_until(rule, holding, facts)
        early_end = rights_effects.find_early_end(holding, event_time, open_until, state, policy)
    return Term(
        holding=holding,
        rule=rule,
        rule_end=find_rule_end(rule, holding.starts, event_time, facts.standing, policy),
        not_due_before=not_due_before,
        early_end=early_end,
    )


def compute_window(holding: Holding, event_time: datetime, facts: Facts, policy: Policy) -> Window:
    """Return the window of a holding under the facts.

    A command is sent at `erase_by` minus the system's lead time, but never before the anchor. So a term
    shorter than the lead time, such as P0D, is due at its anchor. An early end is due at its own instant.
    A minimum beside a maximum delays both.
    """
    term = compute_term(holding, event_time, facts, policy)
    leads = {system: policy.systems[system].lead_time_period for system in term.holding.systems}
    longest_lead = max(lead.exact for lead in leads.values())
    ends_at = term.ends_at
    not_before = term.not_before if ends_at else None
    rule, rule_end = term.rule, term.rule_end
    anchors: tuple[WindowAnchor, ...] = ()
    if rule.of:
        ends = find_part_ends(rule, term.holding.starts, event_time, facts.standing, policy)
        anchors = tuple(
            WindowAnchor(str(part.anchor), end.anchor_at, end.ends_at)
            for part, end in zip(rule.parts, ends, strict=True)
        )
    return Window(
        holding=term.holding,
        anchor=str(rule.parts[rule_end.part if rule_end else 0].anchor),
        anchor_at=rule_end.anchor_at if rule_end else None,
        anchors=anchors,
        not_before=not_before,
        erase_by=ends_at and latest_end(rule, ends_at, not_before, longest_lead),
        due_at={system: term.command_time(lead) for system, lead in leads.items()},
        early_end=term.early_end,
        clocks=term.clocks,
    )


def latest_end(
    rule: Rule, ends_at: datetime, not_before: datetime | None, longest_lead: timedelta
) -> datetime:
    """Return by when data must be gone: after a minimum the systems have their lead time.

    `ends_at` is the end of the rule, and `not_before` that of the minimum, if there is one; UTC.
    """
    if not_before and (rule.kind == "at_least" or not_before > ends_at):
        return not_before + longest_lead
    return ends_at


def deciding_clocks(
    rule: Rule, starts: Sequence[Any], part: int, kind: type[Any] = ClockKey
) -> tuple[Any, ...]:
    """Return the clocks on which the end of a rule depends, of which one part decides.

    The first end depends on that part alone: what ends later does not change it. `kind` is the type of the
    clocks among the `starts`.
    """
    selected = [starts[part]] if rule.ends == "first" else starts
    return tuple(dict.fromkeys(start for start in selected if isinstance(start, kind)))


def _open_until(rule: Rule, holding: Holding, facts: Facts) -> datetime | None:
    """Return when the clocks of a holding had ended, or one of them for the first end; None while open."""
    standings = [
        (part, facts.standing(start))
        for part, start in zip(rule.parts, holding.starts, strict=True)
        if isinstance(start, ClockKey)
    ]
    ends = [
        standing.ended_at for part, standing in standings if standing.has_begun or not part.if_any
    ]
    known = [end for end in ends if end]
    if rule.ends == "first":
        return min(known, default=None)
    return max(known) if known and len(known) == len(ends) else None


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


def check_times(
    clock: str, anchor_at: datetime, policy: Policy, outcome: str | None = None
) -> tuple[datetime, ...]:
    """Return every instant, UTC, at which a holding under an ended clock of this kind can become due.

    `anchor_at` is the end of the clock, and `outcome` that of the end. Where another end of a rule decides,
    it may have passed before the clock ended: then a holding is due at once.
    """
    leads = {system.lead_time_period.exact for system in policy.systems.values()}
    times: set[datetime] = set()
    for rule in policy.rules.values():
        for part in rule.parts:
            if part.anchor.clock != clock:
                continue
            if len(rule.parts) > 1:
                times.add(AT_ONCE)
            for lead in leads:
                times.update(part_command_times(rule, part, anchor_at, outcome, lead, policy))
    return tuple(sorted(times))
