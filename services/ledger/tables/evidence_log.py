"""Tables of the evidence, a log in which tampering shows: entries, the end of the chain, signed heads."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text, text

from services.storage.tables import metadata
from services.storage.types import UtcDateTime

evidence = Table(
    "evidence",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("entry", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("message_id", BigInteger),
    Index(
        "evidence_message",
        "message_id",
        postgresql_where=text("message_id IS NOT NULL"),
        sqlite_where=text("message_id IS NOT NULL"),
    ),
)
"""The entries of the log: canonical JSON without personal data; each hash covers the hash before it.

`message_id` is the message that an entry is about; it stays when the message is purged.
"""

evidence_chain = Table(
    "evidence_chain",
    metadata,
    Column("chain", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("key_id", Text),
)
"""The end of the chain: one row, which every sealer locks. `key_id` is the key of the keyed hashes."""

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
"""Signed heads: the end of the chain at an instant, with the public key that verifies the signature."""
