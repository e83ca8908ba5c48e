"""Writing and reading many rows at once, alike on PostgreSQL and SQLite."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Row, Select, Table, Update
from sqlalchemy.dialects import postgresql, sqlite

Values = Mapping[str, Any]
_AT_ONCE = 5_000


def insert(connection: Connection, table: Table, rows: Sequence[Values]) -> None:
    """Insert the rows; one whose key is there already is an error."""
    if rows:
        connection.execute(table.insert(), list(rows))


def insert_missing(connection: Connection, table: Table, rows: Sequence[Values]) -> None:
    """Insert the rows whose key is not there yet; those that are there stay as they are."""
    if rows:
        statement = _insert(connection, table).on_conflict_do_nothing()
        connection.execute(statement, list(rows))


def insert_or_update(
    connection: Connection, table: Table, rows: Sequence[Values], changing: Collection[str]
) -> None:
    """Insert the rows; where the key is there already, give the named columns their new values."""
    if rows:
        statement = _insert(connection, table)
        statement = statement.on_conflict_do_update(
            index_elements=[column.name for column in table.primary_key],
            set_={name: statement.excluded[name] for name in changing},
        )
        connection.execute(statement, list(rows))


def fetch(
    connection: Connection, query: Select[Any], column: Column[Any], values: Collection[Any]
) -> Iterator[Row[Any]]:
    """The rows of a query whose column has one of the values, however many those are."""
    ordered = sorted(values)
    for start in range(0, len(ordered), _AT_ONCE):
        part = ordered[start : start + _AT_ONCE]
        yield from connection.execute(query.where(column.in_(part)))


def change(
    connection: Connection, statement: Update, column: Column[Any], values: Collection[Any]
) -> None:
    """Do an update to the rows whose column has one of the values, however many those are."""
    ordered = sorted(values)
    for start in range(0, len(ordered), _AT_ONCE):
        part = ordered[start : start + _AT_ONCE]
        connection.execute(statement.where(column.in_(part)))


def _insert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    return postgresql.insert(table)
