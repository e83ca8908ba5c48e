"""Tables of data subjects' requests: their keys, what systems disclose, and the answers."""

from __future__ import annotations

from sqlalchemy import Column, Index, LargeBinary, Table, Text, Uuid, text

from services.storage.tables import metadata
from services.storage.types import UtcDateTime

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
"""The key pair of a request. The private key is encrypted with the requests' key; once it is deleted,
nothing that is encrypted for the request can be decrypted."""

disclosure = Table(
    "disclosure",
    metadata,
    Column("command_id", Uuid, primary_key=True),
    Column("request_id", Uuid, nullable=False),
    Column("text", Text, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Index("disclosure_request", "request_id"),
)
"""What a system disclosed, encrypted to the request's key; erased when the answer is delivered."""

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
"""The answers that Termijn gives to requests, once each, and when they were published."""
