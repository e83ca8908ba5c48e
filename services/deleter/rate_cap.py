"""The hourly cap: how many commands all deleters together may send for the first time within an hour.

Commands that destroy nothing are not counted. Capacity is taken in the transaction that leases, under one
lock. Commands that another deleter has leased and not sent yet count as sent until their lease ends.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Select, Table, func, literal_column, select

from services.deleter.dispatch import LEASE
from services.ledger import tables
from services.policy.actions import UNCAPPED
from services.storage import pause
from services.storage.database import database_now

_WINDOW = timedelta(hours=1)
_OPERATOR = "termijn"
_LOCK = 0x7E_3A_11_19
"""The key of PostgreSQL's advisory lock on the capacity; on SQLite there is one deleter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemainingCapacity:
    """How many commands may be leased now, within the transaction that took the capacity."""

    commands: int
    reached: bool = False
    """Whether the cap was reached while commands wait: the deleters have stopped."""


UNBOUNDED = RemainingCapacity(commands=sys.maxsize)


def take_capacity(connection: Connection, cap: int, scope: str) -> RemainingCapacity:
    """Return the remaining capacity; no other deleter can take any until this transaction ends.

    `cap` 0 means no cap. At the cap the `scope` is paused, until an operator resumes it.
    """
    if not cap:
        return UNBOUNDED
    if connection.dialect.name != "sqlite":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    now = database_now(connection)
    since = max(now - _WINDOW, pause.resumed_at(connection, scope) or now - _WINDOW)
    # One statement: a command that another deleter sends between two would be counted by neither.
    counts = select(_first_sent_since(since).scalar_subquery(), _leased_at(now).scalar_subquery())
    sent, leased = connection.execute(counts).one()
    remaining = cap - sent
    reached = remaining <= 0 and _has_outbox(connection)
    if reached:
        pause.set_pause_state(
            connection,
            scope,
            "paused",
            operator=_OPERATOR,
            reason=f"the cap of {cap} commands an hour was reached",
            now=now,
        )
    return RemainingCapacity(commands=max(0, remaining - leased), reached=reached)


def _first_sent_since(since: datetime) -> Select[int]:
    """Count the commands sent for the first time since an instant, except those that destroy nothing."""
    column = tables.message.c
    total = func.coalesce(func.sum(column.first_attempts), 0)
    return select(total).where(column.at > since, *_is_counted(tables.message))


def _leased_at(now: datetime) -> Select[int]:
    """Count the commands that any deleter has leased for their first attempt, and may send any moment."""
    column = tables.command.c
    return select(func.count()).where(
        column.next_attempt_at > now,
        column.next_attempt_at <= now + LEASE,
        column.state == "sending",
        column.first_sent_at.is_(None),
        *_is_counted(tables.command),
    )


def _is_counted(table: Table) -> list[ColumnElement[bool]]:
    return [table.c.action != literal_column(f"'{action}'") for action in UNCAPPED]


def _has_outbox(connection: Connection) -> bool:
    column = tables.command.c
    query = select(column.command_id).where(column.state == "unsent").limit(1)
    return connection.execute(query).first() is not None
