"""The store of a simulated system: one SQLite file with the rows that the system really holds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Integer,
    MetaData,
    Table,
    Text,
    and_,
    cast,
    create_engine,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.event import listen

from services.storage.files import create_private_file

_metadata = MetaData()
_stored_rows = Table(
    "held",
    _metadata,
    Column("source", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("type", Text, primary_key=True),
    Column("body", Text, nullable=False),
    Column("restricted", Boolean, nullable=False),
)
_answered = Table(
    "answered",
    _metadata,
    Column("command_id", Text, primary_key=True),
    Column("status", Text, nullable=False),
    Column("rows", Text, nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRow:
    """An event's data on one subject, as a system holds it."""

    source: str
    id: str
    type: str
    subject: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreCounts:
    """How many rows a system holds, and how many of those are restricted."""

    rows: int
    restricted: int


class SimulatedStore:
    """The data of one system and the commands that it has carried out; a repetition has no effect."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        create_private_file(path)
        self._engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 30})
        listen(self._engine, "connect", _without_fsync)
        _metadata.create_all(self._engine)

    def hold(self, rows: Sequence[StoredRow]) -> None:
        """Store the data of events; existing rows are not changed."""
        values = [
            {
                "source": row.source,
                "id": row.id,
                "subject": row.subject,
                "type": row.type,
                "body": json.dumps(row.body, default=str),
                "restricted": False,
            }
            for row in rows
        ]
        if values:
            with self._engine.begin() as connection:
                connection.execute(insert(_stored_rows).on_conflict_do_nothing(), values)

    def execute(
        self,
        command_id: str,
        action: str,
        subject: str | None,
        records: Sequence[Mapping[str, Any]],
    ) -> tuple[str, int]:
        """Carry out a command, and return the status and the number of rows."""
        with self._engine.begin() as connection:
            answered_before = connection.execute(
                select(_answered).where(_answered.c.command_id == command_id)
            ).one_or_none()
            if answered_before:
                return answered_before.status, int(answered_before.rows)
            condition = _matching_rows(subject, records)
            if action in (
                "disclose",
                "rectify",
                "verify",
                "notify",
                "transfer",
            ):  # only the number of rows is reported
                rows = connection.execute(select(func.count()).where(condition)).scalar_one()
            else:
                rows = connection.execute(self._statement(action, condition)).rowcount
            status = "done" if rows or action == "notify" else "nothing_held"
            connection.execute(
                _answered.insert().values(command_id=command_id, status=status, rows=str(rows))
            )
            return status, rows

    def rows(
        self, subject: str | None, records: Sequence[Mapping[str, Any]]
    ) -> list[Mapping[str, Any]]:
        """Return the data of these records: type, id and values."""
        query = (
            select(_stored_rows)
            .where(_matching_rows(subject, records))
            .order_by(_stored_rows.c.source, _stored_rows.c.id)
        )
        with self._engine.connect() as connection:
            return [
                {"type": row.type, "id": row.id, "time": None, "data": json.loads(row.body)}
                for row in connection.execute(query)
            ]

    def correct(
        self,
        subject: str | None,
        records: Sequence[Mapping[str, Any]],
        values: Mapping[str, Any],
    ) -> None:
        """Write corrected values into every row that has such a field."""
        condition = _matching_rows(subject, records)
        with self._engine.begin() as connection:
            for row in connection.execute(select(_stored_rows).where(condition)).all():
                body = json.loads(row.body)
                right = {name: value for name, value in values.items() if name in body}
                key = and_(
                    _stored_rows.c.source == row.source,
                    _stored_rows.c.id == row.id,
                    _stored_rows.c.subject == row.subject,
                    _stored_rows.c.type == row.type,
                )
                connection.execute(
                    update(_stored_rows).where(key).values(body=json.dumps({**body, **right}))
                )

    def has_executed(self, command_id: str) -> bool:
        """Return whether a command has been carried out already."""
        with self._engine.connect() as connection:
            query = select(_answered.c.status).where(_answered.c.command_id == command_id)
            return connection.execute(query).first() is not None

    def count_rows(self) -> StoreCounts:
        """Return the numbers of rows."""
        with self._engine.connect() as connection:
            rows, restricted = connection.execute(
                select(
                    func.count(),
                    func.coalesce(func.sum(cast(_stored_rows.c.restricted, Integer)), 0),
                )
            ).one()
        return StoreCounts(rows=rows, restricted=restricted)

    def close(self) -> None:
        """Close the file."""
        self._engine.dispose()

    @staticmethod
    def _statement(action: str, condition: ColumnElement[bool]) -> Any:
        match action:
            case "erase":
                return delete(_stored_rows).where(condition)
            case "restrict":
                return update(_stored_rows).where(condition).values(restricted=True)
            case "lift":
                return update(_stored_rows).where(condition).values(restricted=False)
            case "pseudonymise":
                pseudonym = f"pseudonym:{uuid4()}"
                return update(_stored_rows).where(condition).values(subject=pseudonym, body="{}")
        raise ValueError(f"a simulated system has no action {action!r}")


def _without_fsync(connection: Any, _: object) -> None:
    """Turn off fsync, for speed: data survives a killed process, and may be lost when the machine fails."""
    for pragma in ("journal_mode=WAL", "synchronous=OFF"):
        connection.execute(f"PRAGMA {pragma}").close()


def _matching_rows(
    subject: str | None, records: Sequence[Mapping[str, Any]]
) -> ColumnElement[bool]:
    """Return the condition for the rows of the named events, and of the subject where one is named."""
    column = _stored_rows.c
    events = or_(
        *(
            and_(
                column.type == record["type"],
                column.source == record["source"],
                column.id == record["id"],
            )
            for record in records
        )
    )
    return events if subject is None else and_(events, _stored_rows.c.subject == subject)
