"""Tables of the facts: events, records and retention clocks; they do not depend on the order of arrival."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    text,
)

from services.storage.tables import metadata
from services.storage.types import UtcDateTime

event = Table(
    "event",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("source", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("time", UtcDateTime, nullable=False),
    Column("content_hash", LargeBinary, nullable=False),
    Column("deciding", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
)
"""Every business event, once: its identity, its decision fields, and where it was on its topic."""

record = Table(
    "record",
    metadata,
    Column("record_id", Uuid, primary_key=True),
    Column("event_id", Uuid, nullable=False),
    Column("subject", Text, nullable=False),
    Column("next_due", UtcDateTime),
    Column("backfill", Text),
    Index("record_subject", "subject", "record_id"),
    Index(
        "record_due",
        "next_due",
        postgresql_where=text("next_due IS NOT NULL AND backfill IS NULL"),
        sqlite_where=text("next_due IS NOT NULL AND backfill IS NULL"),
    ),
    Index(
        "record_backfill",
        "backfill",
        postgresql_where=text("backfill IS NOT NULL"),
        sqlite_where=text("backfill IS NOT NULL"),
    ),
)
"""An event's data on one subject. `next_due` is when the deleter has to plan it again."""

clock = Table(
    "clock",
    metadata,
    Column("clock_id", Uuid, primary_key=True),
    Column("clock", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("parent_id", Uuid),
    Column("opened_at", UtcDateTime),
    Column("ended", Boolean, nullable=False),
    Column("moved_at", UtcDateTime),
    Column("moved_source", Text, nullable=False),
    Column("moved_id", Text, nullable=False),
    Column("moved_backfill", Text),
    Column("moved_to", UtcDateTime),
    Column("moved_outcome", Text),
    Column("anchor_at", UtcDateTime),
    Column("outcome", Text),
    Column("epoch", BigInteger, nullable=False),
    Column("next_due", UtcDateTime),
    Column("fired_to", UtcDateTime),
    Column("cursor", Uuid),
    Column("backfill", Text),
    Index("clock_parent", "parent_id"),
    Index(
        "clock_due",
        "next_due",
        postgresql_where=text("next_due IS NOT NULL AND backfill IS NULL"),
        sqlite_where=text("next_due IS NOT NULL AND backfill IS NULL"),
    ),
    Index(
        "clock_backfill",
        "backfill",
        postgresql_where=text("backfill IS NOT NULL"),
        sqlite_where=text("backfill IS NOT NULL"),
    ),
    Index(
        "clock_open",
        "clock",
        "opened_at",
        postgresql_where=text("anchor_at IS NULL"),
        sqlite_where=text("anchor_at IS NULL"),
    ),
)
"""An end that many records share: its last change, and the scan of its records when they come due.

`fired_to` is the check time whose scan began last and `cursor` the last record that this scan has passed;
`opened_at` is the time of the earliest record that depends on the clock. `moved_to` is when the clock
ends, if its last change named the day. `outcome` is that of the end at `anchor_at`. `backfill` is the
unreleased import whose change decides the anchor.
"""

hanging = Table(
    "hanging",
    metadata,
    Column("clock_id", Uuid, primary_key=True),
    Column("record_id", Uuid, primary_key=True),
)
"""Which records depend on which clock."""

backfill = Table(
    "backfill",
    metadata,
    Column("backfill", Text, primary_key=True),
    Column("started_at", UtcDateTime, nullable=False),
    Column("released_at", UtcDateTime),
    Column("operator", Text),
)
"""An import of old events: no command is sent because of them until an operator releases it."""
