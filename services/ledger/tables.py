"""The ledger's tables. Facts: event, record, hanging, clock. Journal: command and what follows it.

Instants are UTC: `timestamptz` on PostgreSQL, integer microseconds since 1970 on SQLite, which has no
time zones. Ids are UUIDs derived from what they identify (`policy.ids`), so that writing twice is harmless.
"""

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

from services.storage.tables import control as control
from services.storage.tables import dead_letter as dead_letter
from services.storage.tables import evidence_pending as evidence_pending
from services.storage.tables import gap as gap
from services.storage.tables import metadata as metadata
from services.storage.tables import operator_action as operator_action
from services.storage.tables import parked_event as parked_event
from services.storage.tables import position as position
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
"""Every business event seen, once: its identity, its deciding fields, where it stood on the bus."""

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
"""An event's data on one subject. `next_wakeup` is when the deleter has to look at it again."""

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
    Column("anchor_at", UtcDateTime),
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
"""A shared anchor: the last writer's move, and the walk over its records when they come due.

`fired_to` is the wake whose walk began last and `cursor` the last record it has passed; `opened_at` is
the earliest record under it. `backfill` is the unreleased import whose move decides the anchor.
"""

hanging = Table(
    "hanging",
    metadata,
    Column("clock_id", Uuid, primary_key=True),
    Column("record_id", Uuid, primary_key=True),
)
"""Which records hang on which clock."""

subject = Table(
    "subject",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("acts", BigInteger, nullable=False, server_default="0"),
    Column("next_due", UtcDateTime),
    Column("cursor", Uuid),
    Index(
        "subject_due",
        "next_due",
        postgresql_where=text("next_due IS NOT NULL"),
        sqlite_where=text("next_due IS NOT NULL"),
    ),
)
"""A data subject: the row that claim, relay, retry and hold lock, the one lock.

`acts` counts what was said and decided about the person; `next_wakeup` is when the person's records have
to be looked at for it, and `cursor` the last record that this look has passed.
"""

act = Table(
    "act",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("backfill", Text),
    Index("act_subject", "subject"),
)
"""The events that say where a subject stands: consent, objection, request, hold."""

identifier = Table(
    "identifier",
    metadata,
    Column("key_id", Uuid, primary_key=True),
    Column("subject", Text),
    Column("events", BigInteger, nullable=False),
)
"""Every identifying key that an event had: whose it is, and how many events have it.

Without a `subject` several claim it: who, and with how many events, is in `claimant`.
"""

