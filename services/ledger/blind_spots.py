"""Blind spots: data that is not erased while an event that could not be processed might forbid it.

The transaction that parks an event also stores what can be read of the event; that no longer counts once
the event is replayed or discarded. What the event could forbid is computed from the active policy in each
run of the deleter. Of the event's subject and clocks only keyed hashes are stored (`crypto.tombstones`). If
a subject or a clock cannot be read, the event counts for every subject, or for every clock of that kind.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Column, Connection, Row, func, or_, select, update

from services.crypto.tombstones import TombstoneCipher
from services.ledger import tables
from services.policy.model import Policy
from services.policy.sources import HOLD_EVENTS
from services.policy.tagged_event import ClockKey
from services.policy.untaggable_events import VisibleParts, can_forbid_erasure
from services.storage.bulk import insert_or_ignore, select_in, update_in

Reach = Literal["everything", "clocks", "narrow"]
"""How much a parked event holds back: everything, a kind of clock, or one subject or clock."""
RESCAN_DELAY: Final = timedelta(minutes=1)
"""How soon records that were withheld are checked again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedEvent:
    """A parked event: the id of its dead letter, its place on its own topic, and what can be read of it."""

    dead_letter_id: UUID
    topic: str
    partition: int
    offset: int
    visible_parts: VisibleParts


@dataclass(frozen=True, slots=True, kw_only=True)
class BlindSpots:
    """The data that must not be erased because of parked events; false if there is none."""

    tombstone_cipher: TombstoneCipher | None = None
    everything: bool = False
    subjects: frozenset[bytes] = frozenset()
    """References of data subjects."""
    clocks: frozenset[bytes] = frozenset()
    """References of shared clocks."""
    clock_kinds: frozenset[str] = frozenset()
    """Kinds of shared clocks, of which every clock counts."""

    def __bool__(self) -> bool:
        return bool(self.everything or self.subjects or self.clocks or self.clock_kinds)

    def combined_with(self, other: BlindSpots) -> BlindSpots:
        """Return the blind spots of both."""
        return replace(
            self,
            tombstone_cipher=self.tombstone_cipher or other.tombstone_cipher,
            everything=self.everything or other.everything,
            subjects=self.subjects | other.subjects,
            clocks=self.clocks | other.clocks,
            clock_kinds=self.clock_kinds | other.clock_kinds,
        )

    def covers(self, subjects: Collection[str], clocks: Collection[ClockKey]) -> bool:
        """Return whether one of these subjects, or data that depends on one of these clocks, is covered."""
        if self.everything:
            return True
        all_clocks = {*clocks, *(clock.parent for clock in clocks if clock.parent)}
        if any(clock.clock in self.clock_kinds for clock in all_clocks):
            return True
        if self.tombstone_cipher is None:
            return False
        lookup_key = self.tombstone_cipher.lookup_key
        return any(lookup_key("subject", subject) in self.subjects for subject in subjects) or any(
            lookup_key("clock", _clock_name(clock)) in self.clocks for clock in all_clocks
        )


NO_BLIND_SPOTS: Final = BlindSpots()
"""No parked event could forbid anything."""


def store_parked_events(
    connection: Connection, events: Sequence[ParkedEvent], tombstone_cipher: TombstoneCipher | None
) -> None:
    """Store the events that were parked just now; a dead letter that was settled before stays settled.

    Without the key of the tombstones only the event's type is stored, and everything it could forbid waits.
    """
    by_dead_letter = {event.dead_letter_id: event for event in events}
    column = tables.dead_letter.c
    query = select(column.dead_letter_id).where(column.state == "parked")
    still_parked = {
        row[0] for row in select_in(connection, query, column.dead_letter_id, by_dead_letter)
    }
    rows = [
        _event_to_row(event, tombstone_cipher)
        for key, event in sorted(by_dead_letter.items())
        if key in still_parked
    ]
    insert_or_ignore(connection, tables.parked_event, rows)


def load_blind_spots(
    connection: Connection, policy: Policy, tombstone_cipher: TombstoneCipher | None
) -> BlindSpots:
    """Return the blind spots of all parked events that could forbid an erasure under the policy."""
    spots = BlindSpots(tombstone_cipher=tombstone_cipher)
    for row in _forbidding_rows(connection, policy):
        spots = spots.combined_with(_row_blind_spots(row, policy, tombstone_cipher))
    child_kinds = {
        name for name, clock in policy.clocks.items() if clock.parent in spots.clock_kinds
    }
    return replace(spots, clock_kinds=spots.clock_kinds | child_kinds)


