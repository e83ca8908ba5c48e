"""Ids derived from what they identify, so that everybody who writes it writes the same."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha1
from typing import NamedTuple
from uuid import UUID

from services.policy.tagging import ClockKey

_EVENT = UUID("5b0f6bb4-6d0d-5a4e-9a57-7b6b0f7a1c01").bytes
_RECORD = UUID("5b0f6bb4-6d0d-5a4e-9a57-7b6b0f7a1c02").bytes
_CLOCK = UUID("5b0f6bb4-6d0d-5a4e-9a57-7b6b0f7a1c03").bytes
_OLD_VERSION = 5
"""The version of identities that count over all topics."""
_REQUEST = UUID("5b0f6bb4-6d0d-5a4e-9a57-7b6b0f7a1c05").bytes
_KEY = UUID("5b0f6bb4-6d0d-5a4e-9a57-7b6b0f7a1c06").bytes


def event_id(type: str, source: str, id: str) -> UUID:
    """The identity of an event: the one type of its topic, and CloudEvents `source` and `id`.

    It counts per topic: who may publish on one takes no identity from another.
    """
    return _uuid8(_EVENT, f"{type}\0{source}\0{id}")


def old_event_id(source: str, id: str) -> UUID:
    """The identity that an event had while it counted over all topics; what has it keeps it."""
    return _fast_uuid5(_EVENT, f"{source}\0{id}")


def is_old_event_id(event: UUID) -> bool:
    """Whether an event's identity is one that counts over all topics."""
    return event.version == _OLD_VERSION


def record_id(event: UUID, source: str, id: str, subject: str) -> UUID:
    """The identity of a record: an event's data on one subject; also of an event with an old identity."""
    if is_old_event_id(event):
        return _fast_uuid5(_RECORD, f"{source}\0{id}\0{subject}")
    return _fast_uuid5(event.bytes, subject)


def request_id(subject: str, request: str) -> UUID:
    """The identity of a request: whose it is, and the name that it was given."""
    return _fast_uuid5(_REQUEST, f"{subject}\0{request}")


def key_id(name: str, value: str) -> UUID:
    """The identity of an identifying key: the field that has it, whatever the event type, and its value."""
    return _fast_uuid5(_KEY, f"{name}\0{value}")


@lru_cache(maxsize=16_384)
def clock_id(clock: ClockKey) -> UUID:
    """The identity of a shared clock: its kind and its key."""
    return _fast_uuid5(_CLOCK, f"{clock.clock}\0{clock.key}")


class ClockRef(NamedTuple):
    """A shared clock with its identity."""

    id: UUID
    clock: ClockKey


@lru_cache(maxsize=16_384)
def clock_ref(clock: str, key: str, parent: str | None, parent_key: str) -> ClockRef:
    """A clock by its kind and key, under its parent's if it has one."""
    parent_key_of_clock = ClockKey(clock=parent, key=parent_key) if parent else None
    key_of_clock = ClockKey(clock=clock, key=key, parent=parent_key_of_clock)
    return ClockRef(clock_id(key_of_clock), key_of_clock)


def _uuid8(namespace: bytes, name: str) -> UUID:
    """Likewise, with the version that is everybody's own: it tells new identities from old."""
    digest = bytearray(sha1(namespace + name.encode(), usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return UUID(bytes=bytes(digest))


def _fast_uuid5(namespace: bytes, name: str) -> UUID:
    """What `uuid.uuid5` gives, in half the time."""
    digest = sha1(namespace + name.encode(), usedforsecurity=False).digest()
    return UUID(bytes=digest[:16], version=5)
