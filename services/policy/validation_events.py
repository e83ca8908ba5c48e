"""Check the event types of a policy: its fields, subjects, holdings, clock changes and privacy events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import get_args

from services.policy.conditions import variants
from services.policy.event_type import (
    EventType,
    Field,
    HoldingRule,
    MoveRule,
    PrivacyEventKind,
    ProvenanceRule,
    SubjectField,
)
from services.policy.model import Policy, Right
from services.policy.nearest_name import did_you_mean
from services.policy.sources import OWN_SOURCE, admits_source
from services.policy.subject_state import CLOSING_EVENTS
from services.policy.validation_fields import (
    check_no_date,
    require_defined,
    require_key_field,
    require_possible_value,
)
from services.policy.validation_terms import (
    check_consent_changes,
    check_term_of,
    check_unconditional,
)
from services.policy.yaml_source import DocumentPath, PolicyError


def check_event(event: EventType, policy: Policy) -> Iterator[PolicyError]:
    """Return every problem of an event type, each with its path below the event type's name."""
    for name, field in event.fields.items():
        if field.type == "date":
            yield from _check_date(name, field)
        if field.default is not None:
            yield from require_possible_value(("fields", name, "default"), [field.default], field)
        if field.identifies:
            yield from _check_identifying(name, field, event)
    if not event.holdings and not event.moves and not event.act and not event.provenance:
        yield (), "has no effect: it needs holdings, moves, an act or provenance"
    if event.act:
        yield from _check_act(event, policy)
    if event.provenance:
        yield from _check_provenance(event.provenance, event)
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


def _check_provenance(rule: ProvenanceRule, event: EventType) -> Iterator[PolicyError]:
    if not event.subject:
        yield ("provenance",), "needs an event that names its data subject"
    if any(subject.each for subject in event.subject):
        yield ("provenance",), "is not allowed for an event with several data subjects"
    for key, condition in (("when", rule.when), ("unless", rule.unless)):
        place: DocumentPath = ("provenance", key)
        yield from check_no_date(place, condition, event)
        for name, values in condition.items():
            yield from require_defined((*place, name), name, event.fields)
            yield from require_possible_value((*place, name), values, event.fields.get(name))


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
    yield from check_no_date((*path, "field"), [subject.field], event)
    field = event.fields.get(subject.field)
    if field and (field.type == "strings") != subject.each:
        yield (*path, "field"), "`each` must be set for a list field, and for no other field"


def _check_holding(
    path: DocumentPath, holding: HoldingRule, event: EventType, policy: Policy
) -> Iterator[PolicyError]:
    yield from require_defined((*path, "purpose"), holding.purpose, policy.purposes)
    yield from require_defined((*path, "basis"), holding.basis, policy.bases)
    yield from require_defined((*path, "rule"), holding.rule, policy.rules)
    yield from check_unconditional((*path, "rule"), holding.rule, policy)
    if not holding.systems:
        yield (*path, "systems"), "a holding must be in at least one system"
    for index, system in enumerate(holding.systems):
        yield from require_defined((*path, "systems", index), system, policy.systems)
    for index, kind in enumerate(holding.for_kinds):
        yield from require_defined((*path, "for_kinds", index), kind, policy.subjects)
    if holding.subject:
        yield from _check_subject((*path, "subject"), holding.subject, event, policy)
    yield from check_no_date(path, (*holding.when, *holding.systems_when), event)
    for name, allowed in holding.when.items():
        yield from require_defined((*path, "when", name), name, event.fields)
        yield from require_possible_value((*path, "when", name), allowed, event.fields.get(name))
    for name, by_value in holding.systems_when.items():
        yield from require_defined((*path, "systems_when", name), name, event.fields)
        for value, systems in by_value.items():
            place = (*path, "systems_when", name, value)
            yield from require_possible_value(place, [value], event.fields.get(name))
            for system in systems:
                yield from require_defined(
                    (*path, "systems_when", name, value), system, policy.systems
                )
    yield from require_defined((*path, "systems_from"), holding.systems_from, event.fields)
    listed = event.fields.get(holding.systems_from or "")
    if listed and listed.type != "strings":
        yield (*path, "systems_from"), "is not a list field"
    for name in variants(holding.rule, policy.rules):
        yield from check_term_of(path, holding, name, event, policy)
    yield from check_consent_changes(path, holding, policy)


ACT_FIELDS: Mapping[PrivacyEventKind, tuple[str, ...]] = {
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
"""The fields that an event with each act must have, beside those that name its data subject."""
ACT_VALUES: Mapping[str, tuple[str, ...]] = {
    "right": get_args(Right),
    "outcome": ("upheld", "rejected"),
}
"""The `one_of` of such a field."""


def _check_act(event: EventType, policy: Policy) -> Iterator[PolicyError]:
    """Check that a privacy event has the fields that it needs: without them it would have no effect."""
    if not event.subject:
        yield ("act",), "needs an event that names its data subject"
    for name in ACT_FIELDS[event.act] if event.act else ():
        field = event.fields.get(name)
        if field is None or not field.required or field.type != "string":
            yield ("fields", name), f"must be a required string for {event.act}"
        elif name in ACT_VALUES and set(field.one_of) != set(ACT_VALUES[name]):
            yield ("fields", name, "one_of"), f"must be {', '.join(ACT_VALUES[name])}"


def _check_move(
    path: DocumentPath, move: MoveRule, event: EventType, policy: Policy
) -> Iterator[PolicyError]:
    yield from require_defined((*path, "clock"), move.clock, policy.clocks)
    clock = policy.clocks.get(move.clock)
    for name in clock.key if clock else ():
        field_name = move.key.get(name, name)
        yield from require_key_field((*path, "key", name), move.clock, name, field_name, event)
    yield from check_no_date(path, (move.key.get(n, n) for n in clock.key) if clock else (), event)
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
