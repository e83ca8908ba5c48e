"""Tables of data subjects: their lock, their privacy events, and the keys that identify them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text, Uuid, text

from services.storage.tables import metadata
from services.storage.types import UtcDateTime

subject = Table(
    "subject",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("acts", BigInteger, nullable=False, server_default="0"),
    Column("seq", Integer, nullable=False, server_default="0"),
    Column("next_due", UtcDateTime),
    Column("cursor", Uuid),
    Index(
        "subject_due",
        "next_due",
        postgresql_where=text("next_due IS NOT NULL"),
        sqlite_where=text("next_due IS NOT NULL"),
    ),
)
"""A data subject: the row that is locked by decisions about the person (`ledger.subject_lock`).

`acts` counts the person's privacy events and decisions, and `seq` the commands about the person, also
those that were purged. `next_due` is when the person's records have to be scanned for privacy events, and
`cursor` the last record that this scan has passed.
"""

act = Table(
    "act",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("backfill", Text),
    Index("act_subject", "subject"),
)
"""The privacy events of subjects: consent, objection, request, legal hold."""

provenance = Table(
    "provenance",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("report", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("inform_by", UtcDateTime),
    Column("reason", Text),
    Column("informed_at", UtcDateTime),
    Column("erased_at", UtcDateTime),
    Index("provenance_subject", "subject"),
    Index(
        "provenance_open",
        "inform_by",
        postgresql_where=text("informed_at IS NULL AND erased_at IS NULL"),
        sqlite_where=text("informed_at IS NULL AND erased_at IS NULL"),
    ),
)
"""What events report about the duty to inform people where their data comes from (GDPR 14(3)).

A row of data that was obtained has the state of its duty: `inform_by` and its `reason`; `informed_at` or
`erased_at` once it has ended. Other rows have none.
"""

identifier = Table(
    "identifier",
    metadata,
    Column("key_id", Uuid, primary_key=True),
    Column("subject", Text),
    Column("events", BigInteger, nullable=False),
)
"""Every identifying key that an event has: whose it is, and how many events have it.

Without a `subject` several subjects claim it: they, and their numbers of events, are in `claimant`.
"""

claimant = Table(
    "claimant",
    metadata,
    Column("key_id", Uuid, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("events", BigInteger, nullable=False),
)
"""The subjects of the events that have a key which several subjects claim."""

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
"""A key that several subjects claim; no command about them is sent until an operator names the `owner`.

The owner is empty once that person was purged: the key then has no owner.
"""
