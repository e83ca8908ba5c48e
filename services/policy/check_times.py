"""What makes the obligations of a record become due: its retention clocks, and the terms of its event."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from services.policy.calendar import start_of_date
from services.policy.gap_text import GapText
from services.policy.model import Policy
from services.policy.rule_ends import part_command_times
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
    return tuple(dict.fromkeys(clock for holding in relevant for clock in holding.clocks))


def event_check_times(tagged: TaggedEvent, subject: str, policy: Policy) -> tuple[datetime, ...]:
    """Return the instants, UTC and in order, fixed by the event, at which an obligation can become due."""
    terms = event_terms(tagged, subject, policy)
    return tuple(sorted({at for term in terms for at in term.check_times(tagged.time, policy)}))


_LONGEST_YEAR = 366
_LONGEST_WAITS = {None: 0, "quarter": 92, "month": 31}
"""The most days from an instant to the end of its quarter or month; years are `_LONGEST_YEAR`."""


class EventTerm(NamedTuple):
    """A term that starts at the event itself or at a date in it, with a system that it concerns.

    Of a holding's systems with the same lead time one stands for all.
    """

    rule: str | None
    """None for what is due at the event."""
    system: str
    part: int = 0
    """The position of the term among the parts of the rule."""
    date: str | None = None
    """The date at which it starts, as 2026-03-15; None if the event starts it."""

    def check_times(self, event_time: datetime, policy: Policy) -> Sequence[datetime]:
        """Return the instants, UTC, at which a command for it can become due."""
        if self.rule is None:
            return [event_time]
        rule, lead = policy.rules[self.rule], policy.systems[self.system].lead_time_period.exact
        at = start_of_date(self.date, policy.controller.zone) if self.date else event_time
        return part_command_times(rule, rule.parts[self.part], at, None, lead, policy)

    def is_plain(self, policy: Policy) -> bool:
        """Return whether it is the only term of its rule, starts at the event, and is not announced."""
        if self.rule is None:
            return True
        rule = policy.rules[self.rule]
        return self.date is None and rule.minimum is None and not (rule.of or rule.notices)

    def fill(self, identifiers: Sequence[str]) -> EventTerm:
        """Return the term of an event with these identifiers."""
        return self._replace(date=GapText(self.date).fill(identifiers)) if self.date else self


def event_terms(tagged: TaggedEvent, subject: str, policy: Policy) -> frozenset[EventTerm]:
    """Return every term of the record that depends on no clock, and that ends."""
    if tagged.plan:
        return tagged.plan.terms_of(subject)
    terms: set[EventTerm] = set()
    for holding in tagged.by_subject.get(subject, ()):
        rules = [holding.rule, *([holding.alternative.rule] if holding.alternative else [])]
        for rule in rules:
            terms.update(_terms_of_rule(rule, holding.starts, holding.systems, policy))
        if any(policy.rules[rule].notices for rule in rules):
            # A notice of a near end is due at the event, whose time may be ahead of its arrival.
            terms.add(EventTerm(None, holding.systems[0]))
        if policy.rules[holding.rule].pseudonymise:
            identifying = co_subjects_holdings(tagged, policy)
            for other in identifying:
                terms.update(_terms_of_rule(other.rule, other.starts, holding.systems, policy))
            if not identifying:
                terms.update(EventTerm(None, system) for system in holding.systems)
    return frozenset(terms)


def _terms_of_rule(
    name: str, starts: Sequence[ClockKey | str | None], systems: Iterable[str], policy: Policy
) -> Iterator[EventTerm]:
    for position, (part, start) in enumerate(zip(policy.rules[name].parts, starts, strict=True)):
        waits = part.anchor.kind == "clock" or (part.anchor.kind == "field" and start is None)
        if not waits and part.period() is not None:
            date = start if isinstance(start, str) else None
            by_lead = {policy.systems[system].lead_time_period: system for system in systems}
            for system in by_lead.values():
                yield EventTerm(name, system, position, date)


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
    plain = [term for term in terms if term.is_plain(policy)]
    for event_term in sorted(
        plain, key=lambda event_term: policy.systems[event_term.system].lead_time_period.exact
    ):
        by_rule[event_term.rule] = event_term  # the longest lead leaves first
    earliest = [
        event_term
        for event_term in by_rule.values()
        if not any(
            _upper_bound(other, policy) < certainly_open_for(event_term, policy)
            for other in by_rule.values()
        )
    ]
    return [*earliest, *sorted(terms.difference(plain), key=str)]


def _upper_bound(term: EventTerm, policy: Policy) -> timedelta:
    """Return a time after the event by which a plain term has certainly ended."""
    if term.rule is None:
        return timedelta(0)
    [part] = policy.rules[term.rule].parts
    [period] = part.periods
    wait = _LONGEST_WAITS.get(part.anchor.waits_for, _LONGEST_YEAR)
    return timedelta(days=31 * period.months + period.days + wait + 2) + period.exact


def certainly_open_for(term: EventTerm, policy: Policy) -> timedelta:
    """Return a time after the event by which no command for a term is sent, whatever the calendar."""
    if term.rule is None or not term.is_plain(policy):
        return timedelta(0)
    [part] = policy.rules[term.rule].parts
    [period] = part.periods
    shortest = timedelta(days=28 * period.months + period.days - 2) + period.exact
    return shortest - policy.systems[term.system].lead_time_period.exact
