"""Templates of tagged events: what all events of one shape have in common is tagged and encoded once.

A shape is an event type with all that decides which holdings its events make. Identifiers, times and
offsets are filled in. The slow path makes a template from an event with placeholders, so that templates
need no knowledge of schemas and rules. Events without a shape always take the slow path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from os import urandom
from typing import Any, NamedTuple
from uuid import uuid4

from schemas.instants import to_microseconds
from services.policy.event_type import EventType
from services.policy.model import Policy

# Texts that are the same in a message's key and in JSON, and in a clock's key, which is quoted, as well.
_is_plain_string = re.compile(r"[ !#-\[\]-~]{1,512}").fullmatch
_is_unquoted_string = re.compile(r"[A-Za-z0-9_.~-]{1,512}").fullmatch
_MAX_IDENTIFIERS = 32

# Placeholders for the values of an event while its template is made; no real value is equal to one.
PLACEHOLDERS = tuple(uuid4().hex for _ in range(_MAX_IDENTIFIERS))
_FIRST = datetime(2100, 1, 1, tzinfo=UTC)
INSTANTS = tuple(
    _FIRST + timedelta(days=40 * n, microseconds=7919 * n) for n in range(_MAX_IDENTIFIERS)
)
SOURCE, ID, DECIDING = (uuid4().hex for _ in range(3))
TIME = datetime(2099, 1, 1, tzinfo=UTC)
HASH = urandom(32)
PARTITION = 1_987_654_321
OFFSET = 4_815_162_342_108_000

Shape = tuple[object, ...]
_DECIDING_KINDS = (str, bool, tuple)
TextCheck = Callable[[str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shapes:
    """The shapes of one event type's events."""

    switches: tuple[str, ...]
    """Fields whose values decide which holdings there are."""
    names: tuple[tuple[str, TextCheck], ...]
    """Fields with an identifier, each with the check of whether it may take the fast path."""
    lists: tuple[str, ...]
    """Fields with a list of identifiers."""
    subjects: tuple[str, ...]
    """Fields with a subject in full, as kind:id."""
    kinds: frozenset[str]
    """The kinds of subjects."""

    @classmethod
    def from_policy(cls, kind: EventType, policy: Policy) -> Shapes:
        """Return the shapes of an event type of the policy."""
        deciding = {
            name
            for holding in kind.holdings
            for name in (*holding.when, *holding.systems_when, holding.systems_from)
        }
        if kind.act:
            deciding.add("purpose")  # which must be one of the policy's
        subject_fields = (*kind.subject, *(part.subject for part in kind.holdings if part.subject))
        subjects = tuple({part.field for part in subject_fields if part.kind is None})
        identifiers = {
            name: spec.type
            for name, spec in kind.fields.items()
            if name not in deciding and not spec.one_of and spec.default is None
        }
        keys = {name for clock in policy.clocks.values() for name in clock.key}
        keys |= {name for part in kind.holdings for name in part.key.values()}
        keys |= {name for part in kind.moves for name in part.key.values()}
        names = tuple(
            (name, _is_unquoted_string if name in keys else _is_plain_string)
            for name, type_ in identifiers.items()
            if type_ == "string" and name not in subjects
        )
        lists = tuple(name for name, type_ in identifiers.items() if type_ == "strings")
        open_ = {*(name for name, _ in names), *lists, *subjects}
        return cls(
            switches=tuple(name for name in kind.fields if name not in open_),
            names=names,
            lists=lists,
            subjects=subjects,
            kinds=frozenset(policy.subjects),
        )

    def find(self, data: Mapping[str, Any]) -> tuple[Shape, Sequence[str]] | None:
        """Return an event's shape and identifiers; None where it must take the slow path."""
        shape: list[object] = []
        values: list[str] = []
        for name, is_plain in self.names:
            value = data.get(name)
            if value is None or value == "":
                shape.append(False)
            elif value.__class__ is str and is_plain(value):
                shape.append(True)
                values.append(value)
            else:
                return None
        rare = self.subjects or self.lists or self.switches
        if rare and not self._find_slow(data, shape, values):
            return None
        if len(values) > 1 and len(set(values)) < len(values):
            return None  # one subject may be named twice, and then it is one record
        return (tuple(shape), values) if len(values) <= _MAX_IDENTIFIERS else None

    def _find_slow(self, data: Mapping[str, Any], shape: list[object], values: list[str]) -> bool:
        for name in self.subjects:
            kind, _, identifier = str(data.get(name)).partition(":")
            if kind not in self.kinds or not _is_plain_string(identifier):
                return False
            shape.append(kind)
            values.append(identifier)
        for name in self.lists:
            value = data.get(name)
            if not _is_plain_list(value, _is_unquoted_string):
                return False
            shape.append(None if value is None else len(value))
            values += value or ()
        for name in self.switches:
            value = data.get(name)
            if value.__class__ is list and _is_plain_list(value, _is_plain_string):
                value = tuple(value)
            if value is not None and value.__class__ not in _DECIDING_KINDS:
                return False
            shape.append(value)
        return True

    def with_placeholders(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the data with a placeholder for each identifier, in the order of `find`."""
        unused = iter(PLACEHOLDERS)
        replaced = dict(data)
        for name, _ in self.names:
            if data.get(name):
                replaced[name] = next(unused)
        for name in self.subjects:
            replaced[name] = f"{data[name].partition(':')[0]}:{next(unused)}"
        for name in self.lists:
            if data.get(name) is not None:
                replaced[name] = [next(unused) for _ in data[name]]
        return replaced


def _is_plain_list(value: Any, is_plain: TextCheck) -> bool:
    """Whether a value is None or a list of strings that pass the check."""
    return value is None or (
        value.__class__ is list and all(item.__class__ is str and is_plain(item) for item in value)
    )


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


class TextTemplate:
    """A text with gaps for identifiers."""

    __slots__ = ("_format", "_pick")

    def __init__(self, text: str) -> None:
        """Make the template of a text with placeholders."""
        parts = re.split("|".join(PLACEHOLDERS), text)
        indices = [
            PLACEHOLDERS.index(placeholder)
            for placeholder in re.findall("|".join(PLACEHOLDERS), text)
        ]
        self._format = "%s".join(part.replace("%", "%%") for part in parts)
        self._pick: Callable[[Sequence[str]], Any] = itemgetter(*indices) if indices else tuple

    def fill_bytes(self, values: Sequence[str]) -> bytes:
        """Return the text with these identifiers, in UTF-8."""
        return self.fill_text(values).encode()

    def fill_text(self, values: Sequence[str]) -> str:
        """Return the text with these identifiers."""
        text: str = self._format % self._pick(values)
        return text


class FastPathMessage(NamedTuple):
    """A message whose headers and identifiers need no check by the slow path."""

    source: bytes
    id: bytes
    time_text: str
    """Its time, in the form of its header and its content hash."""
    time: datetime
    key: object
    """Its shape, import, end of book year where that matters, group of old events, and retirements."""
    values: Sequence[str]


class TaggedEventTemplate:
    """The tagged events of one shape: their bytes, with gaps."""

    __slots__ = ("_deciding", "_format", "_key", "_order", "_texts")

    def __init__(self, encoded: bytes, key: str, deciding: str, texts: Sequence[str]) -> None:
        """Make the template from bytes, key, decision fields and texts with placeholders."""
        self._key = TextTemplate(key)
        self._deciding = TextTemplate(deciding)
        self._texts = [TextTemplate(text) for text in texts]
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
            encode_string(self._deciding.fill_bytes(values)),
        ]
        pool += [encode_string(text.fill_bytes(values)) for text in self._texts]
        encoded = {message.time: time}  # systems with one lead time share their instant
        for at in instants:
            if at not in encoded:
                encoded[at] = encode_long(to_microseconds(at))
            pool.append(encoded[at])
        filled: bytes = self._format % self._order(pool)
        return self._key.fill_bytes(values), filled


def _encode_placeholder(stand_in: Any) -> bytes:
    match stand_in:
        case str():
            return encode_string(stand_in.encode())
        case datetime():
            return encode_long(to_microseconds(stand_in))
        case int():
            return encode_long(stand_in)
    return bytes(stand_in)
