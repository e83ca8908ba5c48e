"""Data keys, which encrypt fields: one for each event and key-holding system, wrapped by a master key.

A destroyed key leaves an empty row: an event that is published again gets no new key, so that
shredded data stays shredded. Instants are UTC; no row names a person.
"""

from __future__ import annotations

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
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from services.crypto.base64_text import encode_base64url
from services.crypto.master_keys import MasterKeys, WrappedKey
from services.storage.database import Database, open_database
from services.storage.types import UtcDateTime

_SECRET_BYTES = 32
_ID_BYTES = 16
_CHUNK_SIZE = 500

metadata = MetaData()
data_key = Table(
    "data_key",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("system", Text, primary_key=True),
    Column("key_id", Text, nullable=False, unique=True),
    Column("master", Text),
    Column("wrapped", LargeBinary),
    Column("made_at", UtcDateTime, nullable=False),
    Column("destroyed_at", UtcDateTime),
    Index(
        "data_key_master",
        "master",
        postgresql_where=text("master IS NOT NULL"),
        sqlite_where=text("master IS NOT NULL"),
    ),
)
_COLUMNS = data_key.c
KeyRef = tuple[UUID, str]
"""An event's id, and a system that holds a key of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataKey:
    """The key that encrypts the fields of one event for one system."""

    key_id: str
    secret: bytes | None = field(repr=False)
    """32 bytes; None once it is destroyed."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ActiveKey:
    """A key that is not destroyed."""

    key_id: str
    event_id: UUID
    system: str
    made_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyCount:
    """How many keys a system has under one master key; without a master key they are destroyed."""

    system: str
    master: str | None
    keys: int
    oldest: datetime


class DataKeyStore:
    """The vault: data keys in a database of their own."""

    def __init__(self, database: Database, master_keys: MasterKeys) -> None:
        self.database = database
        self._master_keys = master_keys

    def create_tables(self) -> None:
        """Create the table if it does not exist."""
        metadata.create_all(self.database.engine)

    def get_or_create(
        self, key_refs: Collection[KeyRef], now: datetime
    ) -> Mapping[KeyRef, DataKey]:
        """Return the keys of these events and systems, and create those that do not exist; `now` is UTC.

        Raises:
            NoMasterKey, MasterKeyNotFound, DecryptionFailed: of the master keys.
        """
        return self.database.run_in_transaction(
            lambda connection: self._get_or_create(connection, key_refs, now)
        )

    def resolve_event_ids(self, events: Mapping[UUID, UUID]) -> Mapping[UUID, UUID]:
        """Return the id under which this vault has each event's keys: its id, or its old id."""
        return resolve_event_ids(self.database, events)

    def get(self, key_ids: Collection[str]) -> Mapping[str, tuple[str, DataKey]]:
        """Return each existing key of these ids with its system; destroyed keys have no secret.

        Raises:
            MasterKeyNotFound, DecryptionFailed: of the master keys.
        """
        with self.database.transaction() as connection:
            rows = select_in(connection, _COLUMNS.key_id, key_ids)
        return {
            row.key_id: (row.system, DataKey(key_id=row.key_id, secret=self._secret(row)))
            for row in rows
        }

    def rewrap_chunk(self) -> int:
        """Wrap one chunk of keys again under the current master key; return how many, 0 once all are.

        Raises:
            NoMasterKey, MasterKeyNotFound, DecryptionFailed: of the master keys.
        """
        current = self._master_keys.current()

        def work(connection: Connection) -> int:
            rows = connection.execute(
                select(data_key)
                .where(_COLUMNS.master.is_not(None), _COLUMNS.master != current)
                .order_by(_COLUMNS.key_id)
                .limit(_CHUNK_SIZE)
                .with_for_update()
            ).all()
            for row in rows:
                wrapped = self._master_keys.wrap(self._secret(row) or b"", _binding_context(row))
                connection.execute(
                    update(data_key)
                    .where(_COLUMNS.key_id == row.key_id)
                    .values(master=wrapped.master, wrapped=wrapped.sealed)
                )
            return len(rows)

        rewrapped = self.database.run_in_transaction(work)
        checkpoint_wal(self.database)
        return rewrapped

    def active_keys(self, after: ActiveKey | None, before: datetime, limit: int) -> list[ActiveKey]:
        """Return keys that are not destroyed, created before an instant (UTC), by id, after a key."""
        query = (
            select(_COLUMNS.key_id, _COLUMNS.event_id, _COLUMNS.system, _COLUMNS.made_at)
            .where(_COLUMNS.wrapped.is_not(None), _COLUMNS.made_at < before)
            .where(_COLUMNS.key_id > (after.key_id if after else ""))
            .order_by(_COLUMNS.key_id)
            .limit(limit)
        )
        with self.database.transaction() as connection:
            return [ActiveKey(**row) for row in connection.execute(query).mappings()]

    def count_by_master(self) -> list[KeyCount]:
        """Count the keys by system and master key; those without a master key are destroyed."""
        query = (
            select(_COLUMNS.system, _COLUMNS.master, func.count(), func.min(_COLUMNS.made_at))
            .group_by(_COLUMNS.system, _COLUMNS.master)
            .order_by(_COLUMNS.system, _COLUMNS.master)
        )
        with self.database.transaction() as connection:
            return [
                KeyCount(system=system, master=master, keys=keys, oldest=oldest)
                for system, master, keys, oldest in connection.execute(query)
            ]

    def _get_or_create(
        self, connection: Connection, key_refs: Collection[KeyRef], now: datetime
    ) -> Mapping[KeyRef, DataKey]:
        events = {event for event, _ in key_refs}
        rows = {
            (row.event_id, row.system): row
            for row in select_in(connection, _COLUMNS.event_id, events)
        }
        missing = sorted(set(key_refs) - rows.keys())
        if missing:
            insert_or_ignore(
                connection, [self._new_row(event, system, now) for event, system in missing]
            )
            reread = select_in(
                connection, _COLUMNS.event_id, events
            )  # another process may have been first
            rows = {(row.event_id, row.system): row for row in reread}
        return {
            key_ref: DataKey(key_id=rows[key_ref].key_id, secret=self._secret(rows[key_ref]))
            for key_ref in key_refs
        }

    def _new_row(self, event: UUID, system: str, now: datetime) -> dict[str, Any]:
        key_id = new_key_id()
        wrapped = self._master_keys.wrap(os.urandom(_SECRET_BYTES), f"{key_id} {event} {system}")
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
        return self._master_keys.unwrap(
            WrappedKey(master=row.master, sealed=row.wrapped), _binding_context(row)
        )


