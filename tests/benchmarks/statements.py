"""The deleter's statements alone: what the database must do for the same result, and nothing else.

The values are COPY data from a ledger on which the deleter has done the work: nothing is tagged,
decided, encoded or sent. Everything that the rulings require is there: the claim skips what others have
locked, subjects and clocks are locked, claim and mark commit apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any
from uuid import UUID

import psycopg

from services.storage.database import Database
from tests.members import MEMBERS

_BY_COMMAND = ("command", "command_record", "command_clock")
_AS_CLAIMED = {
    "state": "'sending'",
    "attempt": "0",
    "next_attempt_at": "created_at + interval '1 minute'",
    "first_sent_at": "NULL::timestamptz",
    "message_id": "NULL::bigint",
    "item": "NULL::smallint",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The rows that one claim writes, ready for COPY, and its subjects."""

    commands: list[UUID]
    messages: list[int]
    items: list[int]
    """The message of each command, and its place in it."""
    subjects: list[str]
    records: list[UUID]
    next_due: list[Any]
    """When each record is due again, without a clock."""
    clocks: list[UUID]
    copies: dict[str, bytes]
    """By table: `command`, `command_record`, `command_clock`, and `message` for the dispatch."""


def build_batches(done: Database, *, records: int, by_clock: bool) -> list[Batch]:
    """Return the batches, of about so many records, of a deleter's finished work."""
    with _connection(done) as connection:
        commands = connection.execute(
            "SELECT command_id, subject, message_id, item,"
            f" (SELECT count(*) FROM {MEMBERS} member WHERE member.command_id = command.command_id)"
            " FROM command ORDER BY due_at, command_id"
        ).fetchall()
        batches, batch, size = [], [], 0
        for *command, members in commands:
            batch.append(command)
            size += members
            if size >= records:
                batches.append(_batch(connection, batch, by_clock=by_clock))
                batch, size = [], 0
        if batch:
            batches.append(_batch(connection, batch, by_clock=by_clock))
    return batches


def _batch(
    connection: psycopg.Connection[Any], commands: Sequence[Sequence[Any]], *, by_clock: bool
) -> Batch:
    ids = [command[0] for command in commands]
    records = connection.execute(
        f"SELECT record_id, next_due FROM record JOIN {MEMBERS} member USING (record_id)"
        " WHERE command_id = ANY(%s) ORDER BY record_id",
        [ids],
    ).fetchall()
    subjects = sorted({command[1] for command in commands})
    clocks = connection.execute(
        "SELECT DISTINCT clock_id FROM command_clock WHERE command_id = ANY(%s) ORDER BY 1", [ids]
    ).fetchall()
    copies = {table: _copy_out_rows(connection, table, ids) for table in _BY_COMMAND}
    copies["message"] = _copy_out(
        connection,
        "SELECT * FROM message WHERE substring(commands FROM 1 FOR 16) = ANY(%s)",
        [[identity.bytes for identity in ids]],
    )
    return Batch(
        commands=ids,
        messages=[command[2] for command in commands],
        items=[command[3] for command in commands],
        subjects=subjects,
        records=[] if by_clock else [row[0] for row in records],
        next_due=[] if by_clock else [row[1] for row in records],
        clocks=[row[0] for row in clocks] if by_clock else [],
        copies=copies,
    )


def _copy_out_rows(connection: psycopg.Connection[Any], table: str, ids: Sequence[UUID]) -> bytes:
    defaults = _AS_CLAIMED if table == "command" else {}
    columns = connection.execute(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_name = %s ORDER BY ordinal_position",
        [table],
    )
    chosen = ", ".join(defaults.get(name, f'"{name}"') for (name,) in columns)
    return _copy_out(connection, f"SELECT {chosen} FROM {table} WHERE command_id = ANY(%s)", [ids])


def _copy_out(connection: psycopg.Connection[Any], query: str, values: list[Any]) -> bytes:
    with connection.cursor() as cursor, cursor.copy(f"COPY ({query}) TO STDOUT", values) as copy:
        return b"".join(bytes(part) for part in copy)


