"""Reset retention clocks that were changed by events of the wrong subject.

An operator decided which subject a key belongs to, such as an order number. A clock that such a key names
(a ticket's, an application's) is the owner's. A change by another subject's event does not count: if it was
the last change it is undone, and later ones are ignored.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

from sqlalchemy import Connection, Row, select, update

from services.events.incoming_event import IncomingEvent
from services.ledger import outbox, tables
from services.ledger.facts import load_tagged_events
from services.policy.event_subject import identifying_keys
from services.policy.ids import clock_id, event_id, key_id, old_event_id
from services.policy.model import Policy
from services.policy.tagged_event import ClockKey
from services.storage.bulk import select_in


def reset_foreign_clocks(
    connection: Connection, name: str, value: str, owner: str, policy: Policy, now: datetime
) -> list[str]:
    """Open the clocks of a key that another subject's event changed last, and return them.

    That change overwrote any earlier end by the owner's event, which must be published again. Until then
    the clock counts as open: data is kept too long, never too short, and an alert reports the open clock.
    """
    keys = {clock_id(clock): clock for clock in _clocks_of_key(name, value, policy)}
    column = tables.clock.c
    query = select(tables.clock).where(column.moved_at.is_not(None)).with_for_update()
    rows = list(select_in(connection, query.order_by(column.clock_id), column.clock_id, keys))
    possible_events = {row.clock_id: _possible_event_ids(row, policy) for row in rows}
    events = load_tagged_events(connection, set().union(*possible_events.values()), policy)
    foreign = [
        clock
        for clock, event_ids in possible_events.items()
        if any(id in events and events[id].subject not in (None, owner) for id in event_ids)
    ]
    connection.execute(
        update(tables.clock)
        .where(column.clock_id.in_(foreign))
        .values(
            ended=False,
            moved_at=None,
            moved_source="",
            moved_id="",
            moved_backfill=None,
            moved_to=None,
            moved_outcome=None,
            anchor_at=None,
            outcome=None,
            epoch=column.epoch + 1,
            next_due=None,
            fired_to=None,
            cursor=None,
            backfill=None,
        )
    )
    outbox.invalidate_by_clock(connection, foreign, policy, now)
    return sorted(str(keys[id]) for id in foreign)


def load_clock_owners(
    connection: Connection, events: Iterable[IncomingEvent], policy: Policy
) -> dict[UUID, str]:
    """Return the owner of each clock that these events name by a decided key; the caller locks the keys."""
    name_and_value = {
        key_id(name, value): (name, value)
        for event in events
        if event.clock_changes
        for name, value in identifying_keys(
            event.row.type, event.row.decision_fields, policy
        ).items()
    }
    column = tables.key_conflict.c
    query = select(column.key_id, column.owner).where(column.owner.is_not(None))
    return {
        clock_id(clock): row.owner
        for row in select_in(connection, query, column.key_id, name_and_value)
        for clock in _clocks_of_key(*name_and_value[row.key_id], policy)
    }


def _possible_event_ids(row: Row[Any], policy: Policy) -> set[UUID]:
    """Return the possible identities of the event that changed a clock last, whose type is not stored."""
    types = [
        name
        for name, event in policy.events.items()
        if any(move.clock == row.clock for move in event.moves)
    ]
    source, id = row.moved_source, row.moved_id
    return {old_event_id(source, id), *(event_id(type, source, id) for type in types)}


def _clocks_of_key(name: str, value: str, policy: Policy) -> list[ClockKey]:
    """Return the clocks that a key names."""
    return [
        ClockKey(clock=kind, key=quote(value, safe=""))
        for kind, clock in policy.clocks.items()
        if clock.key == (name,)
    ]
