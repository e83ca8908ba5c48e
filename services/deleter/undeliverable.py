"""Set aside a command that Kafka rejects at every attempt, so that it holds up no other.

It stays outstanding and is escalated at once, with an entry in the operators' log, until Kafka accepts it
or an operator closes it. It is tried again at the intervals of any repetition.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, select, update

from services.ledger import tables
from services.ledger.command_state import State
from services.storage.operator_log import log_operator_action

UNDELIVERABLE: Final = "undeliverable"
"""The outcome of a command that Kafka rejects; an acknowledgement replaces it."""
_OPERATOR = "termijn"
_UNSETTLED_STATES: Final[tuple[State, ...]] = ("unsent", "sending", "sent")


def set_aside(
    connection: Connection, command: UUID, reason: str, now: datetime, retry_delay: timedelta
) -> str | None:
    """Escalate a command that Kafka rejects, try it again after `retry_delay`, and return its system.

    Return None, and change nothing, if it is settled or recalled meanwhile. `now` is UTC.
    """
    column = tables.command.c
    query = select(column.system, column.outcome, column.escalated_at)
    row = connection.execute(
        query.where(
            column.command_id == command, column.state.in_(_UNSETTLED_STATES)
        ).with_for_update()
    ).one_or_none()
    if row is None:
        return None
    connection.execute(
        update(tables.command)
        .where(column.command_id == command)
        .values(
            outcome=UNDELIVERABLE,
            escalated_at=row.escalated_at or now,
            next_attempt_at=now + retry_delay,
        )
    )
    if row.outcome != UNDELIVERABLE:  # one entry in the log, however often it is tried
        target = f"{command} {row.system}"
        log_operator_action(
            connection, "commands set aside", target, operator=_OPERATOR, reason=reason, now=now
        )
    return str(row.system)
