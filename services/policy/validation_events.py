"""Check the event types of a policy: its fields, subjects, holdings, clock changes and privacy events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import get_args

from services.policy.event_type import (
    ConsentFallback,
    EventType,
    Field,
    HoldingRule,
    MoveRule,
    PrivacyEventKind,
    SubjectField,
)
from services.policy.model import LegalBasis, Policy, Right
from services.policy.nearest_name import did_you_mean
from services.policy.rule import Rule
from services.policy.sources import OWN_SOURCE, admits_source
from services.policy.subject_state import CLOSING_EVENTS
from services.policy.yaml_source import DocumentPath, PolicyError


def check_event(event: EventType, policy: Policy) -> Iterator[PolicyError]:
    """Return every problem of an event type, each with its path below the event type's name."""
    for name, field in event.fields.items():
        if field.type == "date":
            yield from _check_date(name, field)
        if field.default is not None and field.one_of and field.default not in field.one_of:
            nearest = did_you_mean(field.default, field.one_of)
            problem = f"{field.default!r} is not one of {', '.join(field.one_of)}{nearest}"
            yield ("fields", name, "default"), problem
        if field.identifies:
            yield from _check_identifying(name, field, event)
    if not event.holdings and not event.moves and not event.act:
        yield (), "has no effect: it needs holdings, moves or an act"
    if event.act:
        yield from _check_act(event, policy)
    if event.holdings and not event.subject:
        yield ("holdings",), "an event with holdings must name its subject"
    yield from _check_sources(event)
    for index, category in enumerate(event.categories):
        yield from require_defined(("categories", index), category, policy.categories)
    for index, subject in enumerate(event.subject):
        yield from _check_subject(("subject", index), subject, event, policy)
    for index, holding in enumerate(event.holdings):
        yield from _check_holding(("holdings", index), holding, event, policy)
    for index, move in enumerate(event.moves):
        yield from _check_move(("moves", index), move, event, policy)


def _check_sources(event: EventType) -> Iterator[PolicyError]:
    for index, source in enumerate(event.sources):
        if not source.removesuffix("*") or "*" in source[:-1]:
            yield ("sources", index), "must be a source, or a prefix of sources with `*` at its end"
    if event.act in CLOSING_EVENTS and not admits_source(event, OWN_SOURCE):
        yield ("sources",), f"must include {OWN_SOURCE}, as which Termijn itself publishes it"


def _check_date(name: str, field: Field) -> Iterator[PolicyError]:
    for key in ("default", "one_of", "business_key"):
        if getattr(field, key):
            yield ("fields", name, key), "is not allowed for a field of type date"


def _check_no_date(
    path: DocumentPath, names: Iterable[str | None], event: EventType
) -> Iterator[PolicyError]:
    """Check that no field is a date: a date names no person and no clock, and cannot be a condition."""
    for name in names:
        field = event.fields.get(name or "")
        if field and field.type == "date":
            yield (
                path,
                f"{name!r} is a date, which is allowed only for an anchor and for `at` of a move",
            )


def _check_identifying(name: str, field: Field, event: EventType) -> Iterator[PolicyError]:
    """Check that a key identifies one person: a key that many have would stop every command about them."""
    path: DocumentPath = ("fields", name, "identifies")
    if field.type != "string" or field.one_of or field.default is not None:
        yield (
            path,
            "is allowed only for a text without one_of and without default",
        )
    if not event.subject:
        yield path, "is allowed only in an event that names its subject"
    of_holdings = (holding.subject for holding in event.holdings if holding.subject)
    if name in {subject.field for subject in (*event.subject, *of_holdings)}:
        yield path, "is not needed, since the field names a subject; remove it"


def _check_subject(
    path: DocumentPath, subject: SubjectField, event: EventType, policy: Policy
) -> Iterator[PolicyError]:
    yield from require_defined((*path, "kind"), subject.kind, policy.subjects)
    if subject.each and subject.kind is None:
        yield (*path, "kind"), "is needed where a field lists several subjects"
    yield from require_defined((*path, "field"), subject.field, event.fields)
    yield from _check_no_date((*path, "field"), [subject.field], event)
    field = event.fields.get(subject.field)
    if field and (field.type == "strings") != subject.each:
        yield (*path, "field"), "`each` must be set for a list field, and for no other field"