def open_vault(url: str) -> Database:
    """Open the vault's database at a SQLAlchemy URL; on SQLite destroyed keys are overwritten."""
    return open_database(url, secure_delete=True)


def resolve_event_ids(database: Database, events: Mapping[UUID, UUID]) -> Mapping[UUID, UUID]:
    """Return the id under which the vault has each event's keys.

    That is the event's id, or its old id if only that has keys: the id from when ids were unique over all
    topics.
    """
    with database.transaction() as connection:
        ids_with_keys = {
            row.event_id
            for row in select_in(connection, _COLUMNS.event_id, {*events, *events.values()})
        }
    return {
        event_id: old_id if old_id in ids_with_keys and event_id not in ids_with_keys else event_id
        for event_id, old_id in events.items()
    }


def checkpoint_wal(database: Database) -> None:
    """On SQLite remove overwritten data from the write-ahead log too, as far as no reader needs it."""
    if database.is_sqlite and database.engine.url.database:
        connection = database.engine.raw_connection()
        try:
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()


def _binding_context(row: Row[Any]) -> str:
    return f"{row.key_id} {row.event_id} {row.system}"


def new_key_id() -> str:
    """Return a new random key id."""
    return encode_base64url(os.urandom(_ID_BYTES))


def insert_or_ignore(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the rows that do not exist; return how many."""
    dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = (
        dialect.insert(data_key)
        .on_conflict_do_nothing(index_elements=["event_id", "system"])
        .returning(_COLUMNS.key_id)
    )
    return sum(len(connection.execute(statement, dict(row)).all()) for row in rows)


def select_in(connection: Connection, column: Any, values: Collection[Any]) -> list[Row[Any]]:
    """Return the rows whose column has one of these values."""
    return [
        row
        for chunk in chunks(sorted(set(values)))
        for row in connection.execute(select(data_key).where(column.in_(chunk)))
    ]


def chunks(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    """Split values into chunks for one statement each."""
    return (values[start : start + _CHUNK_SIZE] for start in range(0, len(values), _CHUNK_SIZE))
