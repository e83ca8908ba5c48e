"""What every consumer keeps beside its results: offsets, gaps, dead letters, pauses, what operators did.

The ledger's tables (`ledger.tables`) and these have one schema; an agent's inbox has some of these.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
)

from services.storage.types import UtcDateTime

metadata = MetaData()

position = Table(
    "position",
    metadata,
    Column("role", Text, primary_key=True),
    Column("cluster_id", Text, primary_key=True),
    Column("topic_id", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("topic", Text, nullable=False),
    Column("next", BigInteger, nullable=False),
)
"""The next offset that a role reads; moved by compare-and-swap with what the batch wrote."""

gap = Table(
    "gap",
    metadata,
    Column("role", Text, primary_key=True),
    Column("cluster_id", Text, primary_key=True),
    Column("topic_id", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("topic", Text, nullable=False),
    Column("expected", BigInteger),
    Column("low", BigInteger, nullable=False),
    Column("high", BigInteger, nullable=False),
    Column("found_at", UtcDateTime, nullable=False),
)
"""A stretch of the log that a role has not read and that is gone; the role stands still until accepted."""

dead_letter = Table(
    "dead_letter",
    metadata,
    Column("dead_letter_id", Uuid, primary_key=True),
    Column("role", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("timestamp", UtcDateTime, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Index("dead_letter_state", "state"),
)
"""A message that could not be processed, sealed; `parked` until it is replayed or discarded."""

parked_event = Table(
    "parked_event",
    metadata,
    Column("dead_letter_id", Uuid, primary_key=True),
    Column("event_type", Text),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("key_id", Text),
    Column("subject", LargeBinary),
    Column("clocks", Text, nullable=False),
    Index("parked_event_type", "event_type"),
    Index("parked_event_topic", "topic"),
)
"""What can be seen of an event while its dead letter is parked, and where it stood on its own topic.

`subject` and `clocks` (JSON, by kind) are references (`crypto.tombstones`) made with the key `key_id`.
"""

control = Table(
    "control",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("operator", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)
"""What is paused or drained: a role (`deleter`) or a system (`system:crm`), by whom and why."""

operator_action = Table(
    "operator_action",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("at", UtcDateTime, nullable=False),
    Column("operator", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("reason", Text, nullable=False),
)
"""Every way out of a stop that somebody took, on record."""

evidence_pending = Table(
    "evidence_pending",
    metadata,
    Column(
        "pending_id",
        BigInteger().with_variant(Integer, "sqlite"),
        primary_key=True,
        autoincrement=True,
    ),
    Column("at", UtcDateTime, nullable=False),
    Column("kind", Text, nullable=False),
    Column("command_id", Uuid),
    Column("body", Text, nullable=False),
)
"""What has to go into the evidence, written by the transaction that did it; gone once it is sealed."""