def measure_statements(ledger: Database, batches: Sequence[Batch]) -> float:
    """Return the seconds for the statements of all batches on a ledger where the same is due."""
    with _connection(ledger) as connection:
        started = perf_counter()
        for batch in batches:
            _claim(connection, batch)
            _relay(connection, batch)
        return perf_counter() - started


def _claim(connection: psycopg.Connection[Any], batch: Batch) -> None:
    if batch.clocks:
        connection.execute(
            "SELECT * FROM clock WHERE next_due <= now() AND backfill IS NULL"
            " ORDER BY next_due LIMIT %s FOR UPDATE SKIP LOCKED",
            [len(batch.clocks)],
        ).fetchall()
        members = [
            row
            for clock in batch.clocks
            for row in connection.execute(
                "SELECT record.* FROM record JOIN hanging USING (record_id) WHERE clock_id = %s"
                " ORDER BY hanging.record_id LIMIT 500",
                [clock],
            ).fetchall()
        ]
    else:
        members = connection.execute(
            "SELECT * FROM record WHERE next_due <= now() AND backfill IS NULL"
            " ORDER BY next_due LIMIT %s FOR UPDATE SKIP LOCKED",
            [len(batch.records)],
        ).fetchall()
    connection.execute(
        "SELECT * FROM event WHERE event_id = ANY(%s)", [[row[1] for row in members]]
    ).fetchall()
    connection.execute("SELECT 1 FROM clock WHERE clock_id = ANY(%s) FOR SHARE", [batch.clocks])
    _lock(connection, batch.subjects, new=True)
    connection.execute(
        f"SELECT record_id, system, step FROM {MEMBERS} member WHERE live AND record_id = ANY(%s)",
        [[row[0] for row in members]],
    ).fetchall()
    connection.execute("UPDATE subject SET seq = seq + 1 WHERE subject = ANY(%s)", [batch.subjects])
    for table in _BY_COMMAND:
        _copy(connection, table, batch.copies[table])
    if batch.clocks:
        connection.execute(
            "UPDATE clock SET next_due = NULL, fired_to = next_due WHERE clock_id = ANY(%s)",
            [batch.clocks],
        )
    else:
        connection.execute(
            "UPDATE record SET next_due = later FROM"
            " unnest(%s::uuid[], %s::timestamptz[]) AS given (id, later) WHERE record_id = id",
            [batch.records, batch.next_due],
        )
    connection.commit()


def _relay(connection: psycopg.Connection[Any], batch: Batch) -> None:
    connection.execute("SELECT 1 FROM clock WHERE clock_id = ANY(%s) FOR SHARE", [batch.clocks])
    _lock(connection, batch.subjects, new=False)
    connection.execute(
        "SELECT * FROM command WHERE command_id = ANY(%s) ORDER BY subject, seq FOR UPDATE",
        [batch.commands],
    ).fetchall()
    connection.execute(
        "SELECT command_id FROM command_clock JOIN clock USING (clock_id)"
        " WHERE command_id = ANY(%s) AND clock.epoch <> command_clock.epoch",
        [batch.commands],
    ).fetchall()
    connection.execute(
        "UPDATE command SET state = 'sent', attempt = 1, first_sent_at = now(),"
        " next_attempt_at = now() + interval '1 minute',"
        " message_id = given.message_id, item = given.item"
        " FROM unnest(%s::uuid[], %s::bigint[], %s::smallint[]) AS given (id, message_id, item)"
        " WHERE command_id = given.id",
        [batch.commands, batch.messages, batch.items],
    )
    _copy(connection, "message", batch.copies["message"])
    connection.commit()


def _lock(connection: psycopg.Connection[Any], subjects: list[str], *, new: bool) -> None:
    if new:
        connection.execute(
            "INSERT INTO subject (subject) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING",
            [subjects],
        )
    connection.execute(
        "SELECT 1 FROM subject WHERE subject = ANY(%s) ORDER BY subject FOR UPDATE", [subjects]
    )


def _copy(connection: psycopg.Connection[Any], table: str, data: bytes) -> None:
    with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
        copy.write(data)


@contextmanager
def _connection(ledger: Database) -> Iterator[psycopg.Connection[Any]]:
    url = ledger.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, options="-c plan_cache_mode=force_custom_plan") as connection:
        yield connection
