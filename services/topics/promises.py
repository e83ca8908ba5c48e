"""Promises: how long the log may keep what a topic carries. A pure function of policy and schema.

A term counts from the earliest instant at which it can start, the event itself: what hangs on a clock may
see it stop right after. The log cannot be told to erase one person's records, so what ends at once, by a
term of none or by what a person says, is in time only where the fields are encrypted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from schemas.catalogue import Topic
from schemas.leaves import leaves
from services.policy.calendar import Period
from services.policy.model import EventType, HoldingRule, Policy

_DAY_MS = 24 * 60 * 60 * 1000
_SHORTEST_YEAR = 365
_SHORTEST_MONTHS = (0, 28, 59, 89, 120, 150, 181, 212, 242, 273, 303, 334)
"""So many days has the shortest stretch of so many months."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What is promised of a topic."""

    topic: Topic
    kind: Literal["business", "own"]
    window_ms: int | None = None
    """The shortest term of what it carries, in milliseconds; None: no term ends there by itself."""
    rule: str | None = None
    """The rule of that term."""
    at_once: tuple[str, ...] = ()
    """What ends what it carries at its own instant: rules with a term of none, and rights."""
    in_clear: tuple[str, ...] = ()
    """Fields that the log shows whole to whoever has a copy; deciding fields are not among them."""


def promises(
    policy: Policy, topics: Sequence[Topic], fields: dict[str, tuple[str, ...]]
) -> tuple[Promise, ...]:
    """What is promised of each topic; `fields` are those in clear by event type."""
    found = [
        _of_business(topic, policy.events[topic.schema], policy, fields.get(topic.schema, ()))
        if topic.schema in policy.events
        else Promise(topic=topic, kind="own")
        for topic in topics
    ]
    shortest = min(
        (one for one in found if one.window_ms is not None),
        key=lambda one: one.window_ms or 0,
        default=None,
    )
    return tuple(_with_all(one, shortest) for one in found)


def in_clear(event: EventType, definition: Any) -> tuple[str, ...]:
    """The fields of an event, by its schema (Avro, as JSON), that decide nothing and lie open."""
    return tuple(
        leaf.path for leaf in leaves(definition) if leaf.path.partition("[")[0] not in event.fields
    )


def shortest_ms(term: Period) -> int:
    """The shortest time that a period can last, in milliseconds."""
    years, months = divmod(term.months, 12)
    days = years * _SHORTEST_YEAR + _SHORTEST_MONTHS[months] + term.days
    return days * _DAY_MS + int(term.exact / timedelta(milliseconds=1))


def _of_business(
    topic: Topic, event: EventType, policy: Policy, in_clear: tuple[str, ...]
) -> Promise:
    terms = {name: shortest_ms(policy.rules[name].period) for name in _rules(event.holdings)}
    lasting = {name: ms for name, ms in terms.items() if ms}
    rule = min(lasting, key=lambda name: (lasting[name], name), default=None)
    at_once = [f"{name} ({policy.rules[name].term})" for name, ms in terms.items() if not ms]
    return Promise(
        topic=topic,
        kind="business",
        window_ms=lasting[rule] if rule else None,
        rule=rule,
        at_once=(*sorted(at_once), *_rights(event, policy)),
        in_clear=in_clear if event.holdings else (),
    )


def _rules(holdings: Iterable[HoldingRule]) -> Iterator[str]:
    for one in holdings:
        yield one.rule
        for other in (one.on_withdrawal, one.on_consent):
            if other:
                yield other.rule


def _rights(event: EventType, policy: Policy) -> Iterator[str]:
    """What a person can say that ends a holding at once (GDPR 7(3), 17(1), 21(2))."""
    free = [one for one in event.holdings if policy.rules[one.rule].kind == "at_most"]
    if any(policy.bases[one.basis].ground == "consent" for one in free):
        yield "consent withdrawn"
    if any(policy.purposes[one.purpose].objection != "restrict" for one in free):
        yield "objection"
    if any(not policy.bases[one.basis].statutory for one in free):
        yield "erasure request"


def _with_all(one: Promise, shortest: Promise | None) -> Promise:
    """Tags and dead letters are of every event: the shortest term of all is theirs."""
    if one.kind == "business" or shortest is None or one.topic.schema in _OF_ONE_SYSTEM:
        return one
    return Promise(topic=one.topic, kind="own", window_ms=shortest.window_ms, rule=shortest.rule)


_OF_ONE_SYSTEM = ("command", "acknowledgement")
"""They leave when a term has run out, and carry identifiers only: the catalogue's own term is theirs."""
