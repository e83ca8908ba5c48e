"""Activate another policy: commands that only the old policy requires are cancelled or recalled."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, select

from services.deleter.emission import cancel_unwanted
from services.ledger import active_policy, tables
from services.ledger.command_state import NOT_CARRIED_OUT
from services.ledger.policy_references import Drop
from services.policy.model import Policy

_CHUNK_SIZE = 500
"""How many commands are checked together."""


def activate(
    connection: Connection, policy: Policy, now: datetime, drops: Collection[Drop] = ()
) -> None:
    """Make another policy the active one, and cancel or recall every command that it does not require.

    A command that was not sent is cancelled; one that was sent and is not carried out is recalled. Commands
    that the policy requires in addition follow as every record is checked again. `now` is UTC. `drops`
    names the systems that, as an operator confirmed, never held the recorded events of a type.

    Raises:
        IncompatiblePolicy: it gives events of a known type other subjects or clocks.
        PolicyStillNeeds: it lacks a system or a purpose that is still needed.
        PromiseDropped: it removes a system from recorded events, and `drops` does not name the system.
        NothingDropped: `drops` names a system and an event type that the policy does not separate.
        RetiredTooEarly: events are recorded from after the instant of a retirement.
    """
    active_policy.activate(connection, policy, now, drops)
    column = tables.command.c
    query = select(column.command_id).order_by(column.command_id).limit(_CHUNK_SIZE)
    query = query.where(column.state.in_(NOT_CARRIED_OUT))
    last_id = UUID(int=0)
    while ids := connection.execute(query.where(column.command_id > last_id)).scalars().all():
        cancel_unwanted(connection, ids, policy, now)
        last_id = ids[-1]
