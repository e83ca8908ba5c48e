"""Crypto-shredding: erases encrypted data by destroying its keys, and verifies that they are gone.

It needs no master key.

Instants are UTC.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, func, select, update

from services.crypto.data_keys import (
    ActiveKey,
    checkpoint_wal,
    chunks,
    data_key,
    insert_or_ignore,
    metadata,
    new_key_id,
    resolve_event_ids,
    select_in,
)
from services.storage.database import Database

_COLUMN = data_key.c


@dataclass(frozen=True, slots=True, kw_only=True)
class ShredResult:
    """How many keys were destroyed."""

    destroyed: int
    already_destroyed: int
    """Keys that were destroyed before."""
    never_existed: int
    """Keys that never existed; they can no longer be created."""


class Shredder:
    """Destroys data keys of a vault."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def create_tables(self) -> None:
        """Create the table if it does not exist."""
        metadata.create_all(self.database.engine)

    def destroy(self, events: Collection[UUID], system: str, now: datetime) -> ShredResult:
        """Destroy the keys of these events in one system, and prevent that missing ones are created."""

        def work(connection: Connection) -> ShredResult:
            empty_rows = [
                {
                    "event_id": event,
                    "system": system,
                    "key_id": new_key_id(),
                    "made_at": now,
                    "destroyed_at": now,
                }
                for event in sorted(set(events))
            ]
            # First, so that a publisher that is creating a key waits, and then sees it destroyed.
            inserted = insert_or_ignore(connection, empty_rows)
            active = [
                row.event_id
                for row in select_in(connection, _COLUMN.event_id, events)
                if row.system == system and row.wrapped is not None
            ]
            for chunk in chunks(active):
                connection.execute(
                    update(data_key)
                    .where(_COLUMN.system == system, _COLUMN.event_id.in_(chunk))
                    .values(master=None, wrapped=None, destroyed_at=now)
                )
            return ShredResult(
                destroyed=len(active),
                already_destroyed=len(empty_rows) - len(active) - inserted,
                never_existed=inserted,
            )

        result = self.database.run_in_transaction(work)
        checkpoint_wal(self.database)
        return result

    def resolve_event_ids(self, events: Mapping[UUID, UUID]) -> Mapping[UUID, UUID]:
        """Return the id under which this vault has each event's keys: its id, or its old id."""
        return resolve_event_ids(self.database, events)

    def by_id(self, key_ids: Collection[str]) -> list[ActiveKey]:
        """Return those of these keys that are not destroyed."""
        with self.database.transaction() as connection:
            return [
                ActiveKey(
                    key_id=row.key_id,
                    event_id=row.event_id,
                    system=row.system,
                    made_at=row.made_at,
                )
                for row in select_in(connection, _COLUMN.key_id, key_ids)
                if row.wrapped is not None
            ]

    def count_active(self, events: Collection[UUID], system: str) -> int:
        """Count the events that still have their key in the system."""
        active = 0
        with self.database.engine.connect() as connection:  # not the connection that destroyed them
            for chunk in chunks(sorted(set(events))):
                active += connection.execute(
                    select(func.count())
                    .select_from(data_key)
                    .where(_COLUMN.event_id.in_(chunk), _COLUMN.system == system)
                    .where(_COLUMN.wrapped.is_not(None))
                ).scalar_one()
        return active
