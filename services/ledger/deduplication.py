"""Find which events of a batch are new: others are duplicates, or conflict with what is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, select

from services.events.incoming_event import IncomingEvent, TaggedEventRow
from services.ledger import tables
from services.policy.ids import event_id, old_event_id
from services.storage.bulk import select_in


def deduplicate(
    connection: Connection, events: Sequence[IncomingEvent]
) -> tuple[list[IncomingEvent], int, list[TaggedEventRow]]:
    """Separate new events from duplicates and conflicts; of several with one identity the first counts."""
    first_events: dict[UUID, IncomingEvent] = {}
    for event in events:
        if first_events.setdefault(event.event_id, event) is not event:
            first_events[event.event_id] = min(
                first_events[event.event_id], event, key=_arrival_order
            )
    recorded = _recorded_content(connection, first_events)
    if not recorded and len(first_events) == len(events):
        return list(events), 0, []
    new_events = [event for event_id, event in first_events.items() if event_id not in recorded]
    hashes = recorded | {event.event_id: event.row.content_hash for event in new_events}
    conflicts = [event.row for event in events if event.row.content_hash != hashes[event.event_id]]
    return new_events, len(events) - len(new_events) - len(conflicts), conflicts


def _arrival_order(event: IncomingEvent) -> tuple[datetime, str, int, int]:
    """Return the key by which the first of several events with one identity is chosen."""
    row = event.row
    return (row.time, row.source, row.offset, row.partition)


def _recorded_content(
    connection: Connection, events: Mapping[UUID, IncomingEvent]
) -> dict[UUID, bytes]:
    """Return the content hashes of recorded events, found by their identity or by their old identity."""
    rows = [event.row for event in events.values()]
    ids = {*events, *(old_event_id(row.source, row.id) for row in rows)}
    column = tables.event.c
    query = select(column.type, column.source, column.id, column.content_hash)
    hashes = {
        event_id(row.type, row.source, row.id): bytes(row.content_hash)
        for row in select_in(connection, query, column.event_id, ids)
    }
    return {id: content for id, content in hashes.items() if id in events}
