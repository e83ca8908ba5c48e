"""Purges events whose records are erased everywhere, and those that only changed a clock that is purged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, select, update

from services.crypto.tombstones import TombstoneCipher
from services.evidence.purge.base import ProofTerm, next_ids
from services.evidence.purge.eligibility import fully_erased_events
from services.ledger import identifying_keys, tables
from services.ledger.facts import load_tagged_events
from services.ledger.tombstones import SINGLETON, content_reference, event_reference
from services.policy.check_times import clocks_of
from services.policy.ids import clock_id, record_id
from services.policy.tagged_event import TaggedEvent
from services.storage.bulk import delete_in, insert_or_ignore, select_in


class EligibleEvent(NamedTuple):
    """An event that may be purged."""

    event_id: UUID
    tagged: TaggedEvent
    since: datetime
    """When the last command about it was settled, UTC."""


class EventPurge:
    """Events by id. Privacy events are left out: they are purged, or stay, with their subject."""

    name = "events"

    def next_keys(self, connection: Connection, after: str | None, limit: int) -> Sequence[str]:
        """Return the ids of the next events."""
        return next_ids(connection, tables.event.c.event_id, after, limit)

    def eligible(
        self, connection: Connection, keys: Sequence[str], terms: ProofTerm
    ) -> Sequence[EligibleEvent]:
        """Return events that are erased everywhere and whose term of proof is over; no privacy events."""
        column = tables.event.c
        query = select(column.event_id, column.time)
        expired_ids = [
            row.event_id
            for row in select_in(connection, query, column.event_id, [UUID(key) for key in keys])
            if terms.is_over(row.time)
        ]
        tagged = load_tagged_events(connection, expired_ids, terms.policy)
        business_events = {
            identity: event for identity, event in tagged.items() if event.privacy_event is None
        }
        settled_times = fully_erased_events(connection, business_events, terms.policy, terms.now)
        changed_clocks = {
            clock_id(move.clock)
            for event in business_events.values()
            if not event.subjects
            for move in event.clock_changes
        }
        clock = tables.clock.c.clock_id
        existing_clocks = set(existing_ids(connection, clock, changed_clocks))
        eligible = []
        for identity, event in business_events.items():
            settled = settled_times.get(identity) if event.subjects else event.time
            changes = () if event.subjects else event.clock_changes
            if settled is None or not terms.is_over(settled) or _may_be_spoken_of(event, terms):
                continue
            if not any(clock_id(move.clock) in existing_clocks for move in changes):
                eligible.append(EligibleEvent(identity, event, settled))
        return eligible

    def purge(
        self,
        connection: Connection,
        things: Sequence[EligibleEvent],
        terms: ProofTerm,
        cipher: TombstoneCipher,
    ) -> None:
        """Delete the events; keyed hashes of their identity and content stay."""
        column = tables.event.c
        ids = [event.event_id for event in things]
        write_tombstones(connection, ids, cipher)
        delete_records(connection, {event.event_id: event.tagged for event in things}, terms)
        record_oldest_backup(connection, (event.since for event in things))
        delete_in(connection, tables.event, column.event_id, ids)
        _delete_obtained(connection, ids)


def _delete_obtained(connection: Connection, ids: Sequence[UUID]) -> None:
    """Delete the duties about erased data. What else a person's events report stays with the person: it may
    have ended another duty."""
    column = tables.provenance.c
    query = select(column.event_id).where(column.report == "obtained")
    obtained = [row.event_id for row in select_in(connection, query, column.event_id, ids)]
    delete_in(connection, tables.provenance, column.event_id, obtained)


def _may_be_spoken_of(event: TaggedEvent, terms: ProofTerm) -> bool:
    """Return whether a parked event may be about a subject of the event, or a clock of either."""
    if not terms.parked:
        return False
    hung = {key for subject in event.subjects for key in clocks_of(event, subject, terms.policy)}
    return terms.parked.covers(event.subjects, hung | {move.clock for move in event.clock_changes})


def write_tombstones(connection: Connection, ids: Sequence[UUID], cipher: TombstoneCipher) -> None:
    """Store keyed hashes of the identity and content of events, so that repetitions are recognised."""
    column = tables.event.c
    rows = select_in(connection, select(column.event_id, column.content_hash), column.event_id, ids)
    references = (
        {
            "reference": event_reference(row.event_id, cipher),
            "content": content_reference(row.event_id, bytes(row.content_hash), cipher),
        }
        for row in rows
    )
    insert_or_ignore(
        connection, tables.forgotten_event, sorted(references, key=lambda row: row["reference"])
    )


def delete_records(
    connection: Connection, events: Mapping[UUID, TaggedEvent], terms: ProofTerm
) -> None:
    """Delete the records of events with their keys and clocks; the commands stay."""
    identifying_keys.purge_keys(connection, events.values(), terms.policy)
    records = []
    hanging = tables.hanging
    for event, tagged in events.items():
        for subject in tagged.subjects:
            records.append(record_id(event, tagged.source, tagged.id, subject))
            pairs = [clock_id(key) for key in clocks_of(tagged, subject, terms.policy)]
            is_last_record = hanging.c.record_id == records[-1]
            connection.execute(
                hanging.delete().where(hanging.c.clock_id.in_(pairs), is_last_record)
            )
    delete_in(connection, tables.record, tables.record.c.record_id, records)


def record_oldest_backup(connection: Connection, settled: Iterable[datetime]) -> None:
    """Record up to which instant a backup of a system is too old to be repaired by commands."""
    column = tables.forgetting.c
    query = select(column.through).where(column.number == SINGLETON)
    recorded = connection.execute(query).scalar_one()
    through = max([*settled, *([recorded] if recorded else [])], default=None)
    connection.execute(update(tables.forgetting).values(through=through))


def existing_ids(connection: Connection, column: Any, values: Any) -> Sequence[Any]:
    """Return those of the values that a key column has."""
    return [row[0] for row in select_in(connection, select(column), column, values)]
