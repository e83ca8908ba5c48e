"""The processing of personal data under a policy: for each purpose, basis and rule, whose data where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from services.policy.conditions import variants
from services.policy.event_type import EventType, HoldingRule
from services.policy.model import Policy
from services.policy.placement import declared_systems


@dataclass(frozen=True, slots=True, kw_only=True)
class Processing:
    """The data that is held for one purpose, on one legal basis, under one rule.

    Names are those of the policy's sections, in the order of the policy file.
    """

    purpose: str
    basis: str
    rule: str
    subjects: tuple[str, ...]
    categories: tuple[str, ...]
    systems: tuple[str, ...]
    """The systems that may hold the data, except those that only an event names."""
    is_passed_on: bool
    """Whether an event may name further systems."""
    events: tuple[str, ...]
    """The event types from which the data comes."""


def list_processing(policy: Policy) -> tuple[Processing, ...]:
    """Return each processing of a policy once, ordered by purpose, legal basis and rule as in its file.

    A holding that changes to another basis and rule, when consent is given or withdrawn, counts for both,
    and one whose rule depends on conditions for each.
    """
    found: dict[tuple[str, str, str], list[tuple[str, HoldingRule]]] = {}
    for name, event in policy.events.items():
        for holding in event.holdings:
            for key in _keys_of(holding, policy):
                found.setdefault(key, []).append((name, holding))
    purposes, bases, rules = list(policy.purposes), list(policy.bases), list(policy.rules)
    keys = sorted(
        found, key=lambda key: (purposes.index(key[0]), bases.index(key[1]), rules.index(key[2]))
    )
    return tuple(_processing(policy, key, found[key]) for key in keys)


def unheld_purposes(policy: Policy) -> tuple[str, ...]:
    """Return the purposes for which no event holds data."""
    held = {holding.purpose for event in policy.events.values() for holding in event.holdings}
    return tuple(name for name in policy.purposes if name not in held)


def holdings_of(policy: Policy, processing: Processing) -> tuple[HoldingRule, ...]:
    """Return the holdings that have a processing's purpose, basis and rule, or can change to them."""
    key = (processing.purpose, processing.basis, processing.rule)
    return tuple(
        holding
        for name in processing.events
        for holding in policy.events[name].holdings
        if key in _keys_of(holding, policy)
    )


def _keys_of(holding: HoldingRule, policy: Policy) -> Iterator[tuple[str, str, str]]:
    for part in (holding, holding.on_consent, holding.on_withdrawal):
        if part is not None:
            for rule in variants(part.rule, policy.rules):
                yield holding.purpose, part.basis, rule


def _processing(
    policy: Policy, key: tuple[str, str, str], found: Iterable[tuple[str, HoldingRule]]
) -> Processing:
    purpose, basis, rule = key
    events = dict.fromkeys(name for name, _ in found)
    holdings = [holding for _, holding in found]
    subjects = {
        kind for name, holding in found for kind in _kinds_of(policy, policy.events[name], holding)
    }
    categories = {category for name in events for category in policy.events[name].categories}
    systems = {system for holding in holdings for system in declared_systems(holding)}
    return Processing(
        purpose=purpose,
        basis=basis,
        rule=rule,
        subjects=tuple(name for name in policy.subjects if name in subjects),
        categories=tuple(name for name in policy.categories if name in categories),
        systems=tuple(name for name in policy.systems if name in systems),
        is_passed_on=any(holding.systems_from for holding in holdings),
        events=tuple(events),
    )


def _kinds_of(policy: Policy, event: EventType, holding: HoldingRule) -> set[str]:
    """Return the kinds of data subjects that a holding may have."""
    fields = (holding.subject,) if holding.subject else event.subject
    kinds: set[str] = set()
    for field in fields:
        kinds |= {field.kind} if field.kind else set(policy.subjects)
    return kinds & set(holding.for_kinds) if holding.for_kinds else kinds
