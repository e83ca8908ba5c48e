"""Retention clocks: how changes of one clock by many events are merged, whatever their order."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from operator import attrgetter
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, Row, select

from services.ledger import tables
from services.policy.ids import ClockRef, clock_id
from services.policy.model import Policy
from services.policy.retention_windows import check_times
from services.policy.rule_ends import ClockStanding, counts_from_begin
from services.policy.tagged_event import ClockKey
from services.storage.bulk import insert_tuples, select_in, update_each


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredClockChange:
    """A change of a clock with the event that made it."""

    clock: ClockRef
    move: Literal["start", "end"]
    ends_at: datetime | None = None
    """When it ends, if the event names the day; else it ends at the event's time."""
    outcome: str | None = None
    time: datetime
    source: str
    id: str
    backfill: str | None

    @property
    def sort_key(self) -> tuple[datetime, str, str, bool]:
        """Return the key by which changes of a clock are sorted.

        Of two changes that are equal otherwise, the one that keeps data is the last.
        """
        return (self.time, self.source, self.id, self.move == "start")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockState:
    """A row of a clock (`tables.clock`). Its epoch counts the anchors that it has had."""

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
    moved_to: datetime | None = None
    moved_outcome: str | None = None
    anchor_at: datetime | None = None
    outcome: str | None = None
    epoch: int = 0
    next_due: datetime | None = None
    fired_to: datetime | None = None
    cursor: UUID | None = None
    backfill: str | None = None

    @property
    def anchor(self) -> datetime | None:
        """The anchor for the deleter: a clock whose end is from an unreleased import counts as open."""
        return None if self.backfill else self.anchor_at

    @property
    def standing(self) -> ClockStanding:
        """What is known of it for the deleter; an end from an unreleased import is not known."""
        if self.backfill:
            return ClockStanding(has_begun=self.has_begun)
        return self.standing_if_released

    @property
    def standing_if_released(self) -> ClockStanding:
        """What would be known of it if every import were released."""
        return ClockStanding(self.anchor_at, self.outcome, self.has_begun)

    @property
    def has_begun(self) -> bool:
        """Whether an event has started or ended it, also if its last change was decided to be wrong."""
        return self.moved_at is not None or self.epoch > 0

    def has_due_records(self, now: datetime) -> bool:
        """Return whether any record that depends on it can have become due before an instant."""
        if self.anchor is None:
            return False
        return bool(self.fired_to or (self.next_due and self.next_due < now))

    def with_record(self, at: datetime) -> ClockState:
        """Return the clock, with a record of that time added to it."""
        return self if self.opened_at and self.opened_at <= at else replace(self, opened_at=at)

    def with_change(self, move: StoredClockChange) -> ClockState:
        """Return the clock after a change; the last change by event time counts, whatever their order."""
        if self.moved_at:
            last_sort_key = (self.moved_at, self.moved_source, self.moved_id, not self.ended)
            if move.sort_key < last_sort_key:
                return self
        return replace(
            self,
            ended=move.move == "end",
            moved_at=move.time,
            moved_source=move.source,
            moved_id=move.id,
            moved_backfill=move.backfill,
            moved_to=move.ends_at,
            moved_outcome=move.outcome,
        )

    def with_anchor(self, parent: ClockState | None, policy: Policy) -> ClockState:
        """Return the clock with its effective anchor: the earlier of its own end and its parent's.

        A changed anchor or outcome starts a new epoch, with a new scan of the records. So does the begin of
        a clock that some rule counts only from then on.
        """
        ends = [
            (clock.moved_to or clock.moved_at, clock.moved_backfill, clock.moved_outcome)
            for clock in (self, parent)
            if clock and clock.ended and clock.moved_at
        ]
        anchor_at, backfill, outcome = min(ends, key=lambda end: end[0], default=(None, None, None))
        if (anchor_at, outcome) == (self.anchor_at, self.outcome) and not self._begins(policy):
            if backfill == self.backfill:
                return self
            # Records that were checked while it was held back were not checked under it.
            return replace(self, backfill=backfill).with_scan_restarted(policy)
        changed = replace(
            self, anchor_at=anchor_at, outcome=outcome, epoch=self.epoch + 1, backfill=backfill
        )
        return changed.with_scan_restarted(policy)

    def _begins(self, policy: Policy) -> bool:
        """Return whether its first change makes a rule count it."""
        return (
            self.epoch == 0 and self.moved_at is not None and counts_from_begin(self.clock, policy)
        )

    def with_scan_restarted(self, policy: Policy) -> ClockState:
        """Return the clock with the scan of its records at the start."""
        due = self._check_times(policy)
        return replace(self, next_due=min(due, default=None), fired_to=None, cursor=None)

    def with_scan_advanced(self, now: datetime, cursor: UUID | None, policy: Policy) -> ClockState:
        """Return the clock after a chunk of its records was scanned; no cursor: all were."""
        times = self._check_times(policy)
        fired_to = self.fired_to if self.cursor else max(time for time in times if time <= now)
        if cursor is not None:
            return replace(self, fired_to=fired_to, cursor=cursor)
        later_times = [time for time in times if fired_to is None or time > fired_to]
        return replace(
            self, fired_to=fired_to, cursor=None, next_due=min(later_times, default=None)
        )

    def _check_times(self, policy: Policy) -> tuple[datetime, ...]:
        if self.anchor_at is None:
            return ()
        return check_times(self.clock, self.anchor_at, policy, self.outcome)


