"""Blindness: what is not erased while a parked event could forbid it.

Whoever parks an event notes in the same transaction what can be seen of it; replaying or discarding it
ends that. What it could forbid follows from the active policy, when the deleter asks: of its subject and
its clocks only keyed hashes are kept (`crypto.tombstones`), and what cannot be seen counts as all of its
kind.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Column, Connection, Row, func, or_, select, update

from services.crypto.tombstones import TombstoneCipher
from services.ledger import tables
from services.policy.model import Policy
from services.policy.sources import FORBIDDING
from services.policy.tagging import ClockKey
from services.policy.untaggable_events import Glimpse, forbids
from services.storage.bulk import insert_or_ignore, select_in, update_in

Reach = Literal["everything", "clocks", "narrow"]
"""All there is, all that hangs on some kind of clock, or only what one subject or clock has."""
AGAIN: Final = timedelta(minutes=1)
"""How soon what was withheld is looked at again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """A parked event: which dead letter it is, where it stood on its own topic, what can be seen of it."""

    dead_letter_id: UUID
    topic: str
    partition: int
    offset: int
    glimpse: Glimpse


@dataclass(frozen=True, slots=True, kw_only=True)
class Blindness:
    """What must not be erased. It is false where nothing is in the way."""

    remains: TombstoneCipher | None = None
    everything: bool = False
    subjects: frozenset[bytes] = frozenset()
    """References of data subjects."""
    clocks: frozenset[bytes] = frozenset()
    """References of shared clocks."""
    kinds: frozenset[str] = frozenset()
    """Kinds of shared clocks, whichever it is."""

    def __bool__(self) -> bool:
        return bool(self.everything or self.subjects or self.clocks or self.kinds)

    def with_also(self, other: Blindness) -> Blindness:
        """What either says."""
        return replace(
            self,
            remains=self.remains or other.remains,
            everything=self.everything or other.everything,
            subjects=self.subjects | other.subjects,
            clocks=self.clocks | other.clocks,
            kinds=self.kinds | other.kinds,
        )

    def covers(self, subjects: Collection[str], clocks: Iterable[ClockKey]) -> bool:
        """Whether it is about one of these subjects, or what hangs on these clocks."""
        if self.everything:
            return True
        hung = {above for one in clocks for above in (one, one.parent) if above}
        if any(one.clock in self.kinds for one in hung):
            return True
        if self.remains is None:
            return False
        of = self.remains.reference
        return any(of("subject", one) in self.subjects for one in subjects) or any(
            of("clock", _name(one)) in self.clocks for one in hung
        )


CLEAR: Final = Blindness()
"""Nothing is parked that could forbid anything."""


def note(connection: Connection, parked: Sequence[Parked], remains: TombstoneCipher | None) -> None:
    """Note what was parked just now; a letter that was settled before stays so.

    Without the key of `remains` only the type is kept, and all that it could forbid waits.
    """
    by_letter = {one.dead_letter_id: one for one in parked}
    column = tables.dead_letter.c
    query = select(column.dead_letter_id).where(column.state == "parked")
    waiting = {row[0] for row in select_in(connection, query, column.dead_letter_id, by_letter)}
    rows = [_row(one, remains) for key, one in sorted(by_letter.items()) if key in waiting]
    insert_or_ignore(connection, tables.parked_event, rows)


def read(connection: Connection, policy: Policy, remains: TombstoneCipher | None) -> Blindness:
    """What is parked by now, and could forbid an erasure under the policy."""
    found = Blindness(remains=remains)
    for row in _forbidding(connection, policy):
        found = found.with_also(_blindness(row, policy, remains))
    under = {name for name, clock in policy.clocks.items() if clock.parent in found.kinds}
    return replace(found, kinds=found.kinds | under)


def reach(connection: Connection, policy: Policy) -> Mapping[str, int]:
    """How many parked events stand in the way, by how much they keep back."""
    found: Counter[str] = Counter()
    for row in _forbidding(connection, policy):
        found[_reach(row, policy)] += row.letters
    return found


def reach_of_each(connection: Connection, policy: Policy) -> Mapping[UUID, Reach]:
    """Which dead letters stand in the way, and by how much they keep back."""
    column = tables.parked_event.c
    rows = _forbidding(connection, policy, column.dead_letter_id)
    return {row.dead_letter_id: _reach(row, policy) for row in rows}


def look_again(connection: Connection, records: Collection[UUID], now: datetime) -> None:
    """Make records of which something was withheld due again soon, or sooner if they already are."""
    column, at = tables.record.c, now + AGAIN
    later = or_(column.next_due.is_(None), column.next_due > at)
    update_in(
        connection,
        update(tables.record).where(later).values(next_due=at),
        column.record_id,
        records,
    )


def parked_on(connection: Connection, topics: Collection[str]) -> Iterator[tuple[str, int, int]]:
    """Where the events of these topics stand that are parked: topic, partition and offset."""
    column = tables.parked_event.c
    query = select(column.topic, column.partition, column.offset)
    for row in select_in(connection, query, column.topic, topics):
        yield row.topic, row.partition, row.offset


def _row(one: Parked, remains: TombstoneCipher | None) -> dict[str, Any]:
    seen = one.glimpse
    clocks = {
        kind: [remains.reference("clock", _name(key)).hex() for key in keys]
        for kind, keys in seen.clocks.items()
        if remains
    }
    return {
        "dead_letter_id": one.dead_letter_id,
        "event_type": seen.event_type,
        "topic": one.topic,
        "partition": one.partition,
        "offset": one.offset,
        "key_id": remains.key_id if remains else None,
        "subject": remains.reference("subject", seen.subject) if remains and seen.subject else None,
        "clocks": json.dumps(clocks, sort_keys=True),
    }


def _reach(row: Row[Any], policy: Policy) -> Reach:
    one = _blindness(row, policy, None, trusted=True)
    return "everything" if one.everything else "clocks" if one.kinds else "narrow"


def _forbidding(connection: Connection, policy: Policy, *apart: Column[Any]) -> list[Row[Any]]:
    """Those of a type that could forbid an erasure, or of none that is known; like ones are one row."""
    column = tables.parked_event.c
    types = [name for name, event in policy.events.items() if forbids(event)]
    if not types:
        return []
    alike = (column.event_type, column.key_id, column.subject, column.clocks, *apart)
    query = select(*alike, func.count().label("letters")).group_by(*alike)
    of_these = or_(column.event_type.is_(None), column.event_type.in_(types))
    return list(connection.execute(query.where(of_these)))


def _blindness(
    row: Row[Any], policy: Policy, remains: TombstoneCipher | None, *, trusted: bool = False
) -> Blindness:
    """What one keeps back; references of another key than the one at hand can be compared with nothing."""
    if row.event_type is None:
        return Blindness(everything=True)
    event = policy.events[row.event_type]
    readable = trusted or (remains is not None and row.key_id == remains.key_id)
    subject = bytes(row.subject) if readable and row.subject is not None else None
    clocks = json.loads(row.clocks) if readable else {}
    kinds = {move.clock for move in event.moves}
    return Blindness(
        everything=event.act in FORBIDDING and subject is None,
        subjects=frozenset([subject] if event.act in FORBIDDING and subject else []),
        clocks=frozenset(bytes.fromhex(one) for kind in kinds for one in clocks.get(kind, ())),
        kinds=frozenset(kinds - clocks.keys()),
    )


def _name(clock: ClockKey) -> str:
    return f"{clock.clock}\0{clock.key}"
