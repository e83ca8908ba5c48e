"""Retention requirements: how long Kafka may keep what a topic contains. Pure, from policy and schema.

A term counts from the earliest instant at which it can start, the event itself: a retention clock may end
right after it. Kafka cannot erase one person's records, so data that must be erased at once, without a term
or after a privacy event, is erased in time only where its fields are encrypted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal

from schemas.avro_paths import field_paths
from schemas.topics import Topic
from services.policy.calendar import Period
from services.policy.conditions import rules_of, variants
from services.policy.event_type import EventType, HoldingRule
from services.policy.model import Policy
from services.policy.rule import Rule
from services.policy.validation_encryption import is_within

_DAY_MS = 24 * 60 * 60 * 1000
_SHORTEST_YEAR = 365
_SHORTEST_MONTHS = (0, 28, 59, 89, 120, 150, 181, 212, 242, 273, 303, 334)
"""The days of the shortest span of 0 to 11 months."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRequirement:
    """How long a topic may keep its records, and why."""

    topic: Topic
    kind: Literal["business", "own"]
    window_ms: int | None = None
    """The shortest term of its contents, in milliseconds; None: no term ends automatically."""
    rule: str | None = None
    """The rule of that term."""
    immediate_ends: tuple[str, ...] = ()
    """The rules without a term, and the rights, that end a holding at once."""
    plaintext_fields: tuple[str, ...] = ()
    """Fields that are readable in any copy of the log, without the decision fields."""


def retention_requirements(
    policy: Policy, topics: Sequence[Topic], fields: Mapping[str, tuple[str, ...]]
) -> tuple[RetentionRequirement, ...]:
    """Return the requirement of each topic; `fields` are the plaintext fields by event type."""
    requirements = [
        _business_requirement(
            topic, policy.events[topic.schema], policy, fields.get(topic.schema, ())
        )
        if topic.schema in policy.events
        else RetentionRequirement(topic=topic, kind="own")
        for topic in topics
    ]
    rules = {
        name: rule
        for topic in topics
        if topic.schema in policy.events
        for name, rule in _term_ms_by_rule(policy.events[topic.schema], policy).items()
    }
    return tuple(_with_shortest_term(requirement, rules) for requirement in requirements)


def plaintext_fields(event: EventType, definition: Any) -> tuple[str, ...]:
    """Return the fields of an event, by its schema (Avro, as JSON), that are personal and not encrypted.

    Decision fields, encrypted fields and those that the policy declares `plain` are left out.
    """
    other_fields = (*event.fields, *event.encrypted, *event.plain)
    return tuple(
        leaf.path
        for leaf in field_paths(definition)
        if not any(is_within(name, leaf.path) for name in other_fields)
    )


def shortest_ms(term: Period) -> int:
    """Return the shortest time that a period can last, in milliseconds."""
    years, months = divmod(term.months, 12)
    days = years * _SHORTEST_YEAR + _SHORTEST_MONTHS[months] + term.days
    return days * _DAY_MS + int(term.exact / timedelta(milliseconds=1))


def _business_requirement(
    topic: Topic, event: EventType, policy: Policy, plaintext: tuple[str, ...]
) -> RetentionRequirement:
    if event.encrypted and not plaintext:
        # Destroying keys erases the data of its own subject; data of others stays readable.
        holdings_of_others = tuple(holding for holding in event.holdings if holding.subject)
        event, plaintext = replace(event, holdings=holdings_of_others), tuple(event.encrypted)
    term_ms_by_rule = _term_ms_by_rule(event, policy)
    rule = _rule_with_shortest_term(term_ms_by_rule)
    immediate_ends = [
        f"{name} ({_shortest_text(policy.rules[name])})"
        for name in sorted(_rule_names(event.holdings, policy) - term_ms_by_rule.keys())
        if not policy.rules[name].never_ends
    ]
    return RetentionRequirement(
        topic=topic,
        kind="business",
        window_ms=term_ms_by_rule[rule] if rule else None,
        rule=rule,
        immediate_ends=(*immediate_ends, *_rights_that_end(event, policy)),
        plaintext_fields=plaintext if event.holdings else (),
    )


def _term_ms_by_rule(event: EventType, policy: Policy) -> dict[str, int]:
    """Return the rules of an event that have a term, each with its shortest time in milliseconds."""
    terms = {name: _rule_ms(policy.rules[name]) for name in _rule_names(event.holdings, policy)}
    return {name: ms for name, ms in terms.items() if ms}


def _rule_ms(rule: Rule) -> int:
    """Return the shortest time after an event in which a rule can end; 0 for none, or if it never does."""
    times = [shortest_ms(period) for part in rule.parts for period in part.periods]
    may_have_passed = any(part.anchor.kind == "field" for part in rule.parts)
    return 0 if may_have_passed else min(times, default=0)


def _shortest_text(rule: Rule) -> str:
    """Return the term of a rule that can end at once, or the date from which it counts."""
    dates = [str(part.anchor) for part in rule.parts if part.anchor.kind == "field"]
    return dates[0] if dates else "P0D"


def _rule_with_shortest_term(term_ms_by_rule: Mapping[str, int]) -> str | None:
    return min(term_ms_by_rule, key=lambda name: (term_ms_by_rule[name], name), default=None)


def _rule_names(holdings: Iterable[HoldingRule], policy: Policy) -> set[str]:
    return {name for holding in holdings for name in rules_of(holding, policy)}


def _rights_that_end(event: EventType, policy: Policy) -> Iterator[str]:
    """Yield the rights by which a person can end a holding at once (GDPR 7(3), 17(1), 21(2))."""
    erasable = [
        holding
        for holding in event.holdings
        if any(
            policy.rules[name].kind == "at_most" for name in variants(holding.rule, policy.rules)
        )
    ]
    if any(policy.bases[holding.basis].ground == "consent" for holding in erasable):
        yield "consent withdrawn"
    if any(policy.purposes[holding.purpose].objection != "restrict" for holding in erasable):
        yield "objection"
    if any(not policy.bases[holding.basis].is_statutory for holding in erasable):
        yield "erasure request"


def _with_shortest_term(
    requirement: RetentionRequirement, term_ms_by_rule: Mapping[str, int]
) -> RetentionRequirement:
    """Tagged events and dead letters contain every event: their term is the shortest of all."""
    rule = _rule_with_shortest_term(term_ms_by_rule)
    if (
        requirement.kind == "business"
        or rule is None
        or requirement.topic.schema in _SCHEMAS_WITHOUT_TERM
    ):
        return requirement
    return RetentionRequirement(
        topic=requirement.topic, kind="own", window_ms=term_ms_by_rule[rule], rule=rule
    )


_SCHEMAS_WITHOUT_TERM = ("command", "acknowledgement", "evidence-head")
"""Commands and acknowledgements are sent after a term has ended and contain identifiers only, and heads
name nobody: the catalogue's own term applies to them."""
