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
    select,
    text,
    union_all,
)

from services.storage.tables import metadata
from services.storage.types import UtcDateTime

_IS_OPEN = "state IN ('unsent', 'sending', 'sent', 'recalling', 'refused')"
"""The states in which a command may need something; nearly all commands are in others."""

wording = Table(
    "wording",
    metadata,
    Column("wording_id", BigInteger, primary_key=True, autoincrement=False),
    Column("rules", Text, nullable=False),
    Column("purposes", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("policy_version", Text, nullable=False),
)
"""What many commands state alike (`ledger.wordings`); `rules` and `purposes` are JSON lists.

It names no person, and stays when the commands are purged.
"""

command = Table(
    "command",
    metadata,
    Column("command_id", Uuid, primary_key=True),
    Column("wording_id", BigInteger, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("not_before", UtcDateTime),
    Column("erase_by", UtcDateTime),
    Column("next_attempt_at", UtcDateTime),
    Column("first_sent_at", UtcDateTime),
    Column("settled_at", UtcDateTime),
    Column("escalated_at", UtcDateTime),
    Column("acknowledged_at", UtcDateTime),
    Column("follow_up_at", UtcDateTime),
    Column("restored_at", UtcDateTime),
    Column("message_id", BigInteger),
    Column("seq", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("attempt", SmallInteger, nullable=False),
    Column("item", SmallInteger),
    Column("names_subject", Boolean, nullable=False),
    Column("live", Boolean, nullable=False),
    Column("record_id", Uuid),
    Column("supersedes", Uuid),
    Column("system", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("step", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("outcome", Text),
    Column("ground", Text),
    Column("request", Text),
    Index(
        "command_live",
        "record_id",
        "system",
        "step",
        unique=True,
        postgresql_where=text("live"),
        sqlite_where=text("live"),
    ),
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
        "command_request",
        "subject",
        "request",
        postgresql_where=text("request IS NOT NULL"),
        sqlite_where=text("request IS NOT NULL"),
    ),
    Index(
        "command_open",
        "system",
        "state",
        postgresql_where=text(_IS_OPEN),
        sqlite_where=text(_IS_OPEN),
    ),
    postgresql_with={"fillfactor": 50},
)
"""The commands that were sent to systems or are about to be: the outbox with its history.

The columns with a fixed width are first, so that a row has no gaps. A page is filled by half: there is room
for the change of each row when it is sent, and that room is used again when it is settled.

`record_id` is the record of a command that names only one; those of other commands are in
`command_record`. `live` and `step` are about that record, as there; no command is `live` that has no
record in its row. At `follow_up_at` a verification or a repetition has to follow. At `acknowledged_at`
the system's acknowledgement came in that it was carried out; `ground` is that of a refusal. At
`restored_at` its system was restored from a backup while it was out: what it then acknowledges has to be
done again. `message_id` and `item` are the message of the last attempt, and the command's place in it,
counted from 0.
"""

command_record = Table(
    "command_record",
    metadata,
    Column("command_id", Uuid, primary_key=True),
    Column("record_id", Uuid, primary_key=True),
    Column("system", Text, nullable=False),
    Column("step", Text, nullable=False),
    Column("live", Boolean, nullable=False),
    Index(
        "command_record_live",
        "record_id",
        "system",
        "step",
        unique=True,
        postgresql_where=text("live"),
        sqlite_where=text("live"),
    ),
)
"""The records of commands that name several. While `live`, no other command may do the same step to the
record."""

member = union_all(
    select(
        *(command.c.command_id, command.c.record_id, command.c.system, command.c.step),
        command.c.live,
    ).where(command.c.record_id.is_not(None)),
    select(command_record),
).subquery("member")
"""The records of all commands, to be read; `command` and `command_record` are written."""

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
    Column("first_attempts", SmallInteger, nullable=False),
    Column("commands", LargeBinary, nullable=False),
    Column("leaves", LargeBinary),
    Column("root", LargeBinary),
    Index("message_at", "at"),
    Index("message_place", "topic", "partition", "offset"),
)
"""Each message that was sent, with its place from the broker's delivery report.

`first_attempts` counts its commands that were never sent before. `commands` are the ids of all its
commands, 16 bytes each, in their order in the message. The sealer of the
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
