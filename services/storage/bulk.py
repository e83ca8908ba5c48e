"""Bulk SQL: COPY and arrays on PostgreSQL, executemany on SQLite.

On PostgreSQL a statement has the same text for any number of rows, so that it is planned once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import Any, Final

import psycopg
from psycopg import sql
from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    TableValuedAlias,
    Update,
    any_,
    bindparam,
    column,
    func,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

Values = Mapping[str, Any]
_NO_VALUES: Final[Values] = MappingProxyType({})
_CHUNK_SIZE = 5_000


def insert(connection: Connection, table: Table, rows: Sequence[Values]) -> None:
    """Insert rows that all have the same columns; a key that exists is an error."""
    if not rows:
        return
    if _is_sqlite(connection):
        connection.execute(table.insert(), list(rows))
    else:
        names = list(rows[0])
        _copy(connection, table, names, [[row[name] for name in names] for row in rows])


def insert_tuples(
    connection: Connection, table: Table, names: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    """Insert rows of values in the order of the column names; a key that exists is an error."""
    if not rows:
        return
    if _is_sqlite(connection):
        connection.execute(table.insert(), [dict(zip(names, row, strict=True)) for row in rows])
    else:
        _copy(connection, table, names, rows)


def insert_or_ignore(connection: Connection, table: Table, rows: Sequence[Values]) -> None:
    """Insert the rows whose key does not exist; existing rows stay as they are."""
    if not rows:
        return
    if _is_sqlite(connection):
        connection.execute(sqlite.insert(table).on_conflict_do_nothing(), list(rows))
    else:
        statement = _insert_arrays(table, rows).on_conflict_do_nothing()
        connection.execute(statement, _column_arrays(rows))


def upsert(
    connection: Connection, table: Table, rows: Sequence[Values], update_columns: Collection[str]
) -> None:
    """Insert the rows; where the key exists, update the named columns to the new values."""
    if not rows:
        return
    on_sqlite = _is_sqlite(connection)
    statement = sqlite.insert(table) if on_sqlite else _insert_arrays(table, rows)
    statement = statement.on_conflict_do_update(
        index_elements=[column.name for column in table.primary_key],
        set_={name: statement.excluded[name] for name in update_columns},
    )
    connection.execute(statement, list(rows) if on_sqlite else _column_arrays(rows))


def insert_or_add(
    connection: Connection, table: Table, rows: Sequence[Values], counter: str
) -> None:
    """Insert the rows; where the key exists, add the row's value to the counter column.

    Waits for a row that another transaction is inserting, and locks it as an update does.
    """
    if not rows:
        return
    on_sqlite = _is_sqlite(connection)
    statement = sqlite.insert(table) if on_sqlite else _insert_arrays(table, rows)
    statement = statement.on_conflict_do_update(
        index_elements=[column.name for column in table.primary_key],
        set_={counter: table.c[counter] + statement.excluded[counter]},
    )
    connection.execute(statement, list(rows) if on_sqlite else _column_arrays(rows))


def select_in(
    connection: Connection, query: Select[Any], column: ColumnElement[Any], values: Collection[Any]
) -> Iterator[Row[Any]]:
    """Yield the rows of a query whose column has one of the values, for any number of values."""
    for chunk in _chunks(values):
        yield from connection.execute(
            query.where(_in_clause(connection, column)), {"of": chunk}
        ).all()


def update_in(
    connection: Connection, statement: Update, column: Column[Any], values: Collection[Any]
) -> None:
    """Update the rows whose column has one of the values, for any number of values."""
    for chunk in _chunks(values):
        connection.execute(statement.where(_in_clause(connection, column)), {"of": chunk})


def delete_in(
    connection: Connection, table: Table, column: Column[Any], values: Collection[Any]
) -> None:
    """Delete the rows whose column has one of the values, for any number of values."""
    for chunk in _chunks(values):
        statement = table.delete().where(_in_clause(connection, column))
        connection.execute(statement, {"of": chunk})


def update_each(
    connection: Connection, table: Table, rows: Sequence[Values], common: Values = _NO_VALUES
) -> None:
    """Update each row, selected by its primary key, with its own values of the other columns given.

    All of them get the `common` values as well.
    """
    if not rows:
        return
    keys = {column.name for column in table.primary_key}
    if _is_sqlite(connection):
        parameters = [{f"new_{name}": value for name, value in row.items()} for row in rows]
        names = rows[0].keys() - keys
        statement = update(table).values(
            {**common, **{name: bindparam(f"new_{name}") for name in names}}
        )
        for key in keys:
            statement = statement.where(table.c[key] == bindparam(f"new_{key}"))
        connection.execute(statement, parameters)
        return
    values = _values_table(table, rows)
    own_values = {name: values.c[name] for name in rows[0].keys() - keys}
    statement = update(table).values({**common, **own_values})
    for key in keys:
        statement = statement.where(table.c[key] == values.c[key])
    connection.execute(statement, _column_arrays(rows))


def _is_sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"


def _in_clause(connection: Connection, column: ColumnElement[Any]) -> ColumnElement[bool]:
    if _is_sqlite(connection):
        return column.in_(bindparam("of", expanding=True))
    return column == any_(bindparam("of", type_=ARRAY(column.type)))


def _chunks(values: Collection[Any]) -> Iterator[list[Any]]:
    remaining = iter(values)
    while chunk := list(islice(remaining, _CHUNK_SIZE)):
        yield chunk


def _values_table(table: Table, rows: Sequence[Values]) -> TableValuedAlias:
    """Return the rows as a table expression, built from one array for each column."""
    names = list(rows[0])
    arrays = (bindparam(f"all_{name}", type_=ARRAY(table.c[name].type)) for name in names)
    columns = (column(name, table.c[name].type) for name in names)
    return func.unnest(*arrays).table_valued(*columns, name="given").render_derived()


def _column_arrays(rows: Sequence[Values]) -> dict[str, list[Any]]:
    return {f"all_{name}": [row[name] for row in rows] for name in rows[0]}


def _insert_arrays(table: Table, rows: Sequence[Values]) -> postgresql.Insert:
    values = _values_table(table, rows)
    return postgresql.insert(table).from_select(list(rows[0]), select(*values.c))


def _copy(
    connection: Connection, table: Table, names: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        sql.Identifier(table.name), sql.SQL(", ").join(map(sql.Identifier, names))
    )
    types = [table.c[name].type.compile(connection.dialect).lower() for name in names]
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)
    except psycopg.Error as cause:  # as SQLAlchemy raises it, so that callers can retry
        raise DBAPIError.instance(f"COPY {table.name}", None, cause, psycopg.Error) from cause
