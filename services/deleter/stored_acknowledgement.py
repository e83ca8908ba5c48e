"""An acknowledgement as it is stored: its row, its content to compare, and its entry in the evidence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from schemas.cloudevents import format_rfc3339
from services.deleter.acknowledgement import Acknowledgement, Checked
from services.ledger.command_state import State
from services.storage.audit_outbox import AuditEntry


def content_of(acknowledgement: Any, counts: Mapping[str, int] | None = None) -> tuple[object, ...]:
    """Return the content of an `Acknowledgement`, or of a row with its counts; the time does not count."""
    rows = dict(acknowledgement.counts if counts is None else counts)
    checked = acknowledgement.checked
    return (
        acknowledgement.command_id,
        acknowledgement.attempt,
        acknowledgement.status,
        rows,
        acknowledgement.ground,
        _checked_json(checked) if isinstance(checked, Checked) else checked,
    )


def to_row(acknowledgement: Acknowledgement, now: datetime) -> dict[str, object]:
    """Return an acknowledgement that arrived at `now`, UTC, as a row of its table."""
    return {
        "acknowledgement_id": acknowledgement.acknowledgement_id,
        "command_id": acknowledgement.command_id,
        "system": acknowledgement.system,
        "attempt": acknowledgement.attempt,
        "status": acknowledgement.status,
        "counts": json.dumps(dict(acknowledgement.counts)),
        "ground": acknowledgement.ground,
        "checked": _checked_json(acknowledgement.checked) if acknowledgement.checked else None,
        "at": acknowledgement.at,
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


def _checked_json(checked: Checked) -> str:
    return json.dumps({"found": dict(checked.found), "records": checked.records}, sort_keys=True)
