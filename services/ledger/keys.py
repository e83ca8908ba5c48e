"""Ids derived from what they identify, so that everybody who writes it writes the same."""

from __future__ import annotations

from functools import lru_cache
from uuid import UUID, uuid5

from services.policy.tagging import ClockKey

_EVENT = UUID("5b0f6bb4-6d0d-5a4e-9a57-7b6b0f7a1c01")
_RECORD = UUID("5b0f6bb4-6d0d-5a4e-9a57-7b6b0f7a1c02")
_CLOCK = UUID("5b0f6bb4-6d0d-5a4e-9a57-7b6b0f7a1c03")


def event_id(source: str, id: str) -> UUID:
    """The identity of an event: CloudEvents `source` and `id`."""
    return uuid5(_EVENT, f"{source}\0{id}")


def record_id(source: str, id: str, subject: str) -> UUID:
    """The identity of a record: an event's data on one subject."""
    return uuid5(_RECORD, f"{source}\0{id}\0{subject}")


@lru_cache(maxsize=16_384)
def clock_id(clock: ClockKey) -> UUID:
    """The identity of a shared clock: its kind and its key."""
    return uuid5(_CLOCK, f"{clock.clock}\0{clock.key}")
