"""Recording: tagged events become facts. What the ledger holds is a function of the SET of events.

Any order, duplication, batching or crash gives the same facts: events are told by their identity, clocks
by their last writer, and everything of a batch commits, or nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select

from services.ledger import acts, backfills, clocks, journal, tables
from services.ledger.keys import clock_id, event_id, record_id
from services.ledger.rows import fetch, insert
from services.policy import steps
from services.policy.model import Policy
from services.policy.tagging import ClockKey, Tagged, Value, tag
from services.policy.windows import EventAlone


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A tagged event as it comes off the bus: deciding fields, and where its original stood."""

    source: str
    id: str
    type: str
    time: datetime
    content_hash: bytes
    deciding: Mapping[str, Value]
    topic: str
    partition: int
    offset: int
    backfill: str | None = None

    @property
    def data(self) -> Mapping[str, Value]:
        """The deciding fields: all that tagging looks at."""
        return self.deciding


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What a batch came to."""

    new: int
    duplicates: int
    conflicts: tuple[Arrival, ...]
    """Events whose identity was seen before with other content: dead letters, not duplicates."""
    after_end: int
    """Records dated after the end of what they hang on."""
    overdue: int
    """Records that were due before they arrived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    record_id: UUID
    arrival: Arrival
    tagged: Tagged
    subject: str
    hangs_on: tuple[ClockKey, ...]
    wakes: tuple[datetime, ...]
    """The instants, fixed by the event itself, at which it can become due."""


def record(
    connection: Connection, arrivals: Sequence[Arrival], policy: Policy, now: datetime
) -> Recorded:
    """Record a batch of tagged events inside the caller's transaction.

    Raises:
        Untaggable: the deciding fields do not fit the policy; the caller parks that event first.
    """
    fresh, duplicates, conflicts = _sift(connection, arrivals)
    held = backfills.held(connection, {one.backfill for one in fresh.values() if one.backfill}, now)
    fresh = {
        identity: one if one.backfill in held else replace(one, backfill=None)
        for identity, one in fresh.items()
    }
    tagged = {identity: tag(arrival, policy) for identity, arrival in fresh.items()}
    _insert_events(connection, fresh)
    records = [
        _Record(
            record_id=record_id(arrival.source, arrival.id, subject),
            arrival=arrival,
            tagged=tagged[identity],
            subject=subject,
            hangs_on=steps.clocks(tagged[identity], subject, policy),
            wakes=steps.own_wakes(tagged[identity], subject, policy),
        )
        for identity, arrival in fresh.items()
        for subject in tagged[identity].subjects
    ]
    moved = clocks.merge(connection, _moves(fresh, tagged), _opened(records), policy)
    journal.make_stale(connection, moved.reanchored, policy, now)
    acts.note(connection, _said(fresh, tagged), _mentioned(tagged.values()), now)
    spoken_of = acts.spoken_of(connection, {one.subject for one in records})
    looked_at = {
        identity for identity, one in tagged.items() if not spoken_of.isdisjoint(one.subjects)
    }
    rows = [_row(one, moved.clocks, looked_at, now) for one in records]
    insert(connection, tables.record, sorted(rows, key=lambda row: row["record_id"]))
    hanging = [
        {"clock_id": clock_id(key), "record_id": one.record_id}
        for one in records
        for key in one.hangs_on
    ]
    insert(
        connection,
        tables.hanging,
        sorted(hanging, key=lambda row: (row["clock_id"], row["record_id"])),
    )
    return Recorded(
        new=len(fresh),
        duplicates=duplicates,
        conflicts=tuple(conflicts),
        after_end=sum(_is_after_end(one, moved.clocks) for one in records),
        overdue=sum(_is_overdue(one, moved.clocks, policy, now) for one in records),
    )


