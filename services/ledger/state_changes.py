"""Change the states of commands in the ledger, with everything that follows from a state."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Protocol
from uuid import UUID

from sqlalchemy import Connection, select, update

from services.ledger import tables
from services.ledger.command_state import RELEASED, SETTLED, CommandEvent, State, next_state
from services.ledger.messages import MessageItem
from services.ledger.step_log import LoggedCommand, StepLog
from services.storage.bulk import update_each, update_in

_NO_ITEMS: Final[Mapping[UUID, MessageItem]] = MappingProxyType({})


class StatefulCommand(LoggedCommand, Protocol):
    """The columns of a command from which its next state is computed."""

    @property
    def state(self) -> State:
        """The state that it is in."""


def transition(
    connection: Connection,
    commands: Sequence[StatefulCommand],
    event: CommandEvent,
    now: datetime,
    items: Mapping[UUID, MessageItem] = _NO_ITEMS,
    **changes: Any,
) -> list[State]:
    """Apply an event to commands whose rows are locked, and return the state that each is then in.

    `changes` are further columns that get a new value, for commands that the event changes; `items` are
    the places in messages of commands that were sent. Each change is stored for the evidence, except that
    they were sent, which is stored with their message.

    Raises:
        IllegalTransition: the event cannot happen to one of them in its state; none was changed.
    """
    states = [next_state(command.state, event) for command in commands]
    by_state: defaultdict[State, list[UUID]] = defaultdict(list)
    released = []
    log = StepLog()
    for command, state in zip(commands, states, strict=True):
        is_leased = event == "sending" and command.state != "refused"
        if state != command.state and event != "sent" and not is_leased:
            log.add("state", command, state, {})
        if state != command.state or (changes and state not in SETTLED):
            by_state[state].append(command.command_id)
        if state in RELEASED and command.state not in RELEASED:
            released.append(command.command_id)
    for state, ids in by_state.items():
        values = {**columns_for_state(state, now), **changes}
        if items:
            rows = [{"command_id": id, **items[id]._asdict()} for id in ids]
            update_each(connection, tables.command, rows, values)
            continue
        update_in(
            connection, update(tables.command).values(values), tables.command.c.command_id, ids
        )
    release_records(connection, released)
    log.enqueue(connection, now)
    return states


def release_records(connection: Connection, commands: Collection[UUID]) -> None:
    """Free the records of these commands, so that other commands may be written for the same steps."""
    if not commands:
        return
    for table in (tables.command, tables.command_record):
        release = update(table).where(table.c.live).values(live=False)
        update_in(connection, release, table.c.command_id, commands)


def columns_for_state(state: State, now: datetime) -> dict[str, Any]:
    """Return the columns of a command that follow from its state."""
    if state in SETTLED:
        return {"state": state, "settled_at": now, "next_attempt_at": None}
    return {"state": state, "next_attempt_at": None} if state == "recalling" else {"state": state}


def schedule_rescan(connection: Connection, command: UUID, at: datetime) -> None:
    """Make the records of a command due to be planned again at an instant, UTC."""
    records = select(tables.member.c.record_id).where(tables.member.c.command_id == command)
    connection.execute(
        update(tables.record).where(tables.record.c.record_id.in_(records)).values(next_due=at)
    )


def resend_outstanding(connection: Connection, now: datetime) -> None:
    """Make every command that was sent and not acknowledged due again: its Kafka cluster is gone."""
    column = tables.command.c
    connection.execute(
        update(tables.command)
        .where(column.state.in_(("sending", "sent")), column.next_attempt_at.is_not(None))
        .values(next_attempt_at=now)
    )
