"""Tables that every consumer needs: offsets, gaps, dead letters, pauses and the operator log.

They are in one schema with the ledger's tables (`ledger.tables`); an agent's inbox has some of them.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text, Uuid

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
"""The next offset that a role reads; advanced by compare-and-swap with what the batch wrote."""

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
"""Offsets that Kafka deleted before a role read them; the role does not continue until this is accepted."""

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
"""A message that could not be processed, encrypted; `parked` until it is replayed or discarded."""

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
"""What is known of an event while its dead letter is parked, and its place on its own topic.

`subject` and `clocks` (JSON, by kind) are lookup keys (`crypto.tombstones`) made with the key `key_id`.
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
"""The operator log: each action that let a stopped role continue."""

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
    Column("message_id", BigInteger),
    Column("states", Text),
    Column("body", Text, nullable=False),
)
"""The audit outbox: entries for the evidence, written by the transaction that did it, deleted later.

An entry about the commands of a message has their `states` (`ledger.item_states`).
"""