def _check_holding(
    path: DocumentPath, holding: HoldingRule, event: EventType, policy: Policy
) -> Iterator[PolicyError]:
    yield from require_defined((*path, "purpose"), holding.purpose, policy.purposes)
    yield from require_defined((*path, "basis"), holding.basis, policy.bases)
    yield from require_defined((*path, "rule"), holding.rule, policy.rules)
    if not holding.systems:
        yield (*path, "systems"), "a holding must be in at least one system"
    for index, system in enumerate(holding.systems):
        yield from require_defined((*path, "systems", index), system, policy.systems)
    for index, kind in enumerate(holding.for_kinds):
        yield from require_defined((*path, "for_kinds", index), kind, policy.subjects)
    if holding.subject:
        yield from _check_subject((*path, "subject"), holding.subject, event, policy)
    yield from _check_no_date(path, (*holding.when, *holding.systems_when), event)
    for name, allowed in holding.when.items():
        yield from require_defined((*path, "when", name), name, event.fields)
        yield from _require_possible_value((*path, "when", name), allowed, event.fields.get(name))
    for name, by_value in holding.systems_when.items():
        yield from require_defined((*path, "systems_when", name), name, event.fields)
        for value, systems in by_value.items():
            place = (*path, "systems_when", name, value)
            yield from _require_possible_value(place, [value], event.fields.get(name))
            for system in systems:
                yield from require_defined(
                    (*path, "systems_when", name, value), system, policy.systems
                )
    yield from require_defined((*path, "systems_from"), holding.systems_from, event.fields)
    listed = event.fields.get(holding.systems_from or "")
    if listed and listed.type != "strings":
        yield (*path, "systems_from"), "is not a list field"
    yield from _check_term(path, holding, event, policy)
    yield from _check_alternatives(path, holding, policy)


def _check_term(
    path: DocumentPath, holding: HoldingRule, event: EventType, policy: Policy
) -> Iterator[PolicyError]:
    rule = policy.rules.get(holding.rule)
    anchors = [part.anchor for part in rule.parts] if rule else []
    clocks = [policy.clocks[at.clock] for at in anchors if at.clock and at.clock in policy.clocks]
    keys = dict.fromkeys(name for clock in clocks for name in clock.key)
    for name in keys:
        field_name = holding.key.get(name, name)
        yield from require_defined((*path, "rule"), field_name, event.fields)
        yield from _check_no_date((*path, "rule"), [field_name], event)
    for name in holding.key:
        if name not in keys:
            nearest = did_you_mean(name, keys)
            yield (*path, "key", name), f"{name!r} is not a key field of the rule's clock{nearest}"
    for anchor in anchors:
        yield from require_defined((*path, "rule"), anchor.field, event.fields)
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
        yield from _check_withdrawal(path, holding, rule, basis)


def _check_withdrawal(
    path: DocumentPath, holding: HoldingRule, rule: Rule, basis: LegalBasis
) -> Iterator[PolicyError]:
    """Check that a minimum term on consent states why a withdrawal does not end it (GDPR 7(3))."""
    has_minimum = rule.kind == "at_least" or rule.minimum is not None
    goes_on = basis.ground == "consent" and has_minimum and holding.on_withdrawal is None
    ground = holding.survives_withdrawal
    if goes_on and not (ground and ground.strip()):
        wrong, instead = "has a minimum", "one without"
        if rule.kind == "at_least":
            wrong, instead = "is an at_least rule", "an at_most rule"
        yield (
            (*path, "rule"),
            f"{holding.rule!r} {wrong}, which a withdrawal of consent would not end;"
            f" use {instead}, or state the ground for keeping it in survives_withdrawal",
        )
    if ground is not None and not goes_on:
        yield (
            (*path, "survives_withdrawal"),
            "is allowed only for a minimum term on consent without on_withdrawal; remove it",
        )


