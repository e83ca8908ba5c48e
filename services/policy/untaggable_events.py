"""Glimpses: what can be seen of an event that cannot be tagged, and could have forbidden an erasure.

A parked hold holds nothing. Until somebody has looked at it, whom it is about, and which clocks it would
move, says as narrowly as can be known what must not be erased meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from services.policy.model import EventType, Policy
from services.policy.sources import FORBIDDING
from services.policy.tagging import (
    ClockKey,
    TaggingFailed,
    Value,
    clock_key,
    read_field,
    subject_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Glimpse:
    """As much of an event as can be seen."""

    event_type: str | None
    """Nothing where it may be of any type."""
    subject: str | None = None
    clocks: Mapping[str, tuple[ClockKey, ...]] = field(default_factory=dict)
    """By kind, those that it would move; a kind that is missing may be moved anywhere."""


def glimpse(event_type: str | None, data: Mapping[str, Any], policy: Policy) -> Glimpse:
    """What can be seen of an event of a type by its data, whatever is wrong with the rest of it."""
    kind = policy.events.get(event_type or "")
    if kind is None:
        return Glimpse(event_type=event_type)
    deciding: dict[str, Value] = {}
    wrong = {name for name in kind.fields if not _read(name, kind, data, deciding)}
    subject: str | None = None
    if wrong.isdisjoint(one.field for one in kind.subject):
        with suppress(TaggingFailed):
            subject = subject_of(kind, deciding, policy)
    clocks: dict[str, tuple[ClockKey, ...]] = {}
    unseen: set[str] = set()
    for move in kind.moves:
        names = {move.key.get(name, name) for name in policy.clocks[move.clock].key}
        if names & wrong:
            unseen.add(move.clock)
        elif names <= deciding.keys():
            one = clock_key(move.clock, deciding, policy, move.key)
            clocks[move.clock] = (*clocks.get(move.clock, ()), one)
        else:  # an optional key that is absent moves nothing
            clocks.setdefault(move.clock, ())
    seen = {name: those for name, those in clocks.items() if name not in unseen}
    return Glimpse(event_type=event_type, subject=subject, clocks=seen)


def forbids(event: EventType) -> bool:
    """Whether its events could forbid an erasure: by a hold, or by moving a clock.

    An end forbids as well: one that comes after another moves what is due to later.
    """
    return event.act in FORBIDDING or bool(event.moves)


def _read(name: str, kind: EventType, data: Mapping[str, Any], deciding: dict[str, Value]) -> bool:
    """Read a deciding field, if it can be; whether it says what an event of the type says there."""
    spec = kind.fields[name]
    try:
        value = read_field(name, spec, data)
    except TaggingFailed:
        return False
    if value is not None:
        deciding[name] = value
    return value is not None or not spec.required
