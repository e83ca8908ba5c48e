"""Data keys: one for each event and system that holds keys, wrapped by a master key.

A key that is destroyed leaves its row behind, empty: an event that is published once more gets no new key,
so what has been shredded stays so. Instants are UTC; no row names a person.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Column,
    Connection,
    Index,
    LargeBinary,
    MetaData,
    Row,
    Table,
    Text,
    Uuid,
    event,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from services.crypto.master_keys import MasterKeys, WrappedKey
from services.storage.database import Database, open_database
from services.storage.types import Instant

_SECRET_BYTES = 32
_ID_BYTES = 16
_AT_ONCE = 500

metadata = MetaData()
data_key = Table(
    "data_key",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("system", Text, primary_key=True),
    Column("key_id", Text, nullable=False, unique=True),
    Column("master", Text),
    Column("wrapped", LargeBinary),
    Column("made_at", Instant, nullable=False),
    Column("destroyed_at", Instant),
    Index(
        "data_key_master",
        "master",
        postgresql_where=text("master IS NOT NULL"),
        sqlite_where=text("master IS NOT NULL"),
    ),
)
_COLUMN = data_key.c
Wanted = tuple[UUID, str]
"""An event, and a system that holds keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataKey:
    """One key."""

    key_id: str
    secret: bytes | None = field(repr=False)
    """32 bytes; nothing once it is destroyed."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ActiveKey:
    """A key that is not destroyed."""

    key_id: str
    event_id: UUID
    system: str
    made_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyCount:
    """Keys of one system under one master key, or the destroyed ones of it."""

    system: str
    master: str | None
    keys: int
    oldest: datetime


class DataKeyStore:
    """The vault's keys, in a database of their own."""

    def __init__(self, database: Database, masters: MasterKeys) -> None:
        self.database = database
        self._masters = masters

    def open(self) -> None:
        """Make the table where it is not there."""
        metadata.create_all(self.database.engine)

    def of(self, wanted: Collection[Wanted], now: datetime) -> Mapping[Wanted, DataKey]:
        """The keys of these events and systems, made where there are none.

        Raises:
            NoMaster, NoSuchMaster, Unopenable: of the master keys.
        """
        return self.database.run_in_transaction(
            lambda connection: self._of(connection, wanted, now)
        )

    def under(self, events: Mapping[UUID, UUID]) -> Mapping[UUID, UUID]:
        """As `under` says of this vault."""
        return under(self.database, events)

    def keys(self, key_ids: Collection[str]) -> Mapping[str, tuple[str, DataKey]]:
        """The keys of these ids, each with its system; what never was is not among them.

        Raises:
            NoSuchMaster, Unopenable: of the master keys.
        """
        with self.database.transaction() as connection:
            found = select_in(connection, _COLUMN.key_id, key_ids)
        return {
            row.key_id: (row.system, DataKey(key_id=row.key_id, secret=self._secret(row)))
            for row in found
        }

    def rewrap(self) -> int:
        """Wrap some keys anew that are not under the current master key; how many, 0 once all are.

        Raises:
            NoMaster, NoSuchMaster, Unopenable: of the master keys.
        """
        current = self._masters.current()

        def work(connection: Connection) -> int:
            found = connection.execute(
                select(data_key)
                .where(_COLUMN.master.is_not(None), _COLUMN.master != current)
                .order_by(_COLUMN.key_id)
                .limit(_AT_ONCE)
                .with_for_update()
            ).all()
            for row in found:
                wrapped = self._masters.wrap(self._secret(row) or b"", _place(row))
                connection.execute(
                    update(data_key)
                    .where(_COLUMN.key_id == row.key_id)
                    .values(master=wrapped.master, wrapped=wrapped.sealed)
                )
            return len(found)

        done = self.database.run_in_transaction(work)
        checkpoint_wal(self.database)
        return done

    def living(self, after: ActiveKey | None, before: datetime, limit: int) -> list[ActiveKey]:
        """Keys that are not destroyed and were made before an instant, UTC, by id from after one on."""
        query = (
            select(_COLUMN.key_id, _COLUMN.event_id, _COLUMN.system, _COLUMN.made_at)
            .where(_COLUMN.wrapped.is_not(None), _COLUMN.made_at < before)
            .where(_COLUMN.key_id > (after.key_id if after else ""))
            .order_by(_COLUMN.key_id)
            .limit(limit)
        )
        with self.database.transaction() as connection:
            return [ActiveKey(**row) for row in connection.execute(query).mappings()]

    def counted(self) -> list[KeyCount]:
        """How many keys there are, by system and master key; those without one are destroyed."""
        query = (
            select(_COLUMN.system, _COLUMN.master, func.count(), func.min(_COLUMN.made_at))
            .group_by(_COLUMN.system, _COLUMN.master)
            .order_by(_COLUMN.system, _COLUMN.master)
        )
        with self.database.transaction() as connection:
            return [
                KeyCount(system=system, master=master, keys=keys, oldest=oldest)
                for system, master, keys, oldest in connection.execute(query)
            ]

    def _of(
        self, connection: Connection, wanted: Collection[Wanted], now: datetime
    ) -> Mapping[Wanted, DataKey]:
        events = {event for event, _ in wanted}
        found = {
            (row.event_id, row.system): row
            for row in select_in(connection, _COLUMN.event_id, events)
        }
        missing = sorted(set(wanted) - found.keys())
        if missing:
            insert(connection, [self._made(event, system, now) for event, system in missing])
            again = select_in(connection, _COLUMN.event_id, events)  # another may have been first
            found = {(row.event_id, row.system): row for row in again}
        return {
            one: DataKey(key_id=found[one].key_id, secret=self._secret(found[one]))
            for one in wanted
        }

    def _made(self, event: UUID, system: str, now: datetime) -> dict[str, Any]:
        key_id = new_id()
        wrapped = self._masters.wrap(os.urandom(_SECRET_BYTES), f"{key_id} {event} {system}")
        return {
            "event_id": event,
            "system": system,
            "key_id": key_id,
            "master": wrapped.master,
            "wrapped": wrapped.sealed,
            "made_at": now,
        }

    def _secret(self, row: Row[Any]) -> bytes | None:
        if row.wrapped is None:
            return None
        return self._masters.unwrap(WrappedKey(master=row.master, sealed=row.wrapped), _place(row))


