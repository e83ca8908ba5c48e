"""A message of acknowledgements as it is stored: its id, a hash of its content, and the evidence."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256

from services.deleter.acknowledgement import Acknowledgement, AcknowledgementMessage


def hash_content(message: AcknowledgementMessage) -> bytes:
    """Return a hash of a message's content, by which it is recognised; the times do not count."""
    content = [
        (
            item.command_id.int,
            item.attempt,
            item.status,
            sorted(item.counts.items()),
            item.ground,
            item.checked and (item.checked.records, sorted(item.checked.found.items())),
        )
        for item in message.acknowledgements
    ]
    return sha256(repr(content).encode()).digest()[:16]


def to_row(message: AcknowledgementMessage, content: bytes, now: datetime) -> dict[str, object]:
    """Return a message that arrived at `now`, UTC, as a row of its table."""
    return {
        "acknowledgement_id": message.acknowledgement_id,
        "system": message.system,
        "content": content,
        "received_at": now,
    }


def audit_body(acknowledgement: Acknowledgement) -> dict[str, object]:
    """Return what the evidence has of an acknowledgement, beside its time and the command's state."""
    body: dict[str, object] = {
        "status": acknowledgement.status,
        "counts": dict(acknowledgement.counts),
        "ground": acknowledgement.ground,
        "attempt": acknowledgement.attempt,
    }
    if acknowledgement.checked is not None:
        body["read_again"] = acknowledgement.checked.records
        body["found"] = dict(acknowledgement.checked.found)
    return body
