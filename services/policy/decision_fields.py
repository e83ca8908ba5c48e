"""Decision fields as canonical JSON: the form in which Kafka and the ledger keep them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from services.policy.tagged_event import DecisionValue

_JSON = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def encode_decision_fields(fields: Mapping[str, DecisionValue]) -> str:
    """Return the fields as JSON with sorted keys and no blanks, so that equal fields give equal text."""
    return _JSON.encode(fields)


def decode_decision_fields(text: str) -> dict[str, DecisionValue]:
    """Return the fields of `encode_decision_fields`' JSON, with lists as tuples."""
    fields = json.loads(text)
    return {k: tuple(v) if v.__class__ is list else v for k, v in fields.items()}
