"""Needed: what the ledger still names, and a policy that takes over must therefore still know."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, select

from schemas.errors import TermijnError
from services.ledger import tables
from services.policy.model import Policy

_FETCH_SIZE = 5_000


class PolicyStillNeeds(TermijnError):
    """The policy lacks systems or purposes that the ledger names; the active policy stays as it is.

    Roles under the new policy could not read what is recorded, and what was promised there would be carried
    out by nobody. The operator puts each back into the policy, and retires what is to get nothing new.
    """

    def __init__(self, systems: tuple[str, ...], purposes: tuple[str, ...]) -> None:
        kinds = (("systems", systems), ("purposes", purposes))
        missing = "; ".join(f"{kind} {', '.join(names)}" for kind, names in kinds if names)
        super().__init__(
            f"it lacks what the ledger still needs: {missing};"
            " keep each in the policy and in its holdings, and say `retired: INSTANT` of it:"
            " what happens from then on makes nothing new there, and what was before is carried out"
        )
        self.systems = systems
        self.purposes = purposes


def systems_by_event_type(policy: Policy) -> dict[str, list[str]]:
    """Which systems hold what events of each type carry, to be compared with the next policy."""
    return {
        name: sorted({system for one in event.holdings for system in one.served})
        for name, event in policy.events.items()
    }


def system_fields(policy: Policy) -> dict[str, set[str]]:
    """By event type the fields that name systems to which its data goes."""
    return {
        name: {one.systems_from for one in event.holdings if one.systems_from}
        for name, event in policy.events.items()
    }


def systems_named(deciding: Mapping[str, Any], fields: Collection[str]) -> Iterator[str]:
    """The systems that an event itself names in these fields."""
    for field in fields:
        named = deciding.get(field) or ()
        yield from [named] if isinstance(named, str) else named


def check_references(
    connection: Connection, policy: Policy, serving: Mapping[str, Collection[str]]
) -> None:
    """Look whether the policy knows each system and purpose that is still needed.

    That is what commands and recorded events name, and each system that is `serving` events of a type
    under the active policy, where some of that type are recorded: their erasure there was promised.

    Raises:
        PolicyStillNeeds: it does not; each is named.
    """
    systems: set[str] = set()
    purposes: set[str] = set()
    for row in connection.execute(
        select(tables.command.c.system, tables.command.c.purposes).distinct()
    ):
        systems.add(row.system)
        purposes.update(json.loads(row.purposes))
    for kind, name in _named_by_events(connection, policy):
        (systems if kind == "system" else purposes).add(name)
    systems |= _dropped_systems(connection, policy, serving)
    missing = sorted(systems - policy.systems.keys()), sorted(purposes - policy.purposes.keys())
    if any(missing):
        raise PolicyStillNeeds(tuple(missing[0]), tuple(missing[1]))


def _dropped_systems(
    connection: Connection, policy: Policy, serving: Mapping[str, Collection[str]]
) -> set[str]:
    dropped = {name: set(systems) - policy.systems.keys() for name, systems in serving.items()}
    types = [name for name, systems in dropped.items() if systems]
    column = tables.event.c.type
    recorded = connection.execute(select(column).where(column.in_(types)).distinct()).scalars()
    return {system for name in recorded for system in dropped[name]}


def _named_by_events(connection: Connection, policy: Policy) -> Iterator[tuple[str, str]]:
    """What events themselves name: the purpose of a consent, the systems that an order goes to."""
    naming = system_fields(policy)
    types = [name for name, event in policy.events.items() if event.act or naming[name]]
    column = tables.event.c
    query = select(column.type, column.deciding).where(column.type.in_(types))
    for row in connection.execute(query.execution_options(yield_per=_FETCH_SIZE)):
        deciding = json.loads(row.deciding)
        if policy.events[row.type].act and isinstance(deciding.get("purpose"), str):
            yield "purpose", deciding["purpose"]
        yield from (("system", one) for one in systems_named(deciding, naming[row.type]))
