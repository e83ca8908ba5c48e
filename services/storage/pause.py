"""Pauses: which roles and systems are paused or drained.

A scope is a role (`deleter`) or a system (`system:crm`). Instants are UTC.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, select

from services.storage import tables
from services.storage.bulk import upsert
from services.storage.operator_log import log_operator_action

State = Literal["running", "paused", "drained"]
_ACTION = {"running": "resume", "paused": "pause", "drained": "drain"}


def pause_state(connection: Connection, scope: str) -> State:
    """Return whether the scope runs, does nothing (`paused`) or finishes what it began (`drained`)."""
    query = select(tables.control.c.state).where(tables.control.c.scope == scope)
    state: State | None = connection.execute(query).scalar_one_or_none()
    return state or "running"


def resumed_at(connection: Connection, scope: str) -> datetime | None:
    """Return when the scope was last resumed, UTC; None if it never was, or is paused or drained."""
    query = select(tables.control.c.at).where(
        tables.control.c.scope == scope, tables.control.c.state == "running"
    )
    at: datetime | None = connection.execute(query).scalar_one_or_none()
    return at


def set_pause_state(
    connection: Connection,
    scope: str,
    state: State,
    *,
    operator: str,
    reason: str,
    now: datetime,
) -> None:
    """Pause, drain or resume a scope, and log who did it and why.

    Raises:
        OperatorRequired: the operator or the reason is empty.
    """
    row = {"scope": scope, "state": state, "operator": operator, "reason": reason, "at": now}
    upsert(connection, tables.control, [row], ("state", "operator", "reason", "at"))
    log_operator_action(
        connection, _ACTION[state], scope, operator=operator, reason=reason, now=now
    )
