"""Shared clocks as facts: how moves merge, and what follows when an anchor changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, bindparam, select, update

from services.ledger import tables
from services.ledger.keys import clock_id
from services.ledger.rows import fetch, insert_missing
from services.policy.model import Policy
from services.policy.tagging import ClockKey, ClockMove
from services.policy.windows import wakes


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A clock move with the event that made it."""

    move: ClockMove
    time: datetime
    source: str
    id: str
    backfill: str | None

    @property
    def rank(self) -> tuple[datetime, str, str]:
        """What decides which of two moves is the last: event time, source, id."""
        return (self.time, self.source, self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """One clock row (`tables.clock`). Its epoch counts the anchors that it has had."""

    clock_id: UUID
    clock: str
    key: str
    parent_id: UUID | None
    opened_at: datetime | None = None
    ended: bool = False
    moved_at: datetime | None = None
    moved_source: str = ""
    moved_id: str = ""
    moved_backfill: str | None = None
    anchor_at: datetime | None = None
    epoch: int = 0
    next_due: datetime | None = None
    fired_to: datetime | None = None
    cursor: UUID | None = None
    backfill: str | None = None

    @property
    def anchor(self) -> datetime | None:
        """Where it stands for the deleter: one that an unreleased import decides counts as open."""
        return None if self.backfill else self.anchor_at

    def opened(self, at: datetime) -> Clock:
        """The clock with a record of that time under it."""
        return self if self.opened_at and self.opened_at <= at else replace(self, opened_at=at)

    def moved(self, move: Move) -> Clock:
        """The clock after a move: the last writer's, in whatever order the moves arrive."""
        if self.moved_at and move.rank < (self.moved_at, self.moved_source, self.moved_id):
            return self
        return replace(
            self,
            ended=move.move.move == "end",
            moved_at=move.time,
            moved_source=move.source,
            moved_id=move.id,
            moved_backfill=move.backfill,
        )

    def anchored(self, parent: Clock | None, policy: Policy) -> Clock:
        """The clock with its effective anchor: the earlier end of its own and its parent's.

        A changed anchor is a new epoch, whose walk over the records has yet to begin.
        """
        ends = [
            (one.moved_at, one.moved_backfill)
            for one in (self, parent)
            if one and one.ended and one.moved_at
        ]
        anchor_at, backfill = min(ends, key=lambda end: end[0], default=(None, None))
        if anchor_at == self.anchor_at:
            return replace(self, backfill=backfill)
        changed = replace(self, anchor_at=anchor_at, epoch=self.epoch + 1, backfill=backfill)
        return changed.rewound(policy)

    def rewound(self, policy: Policy) -> Clock:
        """The clock with the walk over its records yet to begin."""
        due = wakes(self.clock, self.anchor_at, policy) if self.anchor_at else ()
        return replace(self, next_due=min(due, default=None), fired_to=None, cursor=None)

    def walked(self, now: datetime, cursor: UUID | None, policy: Policy) -> Clock:
        """The clock after one chunk of the walk that is due; without a cursor the walk is over."""
        due = wakes(self.clock, self.anchor_at, policy) if self.anchor_at else ()
        fired_to = self.fired_to if self.cursor else max(at for at in due if at <= now)
        if cursor is not None:
            return replace(self, fired_to=fired_to, cursor=cursor)
        later = [at for at in due if fired_to is None or at > fired_to]
        return replace(self, fired_to=fired_to, cursor=None, next_due=min(later, default=None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What became of the clocks that a batch touched."""

    clocks: Mapping[UUID, Clock]
    reanchored: tuple[UUID, ...]
    """Those that had an anchor and have another now, or none: what was commanded under it is stale."""


def merge(
    connection: Connection,
    moves: Iterable[Move],
    opened: Mapping[ClockKey, datetime],
    policy: Policy,
) -> Moved:
    """Merge moves and newly hanging records into the clocks; their rows stay locked.

    Rows are locked parents first, each level sorted by id, so that no two batches wait for each other.
    """
    moves = list(moves)
    keys = {*opened, *(move.move.clock for move in moves)}
    parents = {key.parent for key in keys if key.parent}
    _ensure(connection, keys | parents)
    locked_parents = _lock_ids(
        connection, {clock_id(key) for key in parents | keys if not key.parent}
    )
    before = {one.clock_id: one for one in locked_parents}
    moved_parents = {
        clock_id(move.move.clock) for move in moves if clock_id(move.move.clock) in before
    }
    wanted = {clock_id(key) for key in keys if key.parent}
    wanted |= _children(connection, moved_parents)
    before |= {one.clock_id: one for one in _lock_ids(connection, wanted)}
    after = dict(before)
    for move in moves:
        identity = clock_id(move.move.clock)
        after[identity] = after[identity].moved(move)
    for key, at in opened.items():
        identity = clock_id(key)
        after[identity] = after[identity].opened(at)
    for identity, clock in list(after.items()):
        parent = after[clock.parent_id] if clock.parent_id else None
        after[identity] = clock.anchored(parent, policy)
    save(connection, [clock for identity, clock in after.items() if clock != before[identity]])
    return Moved(
        clocks=after,
        reanchored=tuple(
            identity
            for identity, clock in sorted(after.items())
            if before[identity].anchor_at not in (None, clock.anchor_at)
        ),
    )


def read(connection: Connection, ids: Collection[UUID]) -> dict[UUID, Clock]:
    """The clocks, locked against moves until the transaction ends."""
    query = select(tables.clock).order_by(tables.clock.c.clock_id).with_for_update(read=True)
    return {
        row.clock_id: clock(row) for row in fetch(connection, query, tables.clock.c.clock_id, ids)
    }


def save(connection: Connection, clocks: Collection[Clock]) -> None:
    """Write changed clocks back."""
    if not clocks:
        return
    rows = [{f"new_{name}": value for name, value in asdict(one).items()} for one in clocks]
    names = [column.name for column in tables.clock.c if column.name != "clock_id"]
    statement = (
        update(tables.clock)
        .where(tables.clock.c.clock_id == bindparam("new_clock_id"))
        .values({name: bindparam(f"new_{name}") for name in names})
    )
    connection.execute(statement, sorted(rows, key=lambda row: row["new_clock_id"]))


def clock(row: Row[Any]) -> Clock:
    """The value of a clock row."""
    return Clock(**row._mapping)


def _ensure(connection: Connection, keys: Collection[ClockKey]) -> None:
    fresh = (
        Clock(
            clock_id=clock_id(key),
            clock=key.clock,
            key=key.key,
            parent_id=clock_id(key.parent) if key.parent else None,
        )
        for key in keys
    )
    rows = sorted((asdict(one) for one in fresh), key=lambda row: row["clock_id"])
    for level in (False, True):
        insert_missing(
            connection, tables.clock, [row for row in rows if bool(row["parent_id"]) is level]
        )


def _lock_ids(connection: Connection, ids: Collection[UUID]) -> list[Clock]:
    query = select(tables.clock).order_by(tables.clock.c.clock_id).with_for_update()
    return [clock(row) for row in fetch(connection, query, tables.clock.c.clock_id, ids)]


def _children(connection: Connection, parents: Collection[UUID]) -> set[UUID]:
    query = select(tables.clock.c.clock_id)
    return {row.clock_id for row in fetch(connection, query, tables.clock.c.parent_id, parents)}
