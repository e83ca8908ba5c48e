"""Tables of the purge: its progress, and tombstones, which stay of purged events and subjects."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Integer, LargeBinary, Table, Text

from services.storage.tables import metadata
from services.storage.types import UtcDateTime

forgetting = Table(
    "forgetting",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("key_id", Text),
    Column("began_at", UtcDateTime),
    Column("through", UtcDateTime),
)
"""One row, which the purge locks and a recorder shares: nothing is purged while events are recorded.

`key_id` is the key of all tombstones; there may be some since `began_at`; `through` is the latest instant
at which a command that was purged had been settled.
"""

forgetting_cursor = Table(
    "forgetting_cursor",
    metadata,
    Column("sweep", Text, primary_key=True),
    Column("cursor", Text),
    Column("done", Boolean, nullable=False),
)
"""How far each scan for rows to purge has come; a finished scan waits for the others.

A cursor never names a subject that was purged.
"""

forgotten_event = Table(
    "forgotten_event",
    metadata,
    Column("reference", LargeBinary, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)
"""Events that were recorded and purged: keyed hashes of their identity and of their content."""

remains = Table(
    "remains",
    metadata,
    Column("reference", LargeBinary, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)
"""What stays of a purged subject or clock, in case an event names it again (`crypto.tombstones`)."""
