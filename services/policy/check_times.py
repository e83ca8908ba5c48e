"""What makes the obligations of a record become due: its retention clocks, and the terms of its event."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from services.policy.model import Policy
from services.policy.retention_windows import anchor_instant, command_time
from services.policy.tagged_event import ClockKey, Holding, TaggedEvent


def clocks_of(tagged: TaggedEvent, subject: str, policy: Policy) -> tuple[ClockKey, ...]:
    """Return the clocks on which any obligation depends, or would depend if nothing were retired."""
    if tagged.plan:
        return tagged.plan.clocks_of(subject)
    relevant = [*tagged.by_subject.get(subject, ()), *tagged.retired_by_subject.get(subject, ())]
    if any(policy.rules[holding.rule].pseudonymise for holding in relevant):
        relevant.extend(
            _holdings_needing_identity((*tagged.holdings, *tagged.retired_holdings), policy)
        )
    return tuple(dict.fromkeys(holding.clock for holding in relevant if holding.clock))


def event_check_times(tagged: TaggedEvent, subject: str, policy: Policy) -> tuple[datetime, ...]:
    """Return the instants, UTC and in order, fixed by the event, at which an obligation can become due."""
    terms = event_terms(tagged, subject, policy)
    return tuple(sorted({event_term.command_time(tagged.time, policy) for event_term in terms}))


_LONGEST_YEAR = 366
_LONGEST_WAITS = {None: 0, "quarter": 92, "month": 31}
"""The most days from an instant to the end of its quarter or month; years are `_LONGEST_YEAR`."""


class EventTerm(NamedTuple):
    """A term that starts at the event itself, with a system that gets a command at its end."""

    rule: str | None
    """None for a term that ends at once."""
    system: str

    def command_time(self, event_time: datetime, policy: Policy) -> datetime:
        """Return when the command for it is sent, UTC."""
        if self.rule is None:
            return event_time
        rule = policy.rules[self.rule]
        anchor_at = anchor_instant(rule.anchor, event_time, policy)
        return command_time(rule, anchor_at, policy.systems[self.system].lead_time_period, policy)


def event_terms(tagged: TaggedEvent, subject: str, policy: Policy) -> frozenset[EventTerm]:
    """Return every term of the record that depends on no clock."""
    if tagged.plan:
        return tagged.plan.terms_of(subject)
    terms: set[EventTerm] = set()
    for holding in tagged.by_subject.get(subject, ()):
        if holding.clock is None:
            rules = [holding.rule, *([holding.alternative.rule] if holding.alternative else [])]
            terms.update(EventTerm(rule, system) for rule in rules for system in holding.systems)
        if policy.rules[holding.rule].pseudonymise:
            identifying = co_subjects_holdings(tagged, policy)
            rules = [other.rule for other in identifying if other.clock is None]
            terms.update(EventTerm(rule, system) for rule in rules for system in holding.systems)
            if not identifying:
                terms.update(EventTerm(None, system) for system in holding.systems)
    return frozenset(terms)


def co_subjects_holdings(tagged: TaggedEvent, policy: Policy) -> tuple[Holding, ...]:
    """Return the holdings of all subjects of the event for which pseudonymisation must wait."""
    return _holdings_needing_identity(tagged.holdings, policy)


def _holdings_needing_identity(holdings: Iterable[Holding], policy: Policy) -> tuple[Holding, ...]:
    return tuple(
        holding
        for holding in holdings
        if not policy.bases[holding.basis].is_statutory
        and not policy.rules[holding.rule].pseudonymise
    )


def earliest_ending_terms(terms: frozenset[EventTerm], policy: Policy) -> Sequence[EventTerm]:
    """Return the terms of which one ends first, whatever the time of the event."""
    by_rule: dict[str | None, EventTerm] = {}
    for event_term in sorted(
        terms, key=lambda event_term: policy.systems[event_term.system].lead_time_period.exact
    ):
        by_rule[event_term.rule] = event_term  # the longest lead leaves first
    return [
        event_term
        for event_term in by_rule.values()
        if not any(
            _upper_bound(other, policy) < certainly_open_for(event_term, policy)
            for other in by_rule.values()
        )
    ]


def _upper_bound(term: EventTerm, policy: Policy) -> timedelta:
    """Return a time after the event by which a term has certainly ended."""
    if term.rule is None:
        return timedelta(0)
    rule = policy.rules[term.rule]
    wait = _LONGEST_WAITS.get(rule.anchor.waits_for, _LONGEST_YEAR)
    period = rule.period
    return timedelta(days=31 * period.months + period.days + wait + 2) + period.exact


def certainly_open_for(term: EventTerm, policy: Policy) -> timedelta:
    """Return a time after the event by which no command for a term is sent, whatever the calendar."""
    if term.rule is None:
        return timedelta(0)
    period = policy.rules[term.rule].period
    shortest = timedelta(days=28 * period.months + period.days - 2) + period.exact
    return shortest - policy.systems[term.system].lead_time_period.exact
