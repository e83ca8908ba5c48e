"""Commands without a final acknowledgement: they are escalated to operators, who may close them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, and_, or_, select, update

from services.deleter.acknowledgement import UnknownCommand
from services.ledger import state_changes, tables
from services.ledger.command_state import State
from services.policy.calendar import parse_period
from services.policy.model import Policy


def escalate(connection: Connection, policy: Policy, now: datetime) -> list[tuple[str, UUID]]:
    """Mark the commands whose system has not acknowledged in time; return systems and ids."""
    column = tables.command.c
    silent = [
        and_(
            column.system == name,
            column.first_sent_at <= now - parse_period(system.acknowledge_within).exact,
        )
        for name, system in policy.systems.items()
    ]
    query = (
        select(column.system, column.command_id)
        .where(column.state.in_(("sent", "sending", "recalling")))
        .where(column.escalated_at.is_(None), or_(*silent))
        .with_for_update(skip_locked=True)
    )
    escalated = [(row.system, row.command_id) for row in connection.execute(query)]
    for _, command_id in escalated:
        connection.execute(
            update(tables.command).where(column.command_id == command_id).values(escalated_at=now)
        )
    return escalated


def close_command(connection: Connection, command_id: UUID, now: datetime) -> State:
    """Close a command, and return its state; an operator is responsible for it from now on.

    With a recall the command that it recalls is closed as well.

    Raises:
        UnknownCommand: no command has this id.
        IllegalTransition: it is settled already.
    """
    command = connection.execute(
        select(tables.command).where(tables.command.c.command_id == command_id).with_for_update()
    ).one_or_none()
    if command is None:
        raise UnknownCommand(command_id)
    closed = [command]
    if command.action == "recall":  # the recalled command would otherwise wait without end
        is_recalled = tables.command.c.command_id == command.supersedes
        is_recalling = tables.command.c.state == "recalling"
        query = select(tables.command).where(is_recalled, is_recalling).with_for_update()
        closed += connection.execute(query)
    state, *_ = state_changes.transition(
        connection, closed, "closed_by_operator", now, outcome="closed"
    )
    for recalled in closed[1:]:  # the same command could not be planned again while it was recalled
        state_changes.schedule_rescan(connection, recalled.command_id, now)
    return state
