"""Typed rows of the ledger, created where they are read, so that the type checker knows their columns.

The fields are columns of `ledger.tables`, which explains them. Instants are UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Column, Connection, Row

from services.ledger import tables
from services.ledger.command_state import State
from services.ledger.wordings import Wording, load_wordings


class CommandRow(NamedTuple):
    """A command of the outbox, with the columns by which the deleter decides."""

    command_id: UUID
    system: str
    subject: str
    names_subject: bool
    action: str
    epoch: int
    seq: int
    due_at: datetime
    not_before: datetime | None
    erase_by: datetime | None
    supersedes: UUID | None
    request: str | None
    state: State
    attempt: int
    outcome: str | None
    follow_up_at: datetime | None
    message_id: int | None
    item: int | None
    wording: Wording


class RecordRow(NamedTuple):
    """A record: an event's data on one subject."""

    record_id: UUID
    event_id: UUID
    subject: str
    next_due: datetime | None
    backfill: str | None


class SubjectRow(NamedTuple):
    """A data subject's row: the subject's lock, and how far the scan of its records has come."""

    subject: str
    acts: int
    seq: int
    next_due: datetime | None
    cursor: UUID | None


COMMAND_COLUMNS: tuple[Column[Any], ...] = (
    *(tables.command.c[name] for name in CommandRow._fields[:-1]),
    tables.command.c.wording_id,
)
RECORD_COLUMNS: tuple[Column[Any], ...] = tuple(tables.record.c[name] for name in RecordRow._fields)
SUBJECT_COLUMNS: tuple[Column[Any], ...] = tuple(
    tables.subject.c[name] for name in SubjectRow._fields
)


def command_rows(connection: Connection, rows: Iterable[Sequence[Any]]) -> list[CommandRow]:
    """Return the rows of a query for `COMMAND_COLUMNS` as commands."""
    read = list(rows)
    wordings = load_wordings(connection, {row[-1] for row in read})
    return [CommandRow._make((*row[:-1], wordings[row[-1]])) for row in read]


def record_rows(rows: Iterable[Row[Any]]) -> list[RecordRow]:
    """Return the rows of a query for `RECORD_COLUMNS` as records."""
    return [RecordRow._make(row) for row in rows]
