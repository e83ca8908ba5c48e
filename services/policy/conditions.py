"""Rules with conditions: which rule applies to a holding, by the fields of its event.

A *variant* of a rule is a rule with `when` that extends it, or extends another variant of it. It applies in
its place where every condition is met, its own and those that it takes over. Of several, the most specific
one applies: the one that applies only where all of the others do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from services.policy.event_type import HoldingRule
from services.policy.model import Policy
from services.policy.rule import Rule

Rules = Mapping[str, Rule]
Value = str | bool
Conditions = Mapping[str, frozenset[Value]]
"""The values of which each field must have one; without any it always applies."""


def conditions(name: str, rules: Rules) -> Conditions:
    """Return the conditions of a rule, with those that it takes over."""
    required: dict[str, frozenset[Value]] = {}
    for rule in _with_conditional_bases(name, rules):
        for field, values in rule.when.items():
            required[field] = required.get(field, frozenset(values)) & frozenset(values)
    return required


def base_of(name: str, rules: Rules) -> str:
    """Return the rule in whose place a rule with conditions applies; the rule itself without any."""
    for rule in _with_conditional_bases(name, rules):
        name = rule.extends or name
    return name


def variants(name: str, rules: Rules) -> tuple[str, ...]:
    """Return a rule and its variants, each after the rule that it extends."""
    names = [name]
    for base in names:
        names += [
            other
            for other, rule in rules.items()
            if rule.when and rule.extends == base and other not in names
        ]
    return tuple(names)


def rule_for(name: str, fields: Mapping[str, Any], policy: Policy) -> str:
    """Return which rule applies to an event with these decision fields, of a rule and its variants."""
    applying = name
    known = {name}
    for other in variants(name, policy.rules)[1:]:
        rule = policy.rules[other]
        if rule.extends in known and _is_met(rule, fields):
            known.add(other)
            if is_more_specific(other, applying, policy.rules):
                applying = other
    return applying


def rules_of(holding: HoldingRule, policy: Policy) -> tuple[str, ...]:
    """Return every rule that a holding can have, also as consent changes, in order."""
    changes = (holding.on_withdrawal, holding.on_consent)
    names = (holding.rule, *(change.rule for change in changes if change))
    every = (name for base in names for name in variants(base, policy.rules))
    return tuple(dict.fromkeys(every))


def condition_fields(holding: HoldingRule, policy: Policy) -> frozenset[str]:
    """Return the fields that decide which rule a holding has."""
    return frozenset(
        field for name in rules_of(holding, policy) for field in policy.rules[name].when
    )


def is_more_specific(name: str, other: str, rules: Rules) -> bool:
    """Return whether a rule applies only where another one does, and not everywhere there."""
    own, others = conditions(name, rules), conditions(other, rules)
    return own != others and _is_within(own, others)


def common_conditions(name: str, other: str, rules: Rules) -> Conditions | None:
    """Return what must be met for both rules to apply; None if they never do together."""
    return _intersection(conditions(name, rules), conditions(other, rules))


def ambiguities(name: str, rules: Rules) -> Iterator[tuple[str, str, Mapping[str, Value]]]:
    """Return each two variants of a rule of which none is more specific, with fields for which both apply.

    A third variant that is more specific than both decides where it applies.
    """
    names = variants(name, rules)[1:]
    for one, other in combinations(names, 2):
        region = common_conditions(one, other, rules)
        if region is None or any(
            is_more_specific(first, second, rules) for first, second in ((one, other), (other, one))
        ):
            continue
        deciding = [
            conditions(third, rules)
            for third in names
            if all(is_more_specific(third, each, rules) for each in (one, other))
        ]
        for rest in _without(region, deciding):
            yield one, other, {field: min(values, key=str) for field, values in rest.items()}
            break


def _with_conditional_bases(name: str, rules: Rules) -> Iterator[Rule]:
    """Return a rule and the rules that it extends, as far as each has conditions."""
    seen: set[str] = set()
    while name in rules and name not in seen and rules[name].when:
        seen.add(name)
        yield rules[name]
        name = rules[name].extends or ""


def _is_met(rule: Rule, fields: Mapping[str, Any]) -> bool:
    return all(fields.get(field) in values for field, values in rule.when.items())


def _is_within(inner: Conditions, outer: Conditions) -> bool:
    return all(field in inner and inner[field] <= values for field, values in outer.items())


def _intersection(one: Conditions, other: Conditions) -> Conditions | None:
    both = dict(one)
    for field, values in other.items():
        both[field] = both.get(field, values) & values
    return both if all(both.values()) else None


def _without(region: Conditions, deciding: list[Conditions]) -> Iterator[Conditions]:
    """Return parts of a region that none of the deciding conditions covers; they name every field of it.

    A field that only deciding conditions name can also have another value, or none: they are not met then.
    """
    if not deciding:
        yield region
        return
    first, *others = deciding
    met: Conditions = region
    for field, values in first.items():
        if field not in region:
            yield from _without(met, [each for each in others if field not in each])
            return
        if outside := met[field] - values:
            yield from _without({**met, field: outside}, others)
        met = {**met, field: met[field] & values}
        if not met[field]:
            return
