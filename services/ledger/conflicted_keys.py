"""Keys in conflict: order or customer numbers that events of several subjects contain; none may be sent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Connection, select

from services.ledger import tables
from services.policy.event_subject import identifying_keys
from services.policy.ids import key_id
from services.policy.model import Policy
from services.policy.tagged_event import TaggedEvent
from services.storage.bulk import select_in

EventIdentity = tuple[str, str]
"""An event's `source` and `id`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictedKeys:
    """The keys of events that several subjects claim, or that belong to another subject."""

    contested: Mapping[EventIdentity, Collection[str]] = field(default_factory=dict)
    """By event, its keys whose owner is not decided yet: only commands that protect data are sent."""
    disowned: Mapping[EventIdentity, Collection[str]] = field(default_factory=dict)
    """By event, its keys that belong to another subject: no command carries them."""

    def blocks(self, event: TaggedEvent) -> bool:
        """Return whether only commands that protect data may be sent about an event, without the key."""
        return (event.source, event.id) in self.contested


def has_conflicts(connection: Connection) -> bool:
    """Return whether there is any conflict, decided or not."""
    query = select(tables.key_conflict.c.key_id).limit(1)
    return connection.execute(query).first() is not None


def load_conflicted_keys(
    connection: Connection, events: Iterable[TaggedEvent], policy: Policy
) -> ConflictedKeys:
    """Return the keys of these events that are in conflict, as far as that is committed."""
    if not has_conflicts(connection):
        return ConflictedKeys()
    column = tables.key_conflict.c
    keyed: defaultdict[UUID, list[tuple[TaggedEvent, str]]] = defaultdict(list)
    for event in events:
        for name, value in identifying_keys(event.type, event.decision_fields, policy).items():
            keyed[key_id(name, value)].append((event, name))
    contested: defaultdict[EventIdentity, set[str]] = defaultdict(set)
    disowned: defaultdict[EventIdentity, set[str]] = defaultdict(set)
    query = select(column.key_id, column.owner)
    for row in select_in(connection, query, column.key_id, keyed):
        for event, name in keyed[row.key_id]:
            if row.owner is None:
                contested[event.source, event.id].add(name)
            elif row.owner != event.subject:
                disowned[event.source, event.id].add(name)
    return ConflictedKeys(contested=contested, disowned=disowned)
