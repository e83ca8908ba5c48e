"""A message of acknowledgements as it is stored: its id, a hash of its content, and the evidence."""

from __future__ import annotations

import json
from datetime import datetime
from hashlib import sha256

from schemas.cloudevents import format_rfc3339
from services.deleter.acknowledgement import Acknowledgement, AcknowledgementMessage
from services.ledger.command_state import State
from services.storage.audit_outbox import AuditEntry

_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=str)


def hash_content(message: AcknowledgementMessage) -> bytes:
    """Return a hash of a message's content, by which it is recognised; the times do not count."""
    content = [
        (
            str(item.command_id),
            item.attempt,
            item.status,
            item.counts,
            item.ground,
            item.checked and (item.checked.records, item.checked.found),
        )
        for item in message.acknowledgements
    ]
    return sha256(_JSON.encode(content).encode()).digest()[:16]


def to_row(message: AcknowledgementMessage, content: bytes, now: datetime) -> dict[str, object]:
    """Return a message that arrived at `now`, UTC, as a row of its table."""
    return {
        "acknowledgement_id": message.acknowledgement_id,
        "system": message.system,
        "content": content,
        "received_at": now,
    }


def audit_entry(acknowledgement: Acknowledgement, state: State, now: datetime) -> AuditEntry:
    """Return the entry of an acknowledgement after which its command is in `state`."""
    body = {
        "status": acknowledgement.status,
        "counts": dict(acknowledgement.counts),
        "ground": acknowledgement.ground,
        "attempt": acknowledgement.attempt,
        "answered_at": format_rfc3339(acknowledgement.at),
        "state": state,
    }
    if acknowledgement.checked is not None:
        body["read_again"] = acknowledgement.checked.records
        body["found"] = dict(acknowledgement.checked.found)
    return AuditEntry(now, "answered", acknowledgement.command_id, body)
