"""Shredding: destroying keys and looking whether they are gone. It needs no master key.

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
    insert,
    metadata,
    new_id,
    select_in,
    under,
)
from services.storage.database import Database

_COLUMN = data_key.c


@dataclass(frozen=True, slots=True, kw_only=True)
class ShredResult:
    """What destroying came to."""

    now: int
    before: int
    """Those that were destroyed already."""
    never: int
    """Those that there never were; there will not be any."""


class Shredder:
    """Destroys the keys of a vault."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def open(self) -> None:
        """Make the table where it is not there."""
        metadata.create_all(self.database.engine)

    def destroy(self, events: Collection[UUID], system: str, now: datetime) -> ShredResult:
        """Destroy the keys of these events in one system, for ever; also those that are not made yet."""

        def work(connection: Connection) -> ShredResult:
            never = [
                {
                    "event_id": event,
                    "system": system,
                    "key_id": new_id(),
                    "made_at": now,
                    "destroyed_at": now,
                }
                for event in sorted(set(events))
            ]
            # First, so that a publisher that is about to make one waits, and then finds it destroyed.
            fresh = insert(connection, never)
            living = [
                row.event_id
                for row in select_in(connection, _COLUMN.event_id, events)
                if row.system == system and row.wrapped is not None
            ]
            for part in chunks(living):
                connection.execute(
                    update(data_key)
                    .where(_COLUMN.system == system, _COLUMN.event_id.in_(part))
                    .values(master=None, wrapped=None, destroyed_at=now)
                )
            return ShredResult(
                now=len(living), before=len(never) - len(living) - fresh, never=fresh
            )

        done = self.database.run_in_transaction(work)
        checkpoint_wal(self.database)
        return done

    def under(self, events: Mapping[UUID, UUID]) -> Mapping[UUID, UUID]:
        """As `data_keys.under` says of this vault."""
        return under(self.database, events)

    def named(self, key_ids: Collection[str]) -> list[ActiveKey]:
        """Those of these keys that are not destroyed."""
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

    def living(self, events: Collection[UUID], system: str) -> int:
        """How many of these events still have their key in the system."""
        living = 0
        with self.database.engine.connect() as connection:  # not the one that destroyed
            for part in chunks(sorted(set(events))):
                living += connection.execute(
                    select(func.count())
                    .select_from(data_key)
                    .where(_COLUMN.event_id.in_(part), _COLUMN.system == system)
                    .where(_COLUMN.wrapped.is_not(None))
                ).scalar_one()
        return living
