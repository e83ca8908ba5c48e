"""Check the rules that extend others, and the conditions under which they apply."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from services.policy.conditions import Rules, Value, ambiguities, base_of, conditions
from services.policy.event_type import EventType
from services.policy.model import Policy
from services.policy.nearest_name import did_you_mean
from services.policy.validation_fields import require_defined, require_possible_value
from services.policy.yaml_source import DocumentPath, PolicyError


def check_conditions(policy: Policy) -> Iterator[PolicyError]:
    """Return every problem of `extends` and `when`, each with its path in the file."""
    for name, rule in policy.rules.items():
        path: DocumentPath = ("rules", name)
        yield from require_defined((*path, "extends"), rule.extends, policy.rules)
        yield from _check_cycle((*path, "extends"), name, policy.rules)
        if rule.when:
            yield from _check_when((*path, "when"), name, policy)
    for name, rule in policy.rules.items():
        if not rule.when:
            for one, other, fields in ambiguities(name, policy.rules):
                yield ("rules", other, "when"), _ambiguity(one, other, fields)


def conditions_in_words(required: Mapping[str, Iterable[Value]]) -> str:
    """Return conditions as text, such as `country is DE or AT and place is bank`."""
    return " and ".join(
        f"{field} is {' or '.join(_value(each) for each in sorted(values, key=str))}"
        for field, values in required.items()
    )


def _value(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else value


def _check_cycle(path: DocumentPath, name: str, rules: Rules) -> Iterator[PolicyError]:
    chain = [name]
    while (base := rules[chain[-1]].extends) in rules and base not in chain:
        chain.append(base or "")
    if base == name and name == min(chain):
        yield path, f"leads back to itself: {', '.join([*chain, name])}; a rule extends another one"


def _check_when(path: DocumentPath, name: str, policy: Policy) -> Iterator[PolicyError]:
    rule = policy.rules[name]
    if rule.extends is None:
        yield path, "is allowed only for a rule that extends another, in whose place it applies"
        return
    types = _event_types(base_of(name, policy.rules), policy)
    for field_name, values in rule.when.items():
        field_path = (*path, field_name)
        if not values:
            yield field_path, "names no value"
        yield from _check_field(field_path, field_name, values, types)
    required = conditions(name, policy.rules)
    for field_name, allowed in required.items():
        if rule.when.get(field_name) and not allowed:
            yield (
                (*path, field_name),
                f"is never met: {rule.extends} has conditions too, with other values",
            )


def _check_field(
    path: DocumentPath, name: str, values: Iterable[Value], types: Iterable[EventType]
) -> Iterator[PolicyError]:
    """Check that an event can have one of the values: a rule that never applies would be overlooked."""
    types = list(types)
    fields = [kind.fields[name] for kind in types if name in kind.fields]
    if types and not fields:
        known = {field for kind in types for field in kind.fields}
        yield (
            path,
            f"no event whose data is kept under the rule has this field{did_you_mean(name, known)}",
        )
    for field in fields:
        if field.type in ("date", "strings"):
            kind = "a date" if field.type == "date" else "a list"
            yield path, f"is {kind}, which cannot be a condition; use a text, or true and false"
            return
    for value in values:
        problems = [list(require_possible_value(path, [value], field)) for field in fields]
        if problems and all(problems):
            yield problems[0][0]


def _event_types(base: str, policy: Policy) -> list[EventType]:
    """Return the event types with holdings under a rule."""
    return [
        kind
        for kind in policy.events.values()
        if any(
            base in (part.rule for part in (item, item.on_withdrawal, item.on_consent) if part)
            for item in kind.holdings
        )
    ]


def _ambiguity(one: str, other: str, fields: Mapping[str, Value]) -> str:
    case = conditions_in_words({name: [value] for name, value in fields.items()})
    return (
        f"{one} and {other} both apply where {case}, and neither is the more specific;"
        f" add a rule with `when` for that, which extends one of them"
    )
