"""What is due: one condition, by which work is found and by which the deleter knows that there is some."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Table, and_
from sqlalchemy.sql.elements import KeyedColumnElement


def is_due(column: KeyedColumnElement[datetime], now: datetime) -> ColumnElement[bool]:
    """Return the condition that a time has come by `now`, UTC; no time, never.

    `IS NOT NULL` follows from the comparison, but without it SQLite does not use the partial indexes.
    """
    return and_(column <= now, column.is_not(None))


def is_scan_due(table: Table, now: datetime) -> ColumnElement[bool]:
    """Return the condition that a record or a clock is to be scanned: no import holds it back."""
    return and_(is_due(table.c.next_due, now), table.c.backfill.is_(None))
