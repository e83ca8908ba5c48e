"""Retry by hand: send commands again at once that a system refused or left undone, once it is fixed."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, select, update

from schemas.errors import TermijnError
from services.deleter.acknowledgement import UnknownCommand
from services.ledger import tables
from services.ledger.command_state import State
from services.policy.model import Policy

_RETRYABLE_STATES: tuple[State, ...] = ("sent", "refused")


class FinalRefusal(TermijnError):
    """A controller has refused, and its refusal is final (GDPR 17(3)); nothing was done."""

    def __init__(self, command_id: UUID, system: str) -> None:
        super().__init__(
            f"command {command_id}: {system} is a controller, and its refusal is final"
        )
        self.command_id = command_id
        self.system = system


class UnknownSystem(TermijnError):
    """The policy has no system of that name; nothing was done."""

    def __init__(self, system: str) -> None:
        super().__init__(f"system: the policy has none of that name, got {system!r}")
        self.system = system


class CommandNotRetryable(TermijnError):
    """A command cannot be sent again, since it was not sent yet or is settled; nothing was done."""

    def __init__(self, command_id: UUID, state: State) -> None:
        super().__init__(
            f"command {command_id}: must be sent or refused to be sent again, got {state}"
        )
        self.command_id = command_id
        self.state = state


def retry(connection: Connection, command_id: UUID, policy: Policy, now: datetime) -> None:
    """Send a command again at once that was refused, or was sent and has no final acknowledgement.

    Raises:
        UnknownCommand: no command has this id.
        FinalRefusal: a controller refused it.
        CommandNotRetryable: it was not sent, is being recalled, or is settled.
    """
    column = tables.command.c
    query = select(tables.command).where(column.command_id == command_id).with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None:
        raise UnknownCommand(command_id)
    if row.state not in _RETRYABLE_STATES:
        raise CommandNotRetryable(command_id, row.state)
    if row.state == "refused" and policy.systems[row.system].role == "controller":
        raise FinalRefusal(command_id, row.system)
    _make_due(connection, column.command_id == command_id, now)


def retry_all(connection: Connection, system: str, policy: Policy, now: datetime) -> int:
    """Send all commands again that a system refused or has not finally acknowledged, and return how many.

    A controller's refusals are final, and left out.

    Raises:
        UnknownSystem: the policy has no system of that name.
    """
    if system not in policy.systems:
        raise UnknownSystem(system)
    column = tables.command.c
    is_final = policy.systems[system].role == "controller"
    states = [state for state in _RETRYABLE_STATES if not (is_final and state == "refused")]
    return _make_due(connection, and_(column.system == system, column.state.in_(states)), now)


def _make_due(connection: Connection, is_selected: ColumnElement[bool], now: datetime) -> int:
    changed = connection.execute(
        update(tables.command).where(is_selected).values(next_attempt_at=now)
    )
    return int(changed.rowcount)
