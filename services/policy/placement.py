"""Placements: which systems hold the data of each event type, stored when a policy is activated.

A new policy is compared with the placements of the active one: a system that no longer holds the events of
a type would never erase those that it has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, Self

from services.policy.event_type import HoldingRule
from services.policy.model import Policy


class Placed(Protocol):
    """What decides which systems hold an event's data: a policy's holding, or its stored placement."""

    @property
    def systems(self) -> Sequence[str]:
        """Return the systems that hold the data of every event."""

    @property
    def systems_when(self) -> Mapping[str, Mapping[str, Sequence[str]]]:
        """Return further systems, by a field and its value."""

    @property
    def when(self) -> Mapping[str, Sequence[str | bool]]:
        """Return, by field, the values of the events that are held at all."""


def applies_to(placed: Placed, deciding: Mapping[str, Any]) -> bool:
    """Return whether events with these decision fields are held at all."""
    return all(deciding.get(name) in values for name, values in placed.when.items())


def declared_systems(placed: Placed) -> frozenset[str]:
    """Return every system that may hold the data, except those that an event itself names."""
    by_value = (names for values in placed.systems_when.values() for names in values.values())
    return frozenset(placed.systems).union(*by_value)


def systems_by_fields(placed: Placed, deciding: Mapping[str, Any]) -> set[str]:
    """Return the systems that hold an event with these decision fields, except those that it names."""
    systems = set(placed.systems)
    for name, by_value in placed.systems_when.items():
        systems.update(by_value.get(str(deciding.get(name)), ()))
    return systems


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The systems of one holding of an event type, and the fields that decide about them."""

    systems: Sequence[str]
    systems_when: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    systems_from: str | None = None
    when: Mapping[str, Sequence[str | bool]] = field(default_factory=dict)
    for_kinds: Sequence[str] = ()
    subject: str = ""
    """The field that names whose data it is; empty if it is the event's own subject."""

    @classmethod
    def from_holding(cls, holding: HoldingRule) -> Self:
        """Return the placement of a policy's holding, in lists as JSON has them."""
        return cls(
            systems=sorted(holding.systems),
            systems_when={
                name: {value: sorted(systems) for value, systems in by_value.items()}
                for name, by_value in holding.systems_when.items()
            },
            systems_from=holding.systems_from,
            when={name: list(values) for name, values in holding.when.items()},
            for_kinds=sorted(holding.for_kinds),
            subject=holding.subject.field if holding.subject else "",
        )

    @property
    def is_certain(self) -> bool:
        """Return whether every event of the type is in the same systems, whatever its fields."""
        return not (self.systems_when or self.systems_from or self.when or self.for_kinds)

    def systems_of(self, deciding: Mapping[str, Any]) -> set[str]:
        """Return the systems that hold an event with these decision fields, of any subject."""
        if not applies_to(self, deciding):
            return set()
        named_by_event = deciding.get(self.systems_from) or () if self.systems_from else ()
        return systems_by_fields(self, deciding).union(named_by_event)


Placements = Mapping[str, Sequence[Placement]]
"""The placements of each event type."""


def placements(policy: Policy) -> Placements:
    """Return the placements of every event type of a policy."""
    return {
        name: [Placement.from_holding(holding) for holding in event.holdings]
        for name, event in policy.events.items()
    }


def to_json(placements_by_type: Placements) -> dict[str, list[dict[str, Any]]]:
    """Return placements as JSON values."""
    return {
        name: [asdict(placement) for placement in type_placements]
        for name, type_placements in placements_by_type.items()
    }


def from_json(stored: Mapping[str, Iterable[Mapping[str, Any]]]) -> Placements:
    """Return the placements that `to_json` wrote."""
    return {
        name: [Placement(**placement) for placement in type_placements]
        for name, type_placements in stored.items()
    }


def possible_systems(placements_by_type: Placements) -> dict[str, list[str]]:
    """Return, by event type, every system that may hold its events, except those that an event names."""
    return {
        name: sorted(frozenset[str]().union(*map(declared_systems, type_placements)))
        for name, type_placements in placements_by_type.items()
    }


def lost_systems(
    before: Sequence[Placement], after: Sequence[Placement], deciding: Mapping[str, Any]
) -> set[str]:
    """Return the systems that held an event with these decision fields, and no longer hold it.

    Holdings of one kind of subject are compared with holdings of the same kind, or of all kinds.
    """
    lost = set[str]()
    for subject_kinds in {(placement.subject, tuple(placement.for_kinds)) for placement in before}:
        all_kinds = (subject_kinds[0], ())
        held_before = _systems(before, {subject_kinds}, deciding)
        lost |= held_before - _systems(after, {subject_kinds, all_kinds}, deciding)
    return lost


def _systems(
    placements: Iterable[Placement],
    subject_kinds: Collection[tuple[str, tuple[str, ...]]],
    deciding: Mapping[str, Any],
) -> set[str]:
    selected = (
        placement
        for placement in placements
        if (placement.subject, tuple(placement.for_kinds)) in subject_kinds
    )
    return set[str]().union(*(placement.systems_of(deciding) for placement in selected))
