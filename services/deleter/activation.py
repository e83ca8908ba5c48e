"""Activate another policy: what only the old one requires is withdrawn, also where it was already sent."""

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
"""Commands that are looked at together."""


def activate(
    connection: Connection, policy: Policy, now: datetime, drops: Collection[Drop] = ()
) -> None:
    """Make another policy the active one, and take back every command that it does not ask for.

    What has not left is cancelled, what has left and is not carried out is recalled. What it asks for
    besides follows as all that is held is looked at again. `now` is UTC. `drops` names the systems that,
    by an operator's word, never held the recorded events of a type.

    Raises:
        IncompatiblePolicy: it hangs events of a known type on other subjects or clocks.
        PolicyStillNeeds: it lacks a system or a purpose that is still needed.
        PromiseDropped: it takes a system from recorded events, and `drops` does not say so.
        NothingDropped: `drops` names what it does not take.
        RetiredTooEarly: it retires something from an instant on of which events are recorded.
    """
    active_policy.activate(connection, policy, now, drops)
    column = tables.command.c
    query = select(column.command_id).order_by(column.command_id).limit(_CHUNK_SIZE)
    query = query.where(column.state.in_(NOT_CARRIED_OUT))
    after = UUID(int=0)
    while found := connection.execute(query.where(column.command_id > after)).scalars().all():
        cancel_unwanted(connection, found, policy, now)
        after = found[-1]
