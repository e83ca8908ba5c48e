"""Which rule holds for an event: of those that extend the named rule, the most specific that applies.

A is more specific than B if A applies only where B does, and not everywhere. If two apply and
neither is more specific, nothing decides between them: the schedule is ambiguous.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any, TypeAlias

from tests.oracle.language.rules import Rule, Variant

Rules: TypeAlias = Mapping[str, Rule | Variant]
Conditions: TypeAlias = dict[str, frozenset[str]]


class AmbiguousRule(ValueError):
    """Several rules apply to one event, and none of them is the most specific."""


def resolved(name: str, rules: Rules) -> Rule:
    """Return the rule of this name with what it inherits."""
    rule = rules[name]
    if isinstance(rule, Rule):
        return rule
    return replace(resolved(rule.extends, rules), **rule.changes)


def conditions(name: str, rules: Rules) -> Conditions:
    """Return the values that each field must have, for a rule and all that it extends with conditions."""
    rule = rules[name]
    if isinstance(rule, Rule) or not rule.when:
        return {}
    required = conditions(rule.extends, rules)
    for field_name, values in rule.when.items():
        required[field_name] = required.get(field_name, frozenset(values)) & frozenset(values)
    return required


def alternatives(name: str, rules: Rules) -> list[str]:
    """Return the named rule, and all rules with conditions that extend it, or one of those."""
    names = [name]
    for each in names:
        names += [
            other
            for other, rule in rules.items()
            if isinstance(rule, Variant) and rule.extends == each and rule.when
        ]
    return names


def rule_for(name: str, data: Mapping[str, Any], rules: Rules) -> str:
    """Return the name of the rule that applies to an event with these fields."""
    if conditions(name, rules):
        raise ValueError(f"{name} has conditions: name the rule that it extends")
    all_conditions = {other: conditions(other, rules) for other in alternatives(name, rules)}
    applying = {
        other: required
        for other, required in all_conditions.items()
        if all(data.get(field_name) in values for field_name, values in required.items())
    }
    best = [
        each
        for each in applying
        if all(
            each == other or more_specific(applying[each], applying[other]) for other in applying
        )
    ]
    if len(best) != 1:
        raise AmbiguousRule(f"{name}: {', '.join(sorted(applying))} for {dict(data)}")
    return best[0]


def more_specific(one: Conditions, other: Conditions) -> bool:
    """Return whether the conditions of one can only be met where those of the other are, and differ."""
    return one != other and all(
        field_name in one and one[field_name] <= values for field_name, values in other.items()
    )


def is_ambiguous(name: str, rules: Rules) -> bool:
    """Return whether some event would have no most specific rule: every combination of values is tried."""
    values: dict[str, set[str | None]] = {}
    for other in alternatives(name, rules):
        for field_name, required in conditions(other, rules).items():
            values.setdefault(field_name, {None}).update(required)
    for combination in product(*values.values()):
        try:
            rule_for(name, dict(zip(values, combination, strict=True)), rules)
        except AmbiguousRule:
            return True
    return False
