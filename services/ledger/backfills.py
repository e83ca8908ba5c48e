"""Backfills: years of history come in, and nothing is erased on the spot.

What an import brought is recorded and held back: its records, and the clocks whose anchor it decided. The
forecast says what would leave at once; a named operator releases it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Table, func, select, update

from schemas.errors import TermijnError
from services.ledger import acts, tables
from services.ledger.rows import fetch, insert_missing


class NoSuchBackfill(TermijnError):
    """There is no import of that name that waits for release."""

    def __init__(self, backfill: str) -> None:
        super().__init__(f"no backfill {backfill!r} waits for release")
        self.backfill = backfill


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An import that waits for its release."""

    backfill: str
    started_at: datetime
    records: int
    clocks: int


def held(connection: Connection, backfills: Collection[str], now: datetime) -> set[str]:
    """Those of the imports that are not released; one that is new is noted as begun."""
    rows = [
        {"backfill": one, "started_at": now, "released_at": None, "operator": None}
        for one in sorted(backfills)
    ]
    insert_missing(connection, tables.backfill, rows)
    query = (
        select(tables.backfill)
        .where(tables.backfill.c.released_at.is_(None))
        .order_by(tables.backfill.c.backfill)
        .with_for_update(read=True)  # a release waits for what is being recorded
    )
    return {row.backfill for row in fetch(connection, query, tables.backfill.c.backfill, backfills)}


def waiting(connection: Connection) -> list[Waiting]:
    """The imports that wait for release, oldest first."""
    query = (
        select(tables.backfill)
        .where(tables.backfill.c.released_at.is_(None))
        .order_by(tables.backfill.c.started_at)
    )
    return [
        Waiting(
            backfill=row.backfill,
            started_at=row.started_at,
            records=_count(connection, tables.record, tables.record.c.backfill == row.backfill),
            clocks=_count(connection, tables.clock, tables.clock.c.backfill == row.backfill),
        )
        for row in connection.execute(query).all()
    ]


def release(connection: Connection, backfill: str, operator: str, now: datetime) -> None:
    """Let the deleter act on what an import brought.

    Raises:
        NoSuchBackfill: there is none of that name, or it has been released.
    """
    found = connection.execute(
        update(tables.backfill)
        .where(tables.backfill.c.backfill == backfill, tables.backfill.c.released_at.is_(None))
        .values(released_at=now, operator=operator)
    )
    if found.rowcount != 1:
        raise NoSuchBackfill(backfill)
    connection.execute(
        update(tables.clock)
        .where(tables.clock.c.moved_backfill == backfill)
        .values(moved_backfill=None)
    )
    clock = tables.clock.c
    connection.execute(  # what came while the clock was held back has not been looked at under it
        update(tables.clock)
        .where(clock.backfill == backfill, clock.fired_to.is_not(None))
        .values(next_due=clock.fired_to, fired_to=None, cursor=None)
    )
    connection.execute(
        update(tables.clock).where(tables.clock.c.backfill == backfill).values(backfill=None)
    )
    connection.execute(
        update(tables.record)
        .where(tables.record.c.backfill == backfill)
        .values(backfill=None, next_due=now)
    )
    acts.release(connection, backfill, now)


def _count(connection: Connection, table: Table, condition: ColumnElement[bool]) -> int:
    query = select(func.count()).select_from(table).where(condition)
    return int(connection.execute(query).scalar_one())
