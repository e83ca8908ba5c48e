"""Instants as microseconds since 1970, which is how Avro, SQLite and the watch's tables keep them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECONDS = 1_000_000


def to_microseconds(at: datetime) -> int:
    """Return the microseconds from 1970 to an aware instant."""
    since = at - EPOCH
    return (since.days * 86_400 + since.seconds) * _MICROSECONDS + since.microseconds


def from_microseconds(microseconds: int) -> datetime:
    """Return the instant so many microseconds after 1970, UTC."""
    return EPOCH + timedelta(microseconds=microseconds)