def count_by_reach(connection: Connection, policy: Policy) -> Mapping[str, int]:
    """Count the parked events that hold back erasures, by how much each holds back."""
    counts: Counter[str] = Counter()
    for row in _forbidding_rows(connection, policy):
        counts[_row_reach(row, policy)] += row.letters
    return counts


def reach_by_dead_letter(connection: Connection, policy: Policy) -> Mapping[UUID, Reach]:
    """Return which erasures each parked event holds back, by its dead letter."""
    column = tables.parked_event.c
    rows = _forbidding_rows(connection, policy, column.dead_letter_id)
    return {row.dead_letter_id: _row_reach(row, policy) for row in rows}


def schedule_record_check(connection: Connection, records: Collection[UUID], now: datetime) -> None:
    """Make records with a withheld command due again soon; records that are due sooner stay so."""
    column, check_at = tables.record.c, now + RESCAN_DELAY
    is_later = or_(column.next_due.is_(None), column.next_due > check_at)
    update_in(
        connection,
        update(tables.record).where(is_later).values(next_due=check_at),
        column.record_id,
        records,
    )


def parked_offsets(
    connection: Connection, topics: Collection[str]
) -> Iterator[tuple[str, int, int]]:
    """Return the places of the parked events of these topics: topic, partition and offset."""
    column = tables.parked_event.c
    query = select(column.topic, column.partition, column.offset)
    for row in select_in(connection, query, column.topic, topics):
        yield row.topic, row.partition, row.offset


def _event_to_row(event: ParkedEvent, tombstone_cipher: TombstoneCipher | None) -> dict[str, Any]:
    visible_parts = event.visible_parts
    clocks = {
        kind: [tombstone_cipher.lookup_key("clock", _clock_name(key)).hex() for key in keys]
        for kind, keys in visible_parts.clocks.items()
        if tombstone_cipher
    }
    return {
        "dead_letter_id": event.dead_letter_id,
        "event_type": visible_parts.event_type,
        "topic": event.topic,
        "partition": event.partition,
        "offset": event.offset,
        "key_id": tombstone_cipher.key_id if tombstone_cipher else None,
        "subject": tombstone_cipher.lookup_key("subject", visible_parts.subject)
        if tombstone_cipher and visible_parts.subject
        else None,
        "clocks": json.dumps(clocks, sort_keys=True),
    }


def _row_reach(row: Row[Any], policy: Policy) -> Reach:
    spots = _row_blind_spots(row, policy, None, trusted=True)
    return "everything" if spots.everything else "clocks" if spots.clock_kinds else "narrow"


def _forbidding_rows(
    connection: Connection, policy: Policy, *extra_columns: Column[Any]
) -> list[Row[Any]]:
    """Return parked events whose type could forbid an erasure, or is unknown; equal events share a row."""
    column = tables.parked_event.c
    types = [name for name, event in policy.events.items() if can_forbid_erasure(event)]
    if not types:
        return []
    grouped = (column.event_type, column.key_id, column.subject, column.clocks, *extra_columns)
    query = select(*grouped, func.count().label("letters")).group_by(*grouped)
    is_forbidding = or_(column.event_type.is_(None), column.event_type.in_(types))
    return list(connection.execute(query.where(is_forbidding)))


def _row_blind_spots(
    row: Row[Any],
    policy: Policy,
    tombstone_cipher: TombstoneCipher | None,
    *,
    trusted: bool = False,
) -> BlindSpots:
    """Return what a parked event holds back; keyed hashes made with another key cannot be compared."""
    if row.event_type is None:
        return BlindSpots(everything=True)
    event = policy.events[row.event_type]
    readable = trusted or (tombstone_cipher is not None and row.key_id == tombstone_cipher.key_id)
    subject = bytes(row.subject) if readable and row.subject is not None else None
    clocks = json.loads(row.clocks) if readable else {}
    kinds = {move.clock for move in event.moves}
    return BlindSpots(
        everything=event.act in HOLD_EVENTS and subject is None,
        subjects=frozenset([subject] if event.act in HOLD_EVENTS and subject else []),
        clocks=frozenset(
            bytes.fromhex(reference) for kind in kinds for reference in clocks.get(kind, ())
        ),
        clock_kinds=frozenset(kinds - clocks.keys()),
    )


def _clock_name(clock: ClockKey) -> str:
    return f"{clock.clock}\0{clock.key}"
