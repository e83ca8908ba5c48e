"""Activate another policy, and preview what that does.

Commands that only the old policy requires are cancelled or recalled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, func, select

from services.deleter.emission import cancel_unwanted
from services.ledger import active_policy, scheduled_policy, tables
from services.ledger.command_state import NOT_CARRIED_OUT
from services.ledger.policy_references import Drop
from services.policy.model import Policy

_CHUNK_SIZE = 500
"""How many commands are checked together."""


def activate(
    connection: Connection,
    policy: Policy,
    now: datetime,
    drops: Collection[Drop] = (),
    operator: str | None = None,
) -> None:
    """Make another policy the active one, and cancel or recall every command that it does not require.

    A command that was not sent is cancelled; one that was sent and is not carried out is recalled. Commands
    that the policy requires in addition follow as every record is checked again. `now` is UTC. `drops`
    names the systems that, as an operator confirmed, never held the recorded events of a type; `operator`
    accepted the policy. A policy that is scheduled is removed: it was accepted as a change of the former.

    Raises:
        IncompatiblePolicy: it gives events of a known type other subjects or clocks.
        PolicyStillNeeds: it lacks a system or a purpose that is still needed.
        PromiseDropped: it removes a system from recorded events, and `drops` does not name the system.
        NothingDropped: `drops` names a system and an event type that the policy does not separate.
        RetiredTooEarly: events are recorded from after the instant of a retirement.
    """
    active_policy.activate(connection, policy, now, drops, operator)
    scheduled_policy.remove_scheduled(connection)
    for ids in _commands_not_carried_out(connection):
        cancel_unwanted(connection, ids, policy, now)


class WithdrawnCommands(NamedTuple):
    """How many commands to a system a policy does not require."""

    system: str
    action: str
    was_sent: bool
    """Whether they may have been sent, so that they are recalled; the others are cancelled."""
    commands: int


def count_withdrawn(
    connection: Connection, policy: Policy, now: datetime
) -> Sequence[WithdrawnCommands]:
    """Return how many commands activating the policy would cancel or recall, by system and action.

    They are decided as for an activation, a few hundred together, and nothing is changed. `now` is UTC.
    """
    counts: Counter[tuple[str, str, bool]] = Counter()
    for ids in _commands_not_carried_out(connection):
        attempt = connection.begin_nested()
        try:
            cancel_unwanted(connection, ids, policy, now)
            counts += _count_withdrawn_of(connection, ids)
        finally:
            attempt.rollback()
    return sorted(WithdrawnCommands(*command, count) for command, count in counts.items())


def _count_withdrawn_of(
    connection: Connection, ids: Collection[UUID]
) -> Counter[tuple[str, str, bool]]:
    column = tables.command.c
    query = (
        select(column.system, column.action, column.state, func.count())
        .where(column.command_id.in_(ids), column.state.in_(("cancelled", "recalling")))
        .group_by(column.system, column.action, column.state)
    )
    rows = connection.execute(query)
    return Counter({(system, action, state == "recalling"): n for system, action, state, n in rows})


def _commands_not_carried_out(connection: Connection) -> Iterator[Sequence[UUID]]:
    """Yield the ids of all such commands, a few hundred together."""
    column = tables.command.c
    query = select(column.command_id).order_by(column.command_id).limit(_CHUNK_SIZE)
    query = query.where(column.state.in_(NOT_CARRIED_OUT))
    last_id = UUID(int=0)
    while ids := connection.execute(query.where(column.command_id > last_id)).scalars().all():
        yield ids
        last_id = ids[-1]
