"""Check the rules that a holding can have: its own, its variants, and those that consent changes it to."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import product

from services.policy.conditions import base_of, common_conditions, variants
from services.policy.event_type import ConsentFallback, EventType, HoldingRule
from services.policy.model import Policy
from services.policy.nearest_name import did_you_mean
from services.policy.rule import Rule
from services.policy.validation_fields import check_no_date, require_defined, require_key_field
from services.policy.yaml_source import DocumentPath, PolicyError


def check_unconditional(path: DocumentPath, name: str, policy: Policy) -> Iterator[PolicyError]:
    """Check that a rule applies without conditions: where these are not met, nothing would be kept."""
    rule = policy.rules.get(name)
    if rule and rule.when and rule.extends:
        base = base_of(name, policy.rules)
        yield (
            path,
            f"{name!r} applies only under conditions; name {base}, in whose place it applies",
        )


def check_term_of(
    path: DocumentPath, holding: HoldingRule, rule_name: str, event: EventType, policy: Policy
) -> Iterator[PolicyError]:
    """Check that a rule that a holding can have, by its conditions, fits the event and the basis."""
    rule = policy.rules.get(rule_name)
    anchors = [part.anchor for part in rule.parts] if rule else []
    for name, clock in _clock_keys([rule_name], policy).items():
        field_name = holding.key.get(name, name)
        yield from require_key_field((*path, "rule"), clock, name, field_name, event)
        yield from check_no_date((*path, "rule"), [field_name], event)
    if rule_name == holding.rule:
        keys = _clock_keys(variants(rule_name, policy.rules), policy)
        yield from _check_renamed_keys(path, holding, keys)
    for anchor in anchors:
        date = anchor.field
        if date and date not in event.fields and _is_known(date, rule_name, policy):
            why = f"{rule_name} counts from {date!r}, which this event does not have"
            yield (*path, "rule"), f"{why}; add it to `fields`, or take another rule"
        dated = event.fields.get(anchor.field or "")
        if dated and dated.type != "date":
            why = f"counts from {anchor.field!r}, which is a {dated.type}; give it type: date"
            yield (*path, "rule"), why
    basis = policy.bases.get(holding.basis)
    is_maximum = rule and rule.kind == "at_most" and rule.minimum is None
    if rule and basis and basis.is_statutory and is_maximum and rule.is_in_statement:
        yield (
            (*path, "rule"),
            "a statutory basis needs an at_least rule, unless the term is derived",
        )
    if rule and basis:
        yield from _check_withdrawal(path, holding, rule_name, policy)


def _is_known(field: str, rule_name: str, policy: Policy) -> bool:
    return any(field in kind.fields for kind in _types_under(rule_name, policy))


def _types_under(rule_name: str, policy: Policy) -> list[EventType]:
    """Return the event types whose data may be kept under a rule."""
    return [
        kind
        for kind in policy.events.values()
        if any(
            rule_name in variants(part.rule, policy.rules)
            for item in kind.holdings
            for part in (item, item.on_withdrawal, item.on_consent)
            if part
        )
    ]


def check_anchor_fields(policy: Policy) -> Iterator[PolicyError]:
    """Check that a rule counts from a date that an event has; where only one lacks it, that is reported."""
    for name, rule in policy.rules.items():
        if not any(part.anchor.field for part in rule.parts):
            continue
        types = _types_under(name, policy)
        known = {field: None for kind in types for field in kind.fields}
        for index, part in enumerate(rule.parts):
            field = part.anchor.field
            if types and field is not None and field not in known:
                place: DocumentPath = ("of", index) if rule.of else ()
                why = f"no event whose data is kept under the rule has the field {field!r}"
                yield ("rules", name, *place, "anchor", "field"), why + did_you_mean(field, known)


def _clock_keys(rules: Iterable[str], policy: Policy) -> Mapping[str, str]:
    """Return the key fields of the clocks of rules, in order, each with the first clock that has it."""
    clocks = [
        part.anchor.clock
        for name in rules
        if name in policy.rules
        for part in policy.rules[name].parts
        if part.anchor.clock in policy.clocks
    ]
    keys: dict[str, str] = {}
    for clock in filter(None, clocks):
        for name in policy.clocks[clock].key:
            keys.setdefault(name, clock)
    return keys


def _check_renamed_keys(
    path: DocumentPath, holding: HoldingRule, keys: Collection[str]
) -> Iterator[PolicyError]:
    for name in holding.key:
        if name not in keys:
            nearest = did_you_mean(name, keys)
            yield (*path, "key", name), f"{name!r} is not a key field of the rule's clock{nearest}"


def _check_withdrawal(
    path: DocumentPath, holding: HoldingRule, rule_name: str, policy: Policy
) -> Iterator[PolicyError]:
    """Check that a minimum term on consent states why a withdrawal does not end it (GDPR 7(3))."""
    ground = holding.survives_withdrawal
    if _goes_on(holding, rule_name, policy) and not (ground and ground.strip()):
        wrong, instead = "has a minimum", "one without"
        if policy.rules[rule_name].kind == "at_least":
            wrong, instead = "is an at_least rule", "an at_most rule"
        yield (
            (*path, "rule"),
            f"{rule_name!r} {wrong}, which a withdrawal of consent would not end;"
            f" use {instead}, or state the ground for keeping it in survives_withdrawal",
        )
    names = variants(holding.rule, policy.rules)
    if ground is not None and not any(_goes_on(holding, name, policy) for name in names):
        yield (
            (*path, "survives_withdrawal"),
            "is allowed only for a minimum term on consent without on_withdrawal; remove it",
        )


def _goes_on(holding: HoldingRule, rule_name: str, policy: Policy) -> bool:
    """Return whether a rule keeps the data on although consent is withdrawn."""
    rule = policy.rules[rule_name]
    has_minimum = rule.kind == "at_least" or rule.minimum is not None
    is_on_consent = policy.bases[holding.basis].ground == "consent"
    return is_on_consent and has_minimum and holding.on_withdrawal is None


def check_consent_changes(
    path: DocumentPath, holding: HoldingRule, policy: Policy
) -> Iterator[PolicyError]:
    for key in ("on_withdrawal", "on_consent"):
        alternative: ConsentFallback | None = getattr(holding, key)
        if alternative is None:
            continue
        yield from require_defined((*path, key, "basis"), alternative.basis, policy.bases)
        yield from require_defined((*path, key, "rule"), alternative.rule, policy.rules)
        yield from check_unconditional((*path, key, "rule"), alternative.rule, policy)
        for own_name, name in _applying_together(holding.rule, alternative.rule, policy):
            if _counted_from(policy.rules[own_name]) != _counted_from(policy.rules[name]):
                yield (*path, key, "rule"), f"must have the same anchor and kind as {own_name}"
                break
        basis = policy.bases.get(holding.basis if key == "on_withdrawal" else alternative.basis)
        if basis and basis.ground != "consent":
            yield (*path, key), "is allowed only for a holding on consent"
    if holding.on_withdrawal and holding.on_consent:
        yield (*path, "on_consent"), "is not allowed together with on_withdrawal"


def _applying_together(own: str, other: str, policy: Policy) -> Iterator[tuple[str, str]]:
    """Return each two rules, of one and of another with their variants, that can apply to one event."""
    if own in policy.rules and other in policy.rules:
        for pair in product(variants(own, policy.rules), variants(other, policy.rules)):
            if common_conditions(*pair, policy.rules) is not None:
                yield pair


def _counted_from(rule: Rule) -> tuple[object, ...]:
    return rule.kind, rule.ends, [(part.anchor, part.if_any) for part in rule.parts]
