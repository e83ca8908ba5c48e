"""What goes on record: each change of the journal waits here, in its own transaction, for the seal.

The bodies are JSON; which of their fields are personal, and go into the log as keyed hashes only, is said
where they are sealed (`services.evidence.seal_entries`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

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
    "key",
]
"""`commanded`: a command was decided on; `sent`: an attempt went out; `answered`: a system said something;
`state`: a command got into another state without that; `operator`: somebody with a name did something;
`policy`: another one is active; `concluded`: a request was answered; `forgotten`: so much is gone from
the ledger, its proof's term over; `key`: hashes have another key."""
_COLUMNS = ("at", "kind", "command_id", "body")
_JSON = json.JSONEncoder(separators=(",", ":"))


class AuditEntry(NamedTuple):
    """One thing that happened at an instant, UTC, to a command or to none."""

    at: datetime
    kind: AuditKind
    command_id: UUID | None
    body: Mapping[str, Any]


def enqueue(connection: Connection, entries: Sequence[AuditEntry]) -> None:
    """Have these sealed, in this order, if and when the transaction commits."""
    rows = [(entry.at, entry.kind, entry.command_id, _JSON.encode(entry.body)) for entry in entries]
    insert_tuples(connection, tables.evidence_pending, _COLUMNS, rows)
