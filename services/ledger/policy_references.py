"""Check that a new policy still has the systems and purposes that recorded events and commands name."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from schemas.errors import TermijnError
from services.ledger import tables
from services.policy import placement
from services.policy.model import Policy
from services.policy.placement import Placement, Placements

_FETCH_SIZE = 5_000


class PolicyStillNeeds(TermijnError):
    """The policy lacks systems or purposes that the ledger names; the active policy stays as it is.

    Roles under the new policy could not read recorded events, and promised erasures would not be done.
    The operator puts each back into the policy, and retires those that are to get nothing new.
    """

    def __init__(self, systems: tuple[str, ...], purposes: tuple[str, ...]) -> None:
        kinds = (("systems", systems), ("purposes", purposes))
        required = "; ".join(f"{kind} {', '.join(names)}" for kind, names in kinds if names)
        super().__init__(
            f"policy: the ledger still needs: {required};"
            " keep each in the policy and in its holdings, with `retired: INSTANT`:"
            " later events create nothing new there, and what was promised before is carried out"
        )
        self.systems = systems
        self.purposes = purposes


class Drop(NamedTuple):
    """A system that no longer holds the events of a type."""

    event_type: str
    system: str

    def __str__(self) -> str:
        return f"{self.event_type}:{self.system}"


class PromiseDropped(TermijnError):
    """The policy removes systems from the placements of recorded events; the active policy stays as it is.

    No command would ever erase these events there. The operator puts each back into a holding of its
    type, or states by name, on record, that it never held them.
    """

    def __init__(self, drops: Iterable[Drop]) -> None:
        self.drops = tuple(sorted(drops))
        super().__init__(
            "policy: these systems would never erase recorded events:"
            f" {', '.join(f'{drop.system} those of {drop.event_type}' for drop in self.drops)};"
            " put each system back into the type's holdings, with `retired: INSTANT` if it is to get"
            " nothing new; or, if it never held such events, give"
            f" {' '.join(f'--drop {drop}' for drop in self.drops)}"
        )


class NothingDropped(TermijnError):
    """The operator named a system and an event type that the policy does not separate."""

    def __init__(self, drops: Iterable[Drop]) -> None:
        self.drops = tuple(sorted(drops))
        super().__init__(
            "--drop: the policy does not remove that system from recorded events of that type, got"
            f" {' '.join(f'--drop {drop}' for drop in self.drops)}; leave it out, or fix its name"
        )


def system_fields(policy: Policy) -> dict[str, set[str]]:
    """Return, by event type, the fields that name systems to which its data goes."""
    return {
        name: {holding.systems_from for holding in event.holdings if holding.systems_from}
        for name, event in policy.events.items()
    }


def systems_named(deciding: Mapping[str, Any], fields: Collection[str]) -> Iterator[str]:
    """Return the systems that an event itself names in these fields."""
    for field in fields:
        value = deciding.get(field) or ()
        yield from [value] if isinstance(value, str) else value


def check_references(
    connection: Connection, policy: Policy, before: Placements, accepted: Collection[Drop]
) -> None:
    """Check that the policy has each system and purpose that is still needed.

    Needed are those that commands and recorded events name, and each system that holds a recorded type of
    event by the placements `before`, those of the active policy: erasure there was promised. `accepted`
    names the systems that, as an operator confirmed, never held events of a type.

    Raises:
        PolicyStillNeeds: the policy lacks a system or a purpose; each is named.
        PromiseDropped: it has a system, but removes it from recorded events; each is named.
        NothingDropped: `accepted` names a system and an event type that the policy does not separate.
    """
    systems: set[str] = set()
    purposes: set[str] = set()
    command, wording = tables.command.c, tables.wording.c
    for row in connection.execute(
        select(command.system, wording.purposes)
        .join(tables.wording, wording.wording_id == command.wording_id)
        .distinct()
    ):
        systems.add(row.system)
        purposes.update(json.loads(row.purposes))
    for kind, name in _named_by_events(connection, policy):
        (systems if kind == "system" else purposes).add(name)
    systems |= _dropped_systems(connection, policy, placement.possible_systems(before))
    missing_names = (
        sorted(systems - policy.systems.keys()),
        sorted(purposes - policy.purposes.keys()),
    )
    if any(missing_names):
        raise PolicyStillNeeds(tuple(missing_names[0]), tuple(missing_names[1]))
    drops = set(_find_drops(connection, before, placement.placements(policy)))
    if unconfirmed := drops.difference(accepted):
        raise PromiseDropped(unconfirmed)
    if unknown := set(accepted) - drops:
        raise NothingDropped(unknown)


def _find_drops(connection: Connection, before: Placements, after: Placements) -> Iterator[Drop]:
    """Return each system that recorded events of a type lose, also by the systems that the events name."""
    for name, old_placements in sorted(before.items()):
        new_placements = after.get(name, ())
        if old_placements != new_placements:
            yield from (
                Drop(name, system)
                for system in _find_lost_systems(connection, name, old_placements, new_placements)
            )


def _find_lost_systems(
    connection: Connection,
    name: str,
    old_placements: Sequence[Placement],
    new_placements: Sequence[Placement],
) -> set[str]:
    query = select(tables.event.c.deciding).where(tables.event.c.type == name)
    is_certain = all(item.is_certain for item in (*old_placements, *new_placements))
    if is_certain:
        query = query.limit(1)  # all are in the same systems
    lost = set[str]()
    for deciding in connection.execute(query.execution_options(yield_per=_FETCH_SIZE)).scalars():
        lost |= placement.lost_systems(old_placements, new_placements, json.loads(deciding))
    return lost


def _dropped_systems(
    connection: Connection, policy: Policy, serving: Mapping[str, Collection[str]]
) -> set[str]:
    dropped = {name: set(systems) - policy.systems.keys() for name, systems in serving.items()}
    types = [name for name, systems in dropped.items() if systems]
    column = tables.event.c.type
    recorded = connection.execute(select(column).where(column.in_(types)).distinct()).scalars()
    return {system for name in recorded for system in dropped[name]}


def _named_by_events(connection: Connection, policy: Policy) -> Iterator[tuple[str, str]]:
    """Return what events themselves name: the purpose of a consent, the systems that an order goes to."""
    fields = system_fields(policy)
    types = [name for name, event in policy.events.items() if event.act or fields[name]]
    column = tables.event.c
    query = select(column.type, column.deciding).where(column.type.in_(types))
    for row in connection.execute(query.execution_options(yield_per=_FETCH_SIZE)):
        deciding = json.loads(row.deciding)
        if policy.events[row.type].act and isinstance(deciding.get("purpose"), str):
            yield "purpose", deciding["purpose"]
        yield from (("system", system) for system in systems_named(deciding, fields[row.type]))