_COLUMNS = tuple(column.name for column in fields(ClockState))
_column_values = attrgetter(*_COLUMNS)


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeResult:
    """The clocks that a batch has changed."""

    clocks: Mapping[UUID, ClockState]
    reanchored: tuple[UUID, ...]
    """Clocks whose former anchor was replaced or removed: commands that depend on it are outdated."""


def merge_changes(
    connection: Connection,
    changes: Sequence[StoredClockChange],
    opened: Sequence[tuple[ClockRef, datetime]],
    policy: Policy,
) -> MergeResult:
    """Merge changes and new records into the clocks; their rows stay locked.

    Rows are locked, and then inserted, parents first, each level sorted by id, so that no two batches
    wait for each other. If another batch inserted a row first, this batch is repeated (error 23505).
    """
    refs = (*(move.clock for move in changes), *(clock_ref for clock_ref, _ in opened))
    keys = {clock_ref.id: clock_ref.clock for clock_ref in refs}
    parents = {clock_id(key.parent): key.parent for key in keys.values() if key.parent}
    keys |= parents
    states_before = _lock_clocks(connection, [id for id, key in keys.items() if not key.parent])
    children = {id for id, key in keys.items() if key.parent}
    children |= _load_child_ids(
        connection, {move.clock.id for move in changes} & states_before.keys()
    )
    states_before |= _lock_clocks(connection, children)
    first_record_times = {clock_ref.id: at for clock_ref, at in opened}
    states_after = {
        id: clock.with_record(first_record_times[id]) if id in first_record_times else clock
        for id, clock in states_before.items()
    }
    for id, key in keys.items():
        if id not in states_before:
            states_after[id] = _new_clock(id, key, first_record_times.get(id))
    for move in changes:
        states_after[move.clock.id] = states_after[move.clock.id].with_change(move)
    for id, clock in list(states_after.items()):
        parent = states_after[clock.parent_id] if clock.parent_id else None
        if parent or clock.moved_at:
            states_after[id] = clock.with_anchor(parent, policy)
    new_clocks = [clock for id, clock in states_after.items() if id not in states_before]
    for has_parent in (False, True):
        insert_clocks(
            connection, [clock for clock in new_clocks if bool(clock.parent_id) is has_parent]
        )
    update_clocks(
        connection,
        [states_after[id] for id, clock in states_before.items() if states_after[id] != clock],
    )
    return MergeResult(
        clocks=states_after,
        reanchored=tuple(
            id
            for id, clock in sorted(states_before.items())
            if _was_replaced(clock, states_after[id], policy)
        ),
    )


def _was_replaced(before: ClockState, after: ClockState, policy: Policy) -> bool:
    """Return whether commands that depend on a clock are outdated by its change."""
    if before.anchor_at is not None:
        return (before.anchor_at, before.outcome) != (after.anchor_at, after.outcome)
    return before.epoch == 0 != after.epoch and counts_from_begin(before.clock, policy)


def load_clocks(
    connection: Connection, ids: Collection[UUID], *, lock: bool = True
) -> dict[UUID, ClockState]:
    """Return the clocks; with a `lock` no other transaction changes them until this one ends."""
    query = select(tables.clock).order_by(tables.clock.c.clock_id)
    if lock:
        query = query.with_for_update(read=True)
    return {
        row.clock_id: clock_from_row(row)
        for row in select_in(connection, query, tables.clock.c.clock_id, ids)
    }


def update_clocks(connection: Connection, clocks: Collection[ClockState]) -> None:
    """Write changed clocks to their rows."""
    ordered = sorted(clocks, key=lambda clock: clock.clock_id.int)
    update_each(
        connection,
        tables.clock,
        [dict(zip(_COLUMNS, _column_values(clock), strict=True)) for clock in ordered],
    )


def insert_clocks(connection: Connection, clocks: Collection[ClockState]) -> None:
    """Insert clocks that have no row yet."""
    ordered = sorted(clocks, key=lambda clock: clock.clock_id.int)
    insert_tuples(connection, tables.clock, _COLUMNS, [_column_values(clock) for clock in ordered])


def clock_from_row(row: Row[Any]) -> ClockState:
    """Return the clock of a row."""
    return ClockState(**row._mapping)


def _new_clock(id: UUID, key: ClockKey, opened_at: datetime | None) -> ClockState:
    return ClockState(
        clock_id=id,
        clock=key.clock,
        key=key.key,
        parent_id=clock_id(key.parent) if key.parent else None,
        opened_at=opened_at,
    )


def _lock_clocks(connection: Connection, ids: Collection[UUID]) -> dict[UUID, ClockState]:
    query = select(tables.clock).order_by(tables.clock.c.clock_id).with_for_update()
    rows = select_in(connection, query, tables.clock.c.clock_id, ids)
    return {row.clock_id: clock_from_row(row) for row in rows}


def _load_child_ids(connection: Connection, parents: Collection[UUID]) -> set[UUID]:
    query = select(tables.clock.c.clock_id)
    return {row.clock_id for row in select_in(connection, query, tables.clock.c.parent_id, parents)}
