"""CloudEvents 1.0: structured mode in files, binary mode on Kafka (headers `ce_*`)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from schemas import limits
from schemas.errors import MalformedEvent

__all__ = [
    "CONTENT_TYPE",
    "RESERVED_PREFIX",
    "CloudEvent",
    "MalformedEvent",
    "format_rfc3339",
    "from_headers",
    "hash_content",
    "hash_event",
    "parse_rfc3339",
    "parse_structured",
    "to_headers",
]

CONTENT_TYPE = b"application/avro"
RESERVED_PREFIX = "live-history/"
"""The prefix of the names of groups in which Termijn holds events back; no import may have it."""
_SPECVERSION = "1.0"
_ATTRIBUTES = frozenset(
    (
        "specversion",
        "id",
        "source",
        "type",
        "time",
        "termijnbackfill",
        "traceparent",
        "tracestate",
    )
)
"""The attributes that are read; others are the publisher's own, and appear nowhere, not even in errors."""
_RFC_3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt]((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(?:\.(\d{1,6})\d*)?"
    r"([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
# CloudEvents 1.0, type system: a string has no control characters and no lone surrogates.
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_LEAP_SECOND = re.compile(r"[Tt]\d\d:\d\d:60")
_MAX_DEPTH = 64
_MAX_KEY_CHARS = 64  # characters of a key in an error


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudEvent:
    """A business event, identified by `source` and `id`; `time` is when it happened, UTC."""

    id: str
    source: str
    type: str
    time: datetime
    data: Mapping[str, Any]
    backfill: str | None = None
    """The import that it belongs to; None for a live event."""
    traceparent: str | None = None
    """The trace that it belongs to (CloudEvents' distributed tracing extension)."""
    tracestate: str | None = None

    def __post_init__(self) -> None:
        if self.time.utcoffset() is None:
            raise ValueError("a naive datetime has no place in an event")
        object.__setattr__(self, "time", self.time.astimezone(UTC))


def parse_structured(text: str) -> CloudEvent:
    """Read one event in structured mode.

    Raises:
        MalformedEvent: it is not JSON, or lacks `id`, `source`, `type`, `time` or `data`.
    """
    try:
        event = json.loads(text, parse_constant=_reject, object_pairs_hook=_reject_duplicate_keys)
    except (ValueError, RecursionError) as cause:  # also an integer of thousands of digits
        raise MalformedEvent(key="json", why=f"is not JSON: {cause}") from cause
    if not isinstance(event, dict):
        raise MalformedEvent(key="json", why="is not an object")
    if event.get("specversion", _SPECVERSION) != _SPECVERSION:
        raise MalformedEvent(key="specversion", why=f"is not {_SPECVERSION}")
    data = event.get("data")
    if not isinstance(data, dict):
        raise MalformedEvent(
            key="data", why="is not an object" if "data" in event else "is missing"
        )
    _check_depth(data, _MAX_DEPTH)
    return _event(event, data)


def to_headers(event: CloudEvent) -> list[tuple[str, bytes]]:
    """Return the headers of an event in binary mode."""
    headers = [
        ("ce_specversion", _SPECVERSION.encode()),
        ("ce_id", event.id.encode()),
        ("ce_source", event.source.encode()),
        ("ce_type", event.type.encode()),
        ("ce_time", format_rfc3339(event.time).encode()),
        ("content-type", CONTENT_TYPE),
    ]
    if event.backfill is not None:
        headers.append(("ce_termijnbackfill", event.backfill.encode()))
    for name, value in (("traceparent", event.traceparent), ("tracestate", event.tracestate)):
        if value is not None:
            headers.append((f"ce_{name}", value.encode()))
    return headers


def from_headers(
    headers: Iterable[tuple[str, bytes | str | None]] | None, data: Mapping[str, Any]
) -> CloudEvent:
    """Return the event of headers in binary mode and a decoded body.

    Raises:
        MalformedEvent: an attribute is missing or wrong.
    """
    attributes: dict[str, str] = {}
    for name, value in headers or ():
        attribute = name.removeprefix("ce_")
        if attribute in _ATTRIBUTES and name.startswith("ce_") and value is not None:
            try:
                text = value if isinstance(value, str) else value.decode()
            except UnicodeDecodeError as cause:
                raise MalformedEvent(key=name, why="is not UTF-8") from cause
            attributes[attribute] = text
    if attributes.get("specversion") != _SPECVERSION:
        raise MalformedEvent(key="ce_specversion", why=f"is not {_SPECVERSION}")
    return _event(attributes, data)


def parse_rfc3339(text: str) -> datetime:
    """Return the instant, UTC, of an RFC 3339 text with an offset; digits past microseconds are cut off.

    Raises:
        MalformedEvent: the text is not such an instant, or the instant does not exist.
    """
    match = _RFC_3339.fullmatch(text)
    if match is None and _LEAP_SECOND.search(text):
        raise MalformedEvent(
            key="time", why="is a leap second, which is not counted here; write 59"
        )
    if match is None:
        raise MalformedEvent(key="time", why="is not an RFC 3339 instant with its offset")
    day, clock, fraction, offset = match.groups()
    offset = "+00:00" if offset in "Zz" else offset
    try:
        return datetime.fromisoformat(f"{day}T{clock}.{(fraction or '0'):0<6}{offset}").astimezone(
            UTC
        )
    except (ValueError, OverflowError) as cause:
        raise MalformedEvent(key="time", why=f"is not an instant that exists: {cause}") from cause


def format_rfc3339(at: datetime) -> str:
    """Return an instant as text, in UTC, with a fraction only if it has one."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def hash_event(event: CloudEvent) -> bytes:
    """Return the SHA-256 of an event's type, time and data, the same for any encoding."""
    return hash_content(event.type, format_rfc3339(event.time), event.data)


def hash_content(type: str, time: str, data: Mapping[str, Any]) -> bytes:
    """Return the hash as `hash_event` does; `time` has the form of `format_rfc3339`."""
    text = _JSON.encode([type, time, _without_nulls(data)])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _without_nulls(value: Any) -> Any:
    """Return a value without null fields, so that a null field is the same as a missing one."""
    if isinstance(value, Mapping):
        return {
            key: item if item.__class__ is str else _without_nulls(item)  # most are
            for key, item in value.items()
            if item is not None
        }
    if isinstance(value, list | tuple):
        return [_without_nulls(item) for item in value]
    return value


def _to_json(value: Any) -> str:
    """Return a value for which JSON has no type, as an event file writes it.

    A time without a zone counts as UTC, so that the result does not depend on the machine's zone.
    """
    if not isinstance(value, datetime):
        return str(value)
    return format_rfc3339(value if value.tzinfo else value.replace(tzinfo=UTC))


_JSON = json.JSONEncoder(
    sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_to_json
)


def _event(attributes: Mapping[str, Any], data: Mapping[str, Any]) -> CloudEvent:
    imported = attributes.get("termijnbackfill") is not None
    backfill = _attribute(attributes, "termijnbackfill") if imported else None
    if backfill is not None and backfill.startswith(RESERVED_PREFIX):
        why = f"begins with {RESERVED_PREFIX}, which is for what Termijn itself holds back"
        raise MalformedEvent(key="termijnbackfill", why=why)
    return CloudEvent(
        id=_attribute(attributes, "id"),
        source=_attribute(attributes, "source"),
        type=_attribute(attributes, "type"),
        time=parse_rfc3339(_attribute(attributes, "time")),
        data=data,
        backfill=backfill,
        traceparent=_optional_attribute(attributes, "traceparent"),
        tracestate=_optional_attribute(attributes, "tracestate"),
    )


def _optional_attribute(event: Mapping[str, Any], key: str) -> str | None:
    """Return an attribute of tracing; None if it is not a valid text."""
    value = event.get(key)
    return value if isinstance(value, str) and value and not _FORBIDDEN.search(value) else None


def _reject(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


def _reject_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; refuse a key that is there twice, of which JSON would drop one silently."""
    parsed = dict(pairs)
    if len(parsed) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise MalformedEvent(key="json", why=f"has the key {twice[:_MAX_KEY_CHARS]!r} twice")
    return parsed


def _check_depth(value: Any, levels_left: int) -> None:
    if levels_left == 0:
        raise MalformedEvent(key="data", why=f"is nested deeper than {_MAX_DEPTH}")
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, dict | list):
            _check_depth(item, levels_left - 1)


def _attribute(event: Mapping[str, Any], key: str) -> str:
    value = event.get(key)
    if value is None or value == "":
        raise MalformedEvent(key=key, why="is missing")
    if not isinstance(value, str):
        raise MalformedEvent(key=key, why="is not a string")
    if _FORBIDDEN.search(value):
        raise MalformedEvent(key=key, why="has a control character or a lone surrogate")
    if why := limits.length_problem(value, limits.MAX_IDENTIFIER):
        raise MalformedEvent(key=key, why=why)
    return value
