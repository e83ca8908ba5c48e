"""Outbox of the audit log: each change is written here, in its own transaction, until it is appended.

The bodies are JSON. `services.evidence.seal_entries` decides which of their fields are personal: those go
into the log as keyed hashes only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection

from services.storage import tables
from services.storage.bulk import insert_tuples

AuditKind = Literal[
    "commanded",
    "sent",
    "answered",
    "state",
    "operator",
    "policy",
    "concluded",
    "forgotten",
    "informed",
    "key",
]
"""`commanded`: so many commands were decided on; `sent`: a message was sent; `answered`: a system
acknowledged; `state`: commands changed without an acknowledgement; `operator`: a named operator did
something; `policy`: another policy is active; `concluded`: a request was answered; `forgotten`: so many
rows were purged from the ledger after the proof term; `informed`: so many duties to inform a person where
data comes from ended, some of them late; `key`: hashes have another key from here on."""
_COLUMNS = ("at", "kind", "body", "message_id", "states")
_JSON = json.JSONEncoder(separators=(",", ":"))


class AuditEntry(NamedTuple):
    """One entry for the audit log: what happened when (UTC), and to which commands of which message."""

    at: datetime
    kind: AuditKind
    body: Mapping[str, Any]
    message_id: int | None = None
    states: str | None = None
    """The states of the message's commands afterwards (`services.ledger.item_states`)."""


def enqueue(connection: Connection, entries: Sequence[AuditEntry]) -> None:
    """Enqueue entries for the audit log in this order; they count only if the transaction commits."""
    rows = [
        (entry.at, entry.kind, _JSON.encode(entry.body), entry.message_id, entry.states)
        for entry in entries
    ]
    insert_tuples(connection, tables.evidence_pending, _COLUMNS, rows)
