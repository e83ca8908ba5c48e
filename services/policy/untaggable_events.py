"""Read as much as possible of an event that cannot be tagged, since it could forbid an erasure.

A parked legal hold has no effect. Until an operator has settled it, the subject and the clocks that it
names limit, as narrowly as can be known, what must not be erased meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from services.policy.event_fields import read_field
from services.policy.event_subject import find_subject
from services.policy.event_type import EventType
from services.policy.model import Policy
from services.policy.sources import HOLD_EVENTS
from services.policy.tagged_event import ClockKey, DecisionValue
from services.policy.tagging import clock_key
from services.policy.tagging_error import TaggingFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class VisibleParts:
    """The parts of an untaggable event that can be read."""

    event_type: str | None
    """None if it may be of any type."""
    subject: str | None = None
    clocks: Mapping[str, tuple[ClockKey, ...]] = field(default_factory=dict)
    """By kind, the clocks that it would change; of a kind that is missing it may change any clock."""


def read_visible_parts(
    event_type: str | None, data: Mapping[str, Any], policy: Policy
) -> VisibleParts:
    """Return what can be read of an event of a type, whatever is wrong with the rest of its data."""
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
        else:  # without an optional key it changes no clock
            clocks.setdefault(move.clock, ())
    visible = {
        name: changed_clocks for name, changed_clocks in clocks.items() if name not in unknown
    }
    return VisibleParts(event_type=event_type, subject=subject, clocks=visible)


def can_forbid_erasure(event: EventType) -> bool:
    """Return whether events of a type could forbid an erasure: by a legal hold, or by changing a clock.

    An end can forbid as well: a second, later end makes what is due later.
    """
    return event.act in HOLD_EVENTS or bool(event.moves)


def _read_into(
    name: str, kind: EventType, data: Mapping[str, Any], deciding: dict[str, DecisionValue]
) -> bool:
    """Read a decision field into `deciding` if possible; return whether it is valid for the event type."""
    spec = kind.fields[name]
    try:
        value = read_field(name, spec, data)
    except TaggingFailed:
        return False
    if value is not None:
        deciding[name] = value
    return value is not None or not spec.required
