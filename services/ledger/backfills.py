"""Imports of old events: they are recorded, but nothing is erased until an operator releases them.

The records of an import are held back, and so are the clocks whose anchor it decided. The forecast shows
what would be erased at once; a named operator releases the import. Live events that are too old
(`services.events.history`) are held back in the same way, in groups. But their privacy events, such as a
consent or a legal hold, and their starts of clocks count at once: they can only protect, or are that
person's own wish.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Table, func, select, update

from schemas.errors import TermijnError
from services.events import history
from services.events.incoming_event import IncomingEvent
from services.ledger import subject_acts, tables
from services.storage.bulk import insert_or_ignore, select_in


class BackfillNotFound(TermijnError):
    """No import of that name waits for release."""

    def __init__(self, backfill: str) -> None:
        super().__init__(
            f"backfill: none of that name waits for release, got {backfill!r};"
            " `termijn backfill list` shows those that wait"
        )
        self.backfill = backfill


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingBackfill:
    """An import, or a group of live history, that waits for its release."""

    backfill: str
    started_at: datetime
    records: int
    clocks: int

    @property
    def is_history(self) -> bool:
        """Return whether it is a group of live events that were too old, not an import."""
        return history.is_group(self.backfill)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchBackfills:
    """The imports and groups that hold back a batch's events; none is released until these are recorded."""

    imports: Set[str]
    """The names of the batch's imports that are not released."""
    groups: Mapping[str, str]
    """The open group for each group name that the tagger gave."""

    def of_records(self, event: IncomingEvent) -> str | None:
        """Return the import or group that holds back an event's records and ends of clocks, or None."""
        return self.of_privacy_event(event) or self.groups.get(event.history or "")

    def of_privacy_event(self, event: IncomingEvent) -> str | None:
        """Return the import that holds back an event's privacy event and starts of clocks, or None.

        A group of live events holds back neither.
        """
        backfill = event.row.backfill
        return backfill if backfill in self.imports else None


def find_backfills(
    connection: Connection, events: Sequence[IncomingEvent], now: datetime
) -> BatchBackfills:
    """Return the imports and groups that hold these events back, and store new ones."""
    names = {event.row.backfill for event in events if event.row.backfill}
    imports = _unreleased_backfills(connection, names, now)
    groups = {
        event.history for event in events if event.history and event.row.backfill not in imports
    }
    return BatchBackfills(imports=imports, groups=_open_groups(connection, groups, now))


def _open_groups(connection: Connection, groups: Set[str], now: datetime) -> Mapping[str, str]:
    """Return the open group for each group, by name; after a released group another one is opened."""
    open_groups: dict[str, str] = {}
    number = 1
    while unresolved := groups - open_groups.keys():
        candidates = {group: history.numbered_group(group, number) for group in unresolved}
        unreleased = _unreleased_backfills(connection, candidates.values(), now)
        open_groups |= {group: name for group, name in candidates.items() if name in unreleased}
        number += 1
    return open_groups


def _unreleased_backfills(
    connection: Connection, backfills: Collection[str], now: datetime
) -> set[str]:
    """Return the names that are not released; store a new name as started now."""
    rows = [
        {"backfill": backfill, "started_at": now, "released_at": None, "operator": None}
        for backfill in sorted(backfills)
    ]
    insert_or_ignore(connection, tables.backfill, rows)
    query = (
        select(tables.backfill)
        .where(tables.backfill.c.released_at.is_(None))
        .order_by(tables.backfill.c.backfill)
        .with_for_update(read=True)  # a release waits for batches that are being recorded
    )
    return {
        row.backfill for row in select_in(connection, query, tables.backfill.c.backfill, backfills)
    }


def pending_backfills(connection: Connection) -> list[PendingBackfill]:
    """Return the imports and groups that wait for release, oldest first."""
    records = _count_rows(connection, tables.record)
    clocks = _count_rows(connection, tables.clock)
    query = (
        select(tables.backfill)
        .where(tables.backfill.c.released_at.is_(None))
        .order_by(tables.backfill.c.started_at, tables.backfill.c.backfill)
    )
    return [
        PendingBackfill(
            backfill=row.backfill,
            started_at=row.started_at,
            records=records.get(row.backfill, 0),
            clocks=clocks.get(row.backfill, 0),
        )
        for row in connection.execute(query).all()
    ]


def release(connection: Connection, backfill: str, operator: str, now: datetime) -> None:
    """Release an import or a group: the deleter acts on its events from now on.

    Raises:
        BackfillNotFound: there is none of that name, or it has been released.
    """
    released = connection.execute(
        update(tables.backfill)
        .where(tables.backfill.c.backfill == backfill, tables.backfill.c.released_at.is_(None))
        .values(released_at=now, operator=operator)
    )
    if released.rowcount != 1:
        raise BackfillNotFound(backfill)
    connection.execute(
        update(tables.clock)
        .where(tables.clock.c.moved_backfill == backfill)
        .values(moved_backfill=None)
    )
    clock = tables.clock.c
    connection.execute(  # records that arrived while the clock was held back have not been checked under it
        update(tables.clock)
        .where(clock.backfill == backfill, clock.fired_to.is_not(None))
        .values(next_due=clock.fired_to, fired_to=None, cursor=None)
    )
    connection.execute(
        update(tables.clock).where(tables.clock.c.backfill == backfill).values(backfill=None)
    )
    connection.execute(
        update(tables.record)
        .where(tables.record.c.backfill == backfill)
        .values(backfill=None, next_due=now)
    )
    subject_acts.release_backfill(connection, backfill, now)


def _count_rows(connection: Connection, table: Table) -> dict[str, int]:
    """Count the rows of a table that each import holds back."""
    column = table.c.backfill
    query = select(column, func.count()).where(column.is_not(None)).group_by(column)
    return {row[0]: row[1] for row in connection.execute(query)}
