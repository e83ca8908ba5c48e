"""The hourly cap: how many commands all deleters together may send for the first time within an hour.

What destroys nothing is not counted. Room is taken in the transaction that leases, under one lock: what
another deleter has leased and not sent yet counts as sent, for as long as its lease lasts.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, func, literal_column, select

from services.deleter.dispatch import LEASE
from services.ledger import tables
from services.policy.actions import UNCAPPED
from services.storage import pause
from services.storage.database import database_now

_WINDOW = timedelta(hours=1)
_OPERATOR = "termijn"
_LOCK = 0x7E_3A_11_19
"""The key of PostgreSQL's advisory lock on the room; on SQLite there is one deleter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemainingCapacity:
    """How many commands may be leased now, for as long as the transaction lasts that took it."""

    commands: int
    reached: bool = False
    """Whether the cap was reached while something waits: the deleters have stopped."""


UNBOUNDED = RemainingCapacity(commands=sys.maxsize)


def take_capacity(connection: Connection, cap: int, scope: str) -> RemainingCapacity:
    """What there is room for; no other deleter has any until this transaction ends.

    `cap` 0 is none. At the cap the `scope` is paused, until an operator resumes it.
    """
    if not cap:
        return UNBOUNDED
    if connection.dialect.name != "sqlite":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    now = database_now(connection)
    since = max(now - _WINDOW, pause.resumed_at(connection, scope) or now - _WINDOW)
    left = cap - count_first_sent(connection, since)
    reached = left <= 0 and _has_outbox(connection)
    if reached:
        pause.set_pause_state(
            connection,
            scope,
            "paused",
            operator=_OPERATOR,
            reason=f"the cap of {cap} commands an hour was reached",
            now=now,
        )
    return RemainingCapacity(
        commands=max(0, left - _count_leased(connection, now)), reached=reached
    )


def count_first_sent(connection: Connection, since: datetime) -> int:
    """How many commands went out for the first time since an instant, but for what destroys nothing."""
    query = select(func.count()).where(tables.command.c.first_sent_at > since, *_is_counted())
    return int(connection.execute(query).scalar_one())


def _count_leased(connection: Connection, now: datetime) -> int:
    """How many are leased for their first attempt, by whichever deleter, and may be out at any moment."""
    column = tables.command.c
    query = select(func.count()).where(
        column.next_attempt_at > now,
        column.next_attempt_at <= now + LEASE,
        column.state == "sending",
        column.first_sent_at.is_(None),
        *_is_counted(),
    )
    return int(connection.execute(query).scalar_one())


def _is_counted() -> list[ColumnElement[bool]]:
    return [tables.command.c.action != literal_column(f"'{one}'") for one in UNCAPPED]


def _has_outbox(connection: Connection) -> bool:
    column = tables.command.c
    query = select(column.command_id).where(column.state == "unsent").limit(1)
    return connection.execute(query).first() is not None
