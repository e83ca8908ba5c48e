"""The baseline of the recorder: encoded rows go into a ledger by the recorder's statements alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from psycopg import sql
from sqlalchemy import Connection, text

from services.storage.database import Database
from tests.benchmarks.figures import ResultsDiffer

COPIED = ("record", "hanging", "act")
"""Tables that only get rows of events just inserted."""
STAGED = {"event": "DO NOTHING", "clock": "DO UPDATE", "subject": "DO UPDATE"}
"""Tables whose rows may be there already, and what is done then."""
_KEYS = {"event": ("event_id",), "clock": ("clock_id",), "subject": ("subject",)}
_ALL = ("event", "clock", "subject", *COPIED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows that one batch wrote, by table, in COPY's binary form and in the order of their keys."""

    by_table: Mapping[str, bytes]

    @classmethod
    def of(cls, ledger: Database, written_by: str) -> Self:
        """Return the rows that the transaction wrote, as they are now."""
        row = {}
        with ledger.transaction() as connection, _cursor(connection) as cursor:
            for table in _ALL:
                statement = sql.SQL(
                    "COPY (SELECT * FROM {} WHERE xmin = {}::text::xid ORDER BY 1, 2)"
                    " TO STDOUT (FORMAT BINARY)"
                ).format(sql.Identifier(table), sql.Literal(written_by))
                with cursor.copy(statement) as copy:
                    row[table] = b"".join(bytes(part) for part in copy)
        return cls(by_table=row)


class PlainSqlWriter:
    """Writes encoded rows, in one transaction a batch."""

    def __init__(self, ledger: Database, *, indexed: bool = True) -> None:
        """Prepare the tables; without `indexed` they lose their indexes."""
        self._ledger = ledger
        self._number = 0
        with ledger.transaction() as connection:
            if not indexed:
                for table in _ALL:
                    connection.execute(text(f"ALTER TABLE {table} RENAME TO indexed_{table}"))
                    connection.execute(text(f"CREATE TABLE {table} (LIKE indexed_{table})"))

    def write_all(self, batches: Sequence[Rows]) -> None:
        """Stage what may be there already, insert it, copy the rest, and advance the position."""
        for rows in batches:
            with self._ledger.transaction() as connection, _cursor(connection) as cursor:
                self._advance(cursor)
                for table, conflict in STAGED.items():
                    self._stage(cursor, table, conflict, rows.by_table[table])
                for table in COPIED:
                    _copy(cursor, table, rows.by_table[table])

    def copy_all(self, batches: Sequence[Rows]) -> None:
        """Copy all of it, and nothing else."""
        for rows in batches:
            with self._ledger.transaction() as connection, _cursor(connection) as cursor:
                for table in _ALL:
                    _copy(cursor, table, rows.by_table[table])

    def check_equal(self, other: Database) -> None:
        """Check that the other ledger has the same rows.

        Raises:
            ResultsDiffer: with the name of the first table that differs.
        """
        for table in _ALL:
            if _digest(self._ledger, table) != _digest(other, table):
                raise ResultsDiffer(f"the rows of {table} differ")

    def _stage(self, cursor: Any, table: str, conflict: str, rows: bytes) -> None:
        staged = f"staged_{table}"
        cursor.execute(
            f"CREATE TEMPORARY TABLE IF NOT EXISTS {staged} (LIKE {table}) ON COMMIT DELETE ROWS"
        )
        _copy(cursor, staged, rows)
        key = ", ".join(_KEYS[table])
        if conflict == "DO UPDATE":
            cursor.execute("SELECT * FROM " + table + " LIMIT 0")
            names = [column.name for column in cursor.description]
            conflict += " SET " + ", ".join(f"{name} = excluded.{name}" for name in names)
        cursor.execute(
            f"INSERT INTO {table} SELECT * FROM {staged} ORDER BY {key} ON CONFLICT ({key}) {conflict}"
        )

    def _advance(self, cursor: Any) -> None:
        if self._number == 0:
            cursor.execute(
                "INSERT INTO position (role, cluster_id, topic_id, partition, topic, next)"
                " VALUES ('recorder', 'benchmark', 'benchmark', 0, 'benchmark', 1)"
            )
        else:
            cursor.execute(
                "UPDATE position SET next = %s WHERE role = 'recorder' AND next = %s",
                (self._number + 1, self._number),
            )
        self._number += 1


def transaction_id(connection: Connection) -> str:
    """Return the id of the transaction, as its rows contain it."""
    return str(connection.execute(text("SELECT pg_current_xact_id()::xid::text")).scalar_one())


def _cursor(connection: Connection) -> Any:
    driver: Any = connection.connection.driver_connection
    return driver.cursor()


def _copy(cursor: Any, table: str, rows: bytes) -> None:
    with cursor.copy(f"COPY {table} FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(rows)


def _digest(ledger: Database, table: str) -> str:
    query = f"SELECT md5(coalesce(string_agg(t::text, '' ORDER BY t::text), '')) FROM {table} t"
    with ledger.transaction() as connection:
        return str(connection.execute(text(query)).scalar_one())
