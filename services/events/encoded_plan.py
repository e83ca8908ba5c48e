"""Plans encoded for Kafka: the bytes of the tagged events of one shape, with gaps.

Identifiers, times and offsets are filled in. The bytes are those of an event with placeholders, so that
nothing here knows schemas or rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from os import urandom
from typing import Any, NamedTuple
from uuid import uuid4

from schemas.instants import to_microseconds
from services.policy.decision_fields import encode_decision_fields
from services.policy.gap_text import PLACEHOLDERS, GapText
from services.policy.tagged_event import Holding, TaggedEvent

# Placeholders for what differs between events of one shape; no real value is equal to one.
_FIRST = datetime(2100, 1, 1, tzinfo=UTC)
INSTANTS = tuple(
    _FIRST + timedelta(days=40 * n, microseconds=7919 * n) for n in range(len(PLACEHOLDERS))
)
SOURCE, ID, DECIDING = (uuid4().hex for _ in range(3))
TIME = datetime(2099, 1, 1, tzinfo=UTC)
HASH = urandom(32)
PARTITION = 1_987_654_321
OFFSET = 4_815_162_342_108_000


def encode_string(text: bytes) -> bytes:
    """Return Avro's encoding of a string of these bytes."""
    size = len(text)
    return (_SIZES[size] if size < len(_SIZES) else encode_long(size)) + text


def encode_long(number: int) -> bytes:
    """Return Avro's encoding of a long or an int: zigzag, then seven bits at a time."""
    remaining = number << 1 if number >= 0 else ~(number << 1)
    groups = b""
    while remaining > 0x3FFF:
        groups += _PAIRS[remaining & 0x3FFF]
        remaining >>= 14
    if remaining > 0x7F:
        return groups + bytes((remaining & 0x7F | 0x80, remaining >> 7))
    return groups + bytes((remaining,))


_PAIRS = [bytes((pair & 0x7F | 0x80, pair >> 7 | 0x80)) for pair in range(1 << 14)]
_SIZES = [encode_long(size) for size in range(64)]


class FastPathMessage(NamedTuple):
    """A message whose headers and identifiers need no check by the slow path."""

    source: bytes
    id: bytes
    time_text: str
    """Its time, in the form of its header and its content hash."""
    time: datetime
    key: object
    """Its shape, import, end of book year where that matters, and group of old events."""
    values: Sequence[str]


class EncodedPlan:
    """The tagged events of one shape: their keys and bytes, with gaps."""

    __slots__ = ("_deciding", "_format", "_key", "_order", "_texts", "fixed_holdings", "rules")

    def __init__(
        self,
        encoded: bytes,
        tagged: TaggedEvent,
        fixed_holdings: Sequence[Holding],
    ) -> None:
        """Make the gaps where the bytes and the tagged event have placeholders."""
        self.fixed_holdings = fixed_holdings
        """The holdings whose windows the event's own time fixes."""
        self.rules = tuple(holding.rule for holding in tagged.holdings)
        """The rule of each of its holdings."""
        texts = [*tagged.subjects, *(move.clock.key for move in tagged.clock_changes)]
        self._key = GapText(tagged.message_key)
        self._deciding = GapText(encode_decision_fields(tagged.decision_fields))
        self._texts = [GapText(text) for text in texts]
        fixed: list[Any] = [SOURCE, ID, TIME, HASH, PARTITION, OFFSET, DECIDING]
        holes = {
            _encode_placeholder(hole): index
            for index, hole in enumerate((*fixed, *texts, *INSTANTS))
        }
        any_hole = b"|".join(re.escape(hole) for hole in holes)
        parts = re.split(any_hole, encoded)
        self._format = b"%b".join(part.replace(b"%", b"%%") for part in parts)
        self._order = itemgetter(*(holes[hole] for hole in re.findall(any_hole, encoded)))

    def fill(
        self,
        message: FastPathMessage,
        content_hash: bytes,
        partition: int,
        offset: int,
        instants: Iterable[datetime],
    ) -> tuple[bytes, bytes]:
        """Return the key and the bytes of an event's message."""
        values = message.values
        time = encode_long(to_microseconds(message.time))
        pool = [
            encode_string(message.source),
            encode_string(message.id),
            time,
            content_hash,
            encode_long(partition),
            encode_long(offset),
            encode_string(self._deciding.fill(values).encode()),
        ]
        pool += [encode_string(text.fill(values).encode()) for text in self._texts]
        encoded = {message.time: time}  # systems with one lead time share their instant
        for at in instants:
            if at not in encoded:
                encoded[at] = encode_long(to_microseconds(at))
            pool.append(encoded[at])
        filled: bytes = self._format % self._order(pool)
        return self._key.fill(values).encode(), filled


def _encode_placeholder(stand_in: Any) -> bytes:
    match stand_in:
        case str():
            return encode_string(stand_in.encode())
        case datetime():
            return encode_long(to_microseconds(stand_in))
        case int():
            return encode_long(stand_in)
    return bytes(stand_in)