def deciding_json(deciding: Mapping[str, Value]) -> str:
    """The deciding fields as canonical JSON."""
    return json.dumps(deciding, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def from_deciding_json(text: str) -> dict[str, Value]:
    """The deciding fields from their JSON."""
    fields = json.loads(text)
    return {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}


def _sift(
    connection: Connection, arrivals: Sequence[Arrival]
) -> tuple[dict[UUID, Arrival], int, list[Arrival]]:
    """Tell new events from duplicates and from conflicts."""
    first: dict[UUID, Arrival] = {}
    identities = [event_id(arrival.source, arrival.id) for arrival in arrivals]
    for identity, arrival in zip(identities, arrivals, strict=True):
        first.setdefault(identity, arrival)
    query = select(tables.event.c.event_id, tables.event.c.content_hash)
    known = {
        row.event_id: bytes(row.content_hash)
        for row in fetch(connection, query, tables.event.c.event_id, first)
    }
    fresh = {identity: arrival for identity, arrival in first.items() if identity not in known}
    hashes = known | {identity: arrival.content_hash for identity, arrival in fresh.items()}
    conflicts = [
        arrival
        for identity, arrival in zip(identities, arrivals, strict=True)
        if arrival.content_hash != hashes[identity]
    ]
    return fresh, len(arrivals) - len(fresh) - len(conflicts), conflicts


def _insert_events(connection: Connection, fresh: Mapping[UUID, Arrival]) -> None:
    rows = [
        {
            "event_id": identity,
            "source": arrival.source,
            "id": arrival.id,
            "type": arrival.type,
            "time": arrival.time,
            "content_hash": arrival.content_hash,
            "deciding": deciding_json(arrival.deciding),
            "topic": arrival.topic,
            "partition": arrival.partition,
            "offset": arrival.offset,
        }
        for identity, arrival in sorted(fresh.items())
    ]
    insert(connection, tables.event, rows)


def _moves(fresh: Mapping[UUID, Arrival], tagged: Mapping[UUID, Tagged]) -> list[clocks.Move]:
    return [
        clocks.Move(
            move=move,
            time=arrival.time,
            source=arrival.source,
            id=arrival.id,
            backfill=arrival.backfill,
        )
        for identity, arrival in fresh.items()
        for move in tagged[identity].moves
    ]


def _opened(records: Sequence[_Record]) -> dict[ClockKey, datetime]:
    """When each clock's earliest record of the batch is from."""
    opened: dict[ClockKey, datetime] = {}
    for one in records:
        for key in one.hangs_on:
            opened[key] = min(one.tagged.time, opened.get(key, one.tagged.time))
    return opened


def _said(fresh: Mapping[UUID, Arrival], tagged: Mapping[UUID, Tagged]) -> list[acts.Said]:
    return [
        acts.Said(event_id=identity, act=act, backfill=arrival.backfill)
        for identity, arrival in fresh.items()
        if (act := tagged[identity].act)
    ]


def _mentioned(tagged: Iterable[Tagged]) -> set[str]:
    """Whose data events hold that are not about them: their acts come by another partition."""
    return {subject for one in tagged for subject in one.subjects if subject != one.subject}


def _row(
    one: _Record,
    known: Mapping[UUID, clocks.Clock],
    looked_at: Set[UUID],
    now: datetime,
) -> dict[str, Any]:
    """A record's row. It is due by itself where the look that it waits for may have passed it."""
    wakes = list(one.wakes)
    if event_id(one.arrival.source, one.arrival.id) in looked_at:
        wakes.append(now)
    wakes += [
        clock.fired_to
        for key in one.hangs_on
        if (clock := known[clock_id(key)]) and clock.fired_to is not None
    ]
    return {
        "record_id": one.record_id,
        "event_id": event_id(one.arrival.source, one.arrival.id),
        "subject": one.subject,
        "next_due": min(wakes, default=None),
        "backfill": one.arrival.backfill,
    }


def _is_overdue(
    one: _Record, known: Mapping[UUID, clocks.Clock], policy: Policy, now: datetime
) -> bool:
    ended = any(known[clock_id(key)].anchor for key in one.hangs_on)
    if not ended and not any(at < now for at in one.wakes):
        return False
    facts = _Clocks(known)
    return any(step.due < now for step in steps.steps(one.tagged, one.subject, facts, policy))


class _Clocks(EventAlone):
    """What a batch knows of clocks; what was said of subjects is the deleter's to read."""

    def __init__(self, known: Mapping[UUID, clocks.Clock]) -> None:
        self._known = known

    def anchor(self, clock: ClockKey) -> datetime | None:
        return self._known[clock_id(clock)].anchor


def _is_after_end(one: _Record, known: Mapping[UUID, clocks.Clock]) -> bool:
    ends = [known[clock_id(key)].anchor_at for key in one.hangs_on]
    return any(end is not None and one.tagged.time > end for end in ends)