def _check_alternatives(
    path: DocumentPath, holding: HoldingRule, policy: Policy
) -> Iterator[PolicyError]:
    own_rule = policy.rules.get(holding.rule)
    for key in ("on_withdrawal", "on_consent"):
        alternative: ConsentFallback | None = getattr(holding, key)
        if alternative is None:
            continue
        yield from require_defined((*path, key, "basis"), alternative.basis, policy.bases)
        yield from require_defined((*path, key, "rule"), alternative.rule, policy.rules)
        rule = policy.rules.get(alternative.rule)
        if own_rule and rule and _counted_from(own_rule) != _counted_from(rule):
            yield (*path, key, "rule"), f"must have the same anchor and kind as {holding.rule}"
        basis = policy.bases.get(holding.basis if key == "on_withdrawal" else alternative.basis)
        if basis and basis.ground != "consent":
            yield (*path, key), "is allowed only for a holding on consent"
    if holding.on_withdrawal and holding.on_consent:
        yield (*path, "on_consent"), "is not allowed together with on_withdrawal"


def _counted_from(rule: Rule) -> tuple[object, ...]:
    return rule.kind, rule.ends, [(part.anchor, part.if_any) for part in rule.parts]


_ACT_FIELDS: Mapping[PrivacyEventKind, tuple[str, ...]] = {
    "consent-given": ("purpose",),
    "consent-withdrawn": ("purpose",),
    "objection-raised": ("purpose",),
    "objection-decided": ("purpose", "outcome"),
    "request-received": ("request_id", "right"),
    "identity-verified": ("request_id",),
    "request-extended": ("request_id",),
    "request-answered": ("request_id",),
    "request-refused": ("request_id",),
    "restriction-lifted": (),
    "hold-placed": ("hold_id",),
    "hold-released": ("hold_id",),
}
_ACT_VALUES: Mapping[str, tuple[str, ...]] = {
    "right": get_args(Right),
    "outcome": ("upheld", "rejected"),
}


def _check_act(event: EventType, policy: Policy) -> Iterator[PolicyError]:
    """Check that a privacy event has the fields that it needs: without them it would have no effect."""
    if not event.subject:
        yield ("act",), "needs an event that names its data subject"
    for name in _ACT_FIELDS[event.act] if event.act else ():
        field = event.fields.get(name)
        if field is None or not field.required or field.type != "string":
            yield ("fields", name), f"must be a required string for {event.act}"
        elif name in _ACT_VALUES and set(field.one_of) != set(_ACT_VALUES[name]):
            yield ("fields", name, "one_of"), f"must be {', '.join(_ACT_VALUES[name])}"


def _check_move(
    path: DocumentPath, move: MoveRule, event: EventType, policy: Policy
) -> Iterator[PolicyError]:
    yield from require_defined((*path, "clock"), move.clock, policy.clocks)
    clock = policy.clocks.get(move.clock)
    for name in clock.key if clock else ():
        yield from require_defined((*path, "key", name), move.key.get(name, name), event.fields)
    yield from _check_no_date(path, (move.key.get(n, n) for n in clock.key) if clock else (), event)
    for key in ("at", "outcome"):
        if getattr(move, key) is not None and move.move == "start":
            yield (*path, key), "is allowed only for a clock that ends: `move: end`"
    yield from require_defined((*path, "at"), move.at, event.fields)
    dated = event.fields.get(move.at or "")
    if dated and dated.type != "date":
        yield (*path, "at"), f"{move.at!r} is a {dated.type}; give the field type: date"
    for name in move.key if clock else ():
        if clock and name not in clock.key:
            nearest = did_you_mean(name, clock.key)
            problem = f"{name!r} is not a key field of the clock {move.clock}{nearest}"
            yield (*path, "key", name), problem


def require_defined(
    path: DocumentPath, name: str | None, defined: Mapping[str, object]
) -> Iterator[PolicyError]:
    """Check that a name, if there is one, is a key of the section that defines it."""
    if name is not None and name not in defined:
        yield path, f"{name!r} is not defined{did_you_mean(name, defined)}"


def _require_possible_value(
    path: DocumentPath, values: Iterable[str | bool], field: Field | None
) -> Iterator[PolicyError]:
    """Check that a field can have these values: a condition that is never met would hide its holding."""
    for value in values:
        if field and field.one_of and value not in field.one_of:
            nearest = did_you_mean(str(value), field.one_of)
            yield path, f"{value!r} is not one of {', '.join(field.one_of)}{nearest}"
        if field and (field.type == "boolean") != isinstance(value, bool):
            yield path, f"{value!r} is not a value of type {field.type}"
