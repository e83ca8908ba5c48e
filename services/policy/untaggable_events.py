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
from services.policy.sources import HOLD_EVENTS
from services.policy.tagging import (
    ClockKey,
    DecisionValue,
    TaggingFailed,
    clock_key,
    find_subject,
    read_field,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class VisibleParts:
    """As much of an event as can be seen."""

    event_type: str | None
    """Nothing where it may be of any type."""
    subject: str | None = None
    clocks: Mapping[str, tuple[ClockKey, ...]] = field(default_factory=dict)
    """By kind, those that it would move; a kind that is missing may be moved anywhere."""


def read_visible_parts(
    event_type: str | None, data: Mapping[str, Any], policy: Policy
) -> VisibleParts:
    """What can be seen of an event of a type by its data, whatever is wrong with the rest of it."""
    kind = policy.events.get(event_type or "")
    if kind is None:
        return VisibleParts(event_type=event_type)
    deciding: dict[str, DecisionValue] = {}
    unreadable = {name for name in kind.fields if not _read_into(name, kind, data, deciding)}
    subject: str | None = None
    if unreadable.isdisjoint(changed.field for changed in kind.subject):
        with suppress(TaggingFailed):
            subject = find_subject(kind, deciding, policy)
    clocks: dict[str, tuple[ClockKey, ...]] = {}
    unknown: set[str] = set()
    for move in kind.moves:
        names = {move.key.get(name, name) for name in policy.clocks[move.clock].key}
        if names & unreadable:
            unknown.add(move.clock)
        elif names <= deciding.keys():
            changed = clock_key(move.clock, deciding, policy, move.key)
            clocks[move.clock] = (*clocks.get(move.clock, ()), changed)
        else:  # an optional key that is absent moves nothing
            clocks.setdefault(move.clock, ())
    visible = {
        name: changed_clocks for name, changed_clocks in clocks.items() if name not in unknown
    }
    return VisibleParts(event_type=event_type, subject=subject, clocks=visible)


def can_forbid_erasure(event: EventType) -> bool:
    """Whether its events could forbid an erasure: by a hold, or by moving a clock.

    An end forbids as well: one that comes after another moves what is due to later.
    """
    return event.act in HOLD_EVENTS or bool(event.moves)


def _read_into(
    name: str, kind: EventType, data: Mapping[str, Any], deciding: dict[str, DecisionValue]
) -> bool:
    """Read a deciding field, if it can be; whether it says what an event of the type says there."""
    spec = kind.fields[name]
    try:
        value = read_field(name, spec, data)
    except TaggingFailed:
        return False
    if value is not None:
        deciding[name] = value
    return value is not None or not spec.required
