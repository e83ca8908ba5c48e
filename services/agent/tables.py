"""The tables of the agent's inbox, beside those that every consumer loop needs.

Instants are UTC. No person is named in clear.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

from services.storage import tables as storage_tables
from services.storage.types import UtcDateTime

metadata = MetaData()

entry = Table(
    "agent_command",
    metadata,
    Column("command_id", Text, primary_key=True),
    Column("grp", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("supersedes", Text),
    Column("seq", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("issued_at", UtcDateTime, nullable=False),
    Column("valid_until", UtcDateTime, nullable=False),
    Column("state", Text, nullable=False),
    Column("due_at", UtcDateTime),
    Column("runs", Integer, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("noted", Text),
    Column("sealed", LargeBinary),
    Column("status", Text),
    Column("answer", LargeBinary),
    Column("answered_at", UtcDateTime),
    Column("delivered", Boolean, nullable=False),
    Index("agent_command_due", "due_at"),
    Index("agent_command_group", "grp", "seq"),
    Index("agent_command_delivered", "delivered"),
)
newest = Table(
    "agent_newest",
    metadata,
    Column("grp", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("issued_at", UtcDateTime, nullable=False),
    Column("valid_until", UtcDateTime, nullable=False),
)
owner = Table(
    "agent_owner",
    metadata,
    Column("system", Text, primary_key=True),
    Column("key_id", Text, nullable=False),
    Column("secret", LargeBinary, nullable=False),
)
"""One row: the system that the inbox belongs to, and its secret, encrypted."""

CONSUMER_TABLES = (
    storage_tables.position,
    storage_tables.gap,
    storage_tables.control,
    storage_tables.operator_action,
    storage_tables.dead_letter,
)