def open_vault(url: str) -> Database:
    """The vault's database at a SQLAlchemy URL; on SQLite what is destroyed there is overwritten."""
    database = open_database(url)
    if database.is_sqlite:
        event.listen(
            database.engine,
            "connect",
            lambda one, _: one.execute("PRAGMA secure_delete=ON").close(),
        )
    return database


def under(database: Database, events: Mapping[UUID, UUID]) -> Mapping[UUID, UUID]:
    """Under which id the vault has each event's keys: its identity, or the one given with it, if only
    that has any: the identity that it had while identities counted over all topics."""
    with database.transaction() as connection:
        known = {
            row.event_id
            for row in select_in(connection, _COLUMN.event_id, {*events, *events.values()})
        }
    return {one: old if old in known and one not in known else one for one, old in events.items()}


def checkpoint_wal(database: Database) -> None:
    """On SQLite what was overwritten leaves the write-ahead log as well, as soon as nobody reads it."""
    if database.is_sqlite and database.engine.url.database:
        connection = database.engine.raw_connection()
        try:
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()


def _place(row: Row[Any]) -> str:
    return f"{row.key_id} {row.event_id} {row.system}"


def new_id() -> str:
    """The id of a new key."""
    return base64.urlsafe_b64encode(os.urandom(_ID_BYTES)).rstrip(b"=").decode()


def insert(connection: Connection, made: Sequence[Mapping[str, Any]]) -> int:
    """Insert those rows for which there is none; how many."""
    dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = (
        dialect.insert(data_key)
        .on_conflict_do_nothing(index_elements=["event_id", "system"])
        .returning(_COLUMN.key_id)
    )
    return sum(len(connection.execute(statement, dict(one)).all()) for one in made)


def select_in(connection: Connection, column: Any, values: Collection[Any]) -> list[Row[Any]]:
    """The keys that have one of these values in the column."""
    return [
        row
        for part in chunks(sorted(set(values)))
        for row in connection.execute(select(data_key).where(column.in_(part)))
    ]


def chunks(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    """As many at once as a statement takes."""
    return (values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE))