claimant = Table(
    "claimant",
    metadata,
    Column("key_id", Uuid, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("events", BigInteger, nullable=False),
)
"""The subjects of the events that have a key which several claim."""

key_conflict = Table(
    "key_conflict",
    metadata,
    Column("key_id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("found_at", UtcDateTime, nullable=False),
    Column("owner", Text),
    Index(
        "key_conflict_undecided",
        "found_at",
        postgresql_where=text("owner IS NULL"),
        sqlite_where=text("owner IS NULL"),
    ),
)
"""A key that several subjects claim; nothing about any of them leaves until an operator names the `owner`.

It is empty once that person is forgotten: then the key is nobody's.
"""

sequence = Table(
    "sequence",
    metadata,
    Column("system", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("last", BigInteger, nullable=False),
)
"""The last `seq` given to a command, per system and subject."""

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
    Column("follow_up_at", UtcDateTime),
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
"""What a system was told, or is about to be told: the outbox and its history.

At `follow_up_at` something has to follow on its answer: a check, or a repetition.
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
"""The records of a command. While `live` no other command may do the same step to the record."""

command_clock = Table(
    "command_clock",
    metadata,
    Column("clock_id", Uuid, primary_key=True),
    Column("command_id", Uuid, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Index("command_clock_command", "command_id"),
)
"""The clocks, and their epochs, that a command depends on."""

attempt = Table(
    "attempt",
    metadata,
    Column("command_id", Uuid, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
)
"""Each time a command went out, by the broker's delivery report."""

acknowledgement = Table(
    "acknowledgement",
    metadata,
    Column("acknowledgement_id", Text, primary_key=True),
    Column("command_id", Uuid, nullable=False),
    Column("system", Text, primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("counts", Text, nullable=False),
    Column("ground", Text),
    Column("at", UtcDateTime, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Index("acknowledgement_command", "command_id"),
)
"""Each answer of a system, as it came. Its id is the system's own: another system's may be the same."""

request_key = Table(
    "request_key",
    metadata,
    Column("request_id", Uuid, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("public", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("sealed", LargeBinary),
    Column("made_at", UtcDateTime, nullable=False),
    Column("destroyed_at", UtcDateTime),
)
"""The key pair of a request, its private part sealed. Once that is gone, nothing sent to it opens."""

disclosure = Table(
    "disclosure",
    metadata,
    Column("command_id", Uuid, primary_key=True),
    Column("request_id", Uuid, nullable=False),
    Column("text", Text, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Index("disclosure_request", "request_id"),
)
"""What a system holds, encrypted by it to the request's key; erased when the answer is delivered."""

correction = Table(
    "correction",
    metadata,
    Column("request_id", Uuid, primary_key=True),
    Column("fields", Text, nullable=False),
    Column("text", Text),
    Column("noted_at", UtcDateTime, nullable=False),
)
"""What a request for rectification corrects: the names of the fields, and the values, encrypted to the
request's key until the request is answered."""

answer = Table(
    "answer",
    metadata,
    Column("request_id", Uuid, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("request", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("data", Text, nullable=False),
    Column("decided_at", UtcDateTime, nullable=False),
    Column("published_at", UtcDateTime),
    Index(
        "answer_unpublished",
        "decided_at",
        postgresql_where=text("published_at IS NULL"),
        sqlite_where=text("published_at IS NULL"),
    ),
)
"""The answers that Termijn gives to requests, once each, and whether they are on the bus."""

active_policy = Table(
    "active_policy",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("policy", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("shapes", Text, nullable=False),
    Column("activated_at", UtcDateTime, nullable=False),
)
"""The policy from which all windows derive: the last row is the active one."""

backfill = Table(
    "backfill",
    metadata,
    Column("backfill", Text, primary_key=True),
    Column("started_at", UtcDateTime, nullable=False),
    Column("released_at", UtcDateTime),
    Column("operator", Text),
)
"""An import of history; what it brought is not acted upon until it is released."""

evidence = Table(
    "evidence",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("entry", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("command", LargeBinary),
    Column("subject", LargeBinary),
    Index(
        "evidence_command",
        "command",
        postgresql_where=text("command IS NOT NULL"),
        sqlite_where=text("command IS NOT NULL"),
    ),
    Index(
        "evidence_subject",
        "subject",
        postgresql_where=text("subject IS NOT NULL"),
        sqlite_where=text("subject IS NOT NULL"),
    ),
)
"""The evidence: canonical JSON without personal data, each entry's hash over it and the hash before.

`command` and `subject` are keyed hashes, by which whoever has the key finds the entries again.
"""

evidence_chain = Table(
    "evidence_chain",
    metadata,
    Column("chain", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("key_id", Text),
)
"""Where the chain ends: one row, which every sealer locks. `key_id` is the key of its hashes."""

evidence_head = Table(
    "evidence_head",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, primary_key=True),
    Column("head", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("x", Text, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("published_at", UtcDateTime),
    Index(
        "evidence_head_unpublished",
        "number",
        postgresql_where=text("published_at IS NULL"),
        sqlite_where=text("published_at IS NULL"),
    ),
)
"""Signed heads: where the chain ended at an instant, with the public key that verifies it."""

forgetting = Table(
    "forgetting",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("key_id", Text),
    Column("began_at", UtcDateTime),
    Column("through", UtcDateTime),
)
"""One row: whoever forgets locks it, and whoever records shares it, so that nothing is forgotten meanwhile.

`key_id` is the key of all that remains; since `began_at` something may; `through` is the latest instant at
which a command that is forgotten was settled.
"""

forgetting_cursor = Table(
    "forgetting_cursor",
    metadata,
    Column("sweep", Text, primary_key=True),
    Column("cursor", Text),
    Column("done", Boolean, nullable=False),
)
"""How far each look for what can be forgotten has come; those that are done wait for the others.

It never names anybody who was forgotten.
"""

forgotten_event = Table(
    "forgotten_event",
    metadata,
    Column("reference", LargeBinary, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)
"""Events that were seen and are forgotten: keyed hashes of their identity and of their content."""

remains = Table(
    "remains",
    metadata,
    Column("reference", LargeBinary, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)
"""What must stay of a subject or a clock, for whoever brings its name again (`crypto.tombstones`)."""
