"""Tables of the outbox and its history: the commands to systems, and their acknowledgements."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)

from services.storage.tables import metadata
from services.storage.types import UtcDateTime

sequence = Table(
    "sequence",
    metadata,
    Column("system", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("last", BigInteger, nullable=False),
)
"""The last `seq` that was given to a command, by system and subject."""

command = Table(
    "command",
    metadata,
    Column("command_id", Uuid, primary_key=True),
    Column("system", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("names_subject", Boolean, nullable=False),
    Column("action", Text, nullable=False),
    Column("rules", Text, nullable=False),
    Column("purposes", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("not_before", UtcDateTime),
    Column("erase_by", UtcDateTime),
    Column("policy_version", Text, nullable=False),
    Column("supersedes", Uuid),
    Column("request", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("next_attempt_at", UtcDateTime),
    Column("first_sent_at", UtcDateTime),
    Column("settled_at", UtcDateTime),
    Column("escalated_at", UtcDateTime),
    Column("outcome", Text),
    Column("ground", Text),
    Column("acknowledged_at", UtcDateTime),
    Column("follow_up_at", UtcDateTime),
    Column("message_id", BigInteger),
    Column("item", SmallInteger),
    Index(
        "command_follow_up",
        "follow_up_at",
        postgresql_where=text("follow_up_at IS NOT NULL"),
        sqlite_where=text("follow_up_at IS NOT NULL"),
    ),
    Index(
        "command_next_attempt",
        "next_attempt_at",
        postgresql_where=text("next_attempt_at IS NOT NULL"),
        sqlite_where=text("next_attempt_at IS NOT NULL"),
    ),
    Index(
        "command_protects",
        "next_attempt_at",
        postgresql_where=text("next_attempt_at IS NOT NULL AND action IN ('recall', 'restrict')"),
        sqlite_where=text("next_attempt_at IS NOT NULL AND action IN ('recall', 'restrict')"),
    ),
    Index(
        "command_first_sent",
        "first_sent_at",
        postgresql_where=text("first_sent_at IS NOT NULL AND action <> 'verify'"),
        sqlite_where=text("first_sent_at IS NOT NULL AND action <> 'verify'"),
    ),
    Index("command_created", "created_at"),
    Index(
        "command_request",
        "subject",
        "request",
        postgresql_where=text("request IS NOT NULL"),
        sqlite_where=text("request IS NOT NULL"),
    ),
    Index("command_state", "system", "state"),
)
"""The commands that were sent to systems or are about to be: the outbox with its history.

At `follow_up_at` a verification or a repetition has to follow. At `acknowledged_at` the system's
acknowledgement came in that it was carried out; `ground` is that of a refusal. `message_id` and `item` are
the message of the last attempt, and the command's place in it, counted from 0.
"""

member = Table(
    "member",
    metadata,
    Column("command_id", Uuid, primary_key=True),
    Column("record_id", Uuid, primary_key=True),
    Column("system", Text, nullable=False),
    Column("step", Text, nullable=False),
    Column("live", Boolean, nullable=False),
    Index(
        "member_live",
        "record_id",
        "system",
        "step",
        unique=True,
        postgresql_where=text("live"),
        sqlite_where=text("live"),
    ),
)
"""The records of a command. While `live`, no other command may do the same step to the record."""

command_clock = Table(
    "command_clock",
    metadata,
    Column("clock_id", Uuid, primary_key=True),
    Column("command_id", Uuid, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Index("command_clock_command", "command_id"),
)
"""The clocks that a command depends on, with their epochs."""

message = Table(
    "message",
    metadata,
    Column(
        "message_id",
        BigInteger().with_variant(Integer, "sqlite"),
        primary_key=True,
        autoincrement=True,
    ),
    Column("system", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("topic", Text),
    Column("partition", Integer),
    Column("offset", BigInteger),
    Column("commands", LargeBinary, nullable=False),
    Column("leaves", LargeBinary),
    Column("root", LargeBinary),
)
"""Each message that was sent, with its place from the broker's delivery report.

`commands` are the ids of its commands, 16 bytes each, in their order in the message. The sealer of the
evidence adds the `leaves` of its Merkle tree, 32 bytes each, and the `root`. A message without a place was
answered before its delivery was confirmed.
"""

acknowledgement = Table(
    "acknowledgement",
    metadata,
    Column("acknowledgement_id", Text, primary_key=True),
    Column("system", Text, primary_key=True),
    Column("content", LargeBinary, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Index("acknowledgement_received", "received_at"),
)
"""The messages of systems that were applied, by the system's own ids, each with a hash of its content.

Another system's id may be the same. They are kept as long as a message may come again.
"""
