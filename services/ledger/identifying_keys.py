"""Identifying keys: which subjects have events with a key, and how many.

A key is a field that the policy marks as `identifies`, with its value. Its claimants depend on the set of
events, not on their order. A key with one claimant belongs to that subject; a second claimant makes a
conflict (`ledger.key_conflicts`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select, update

from services.events.incoming_event import IncomingEvent
from services.ledger import tables
from services.ledger.facts import load_tagged_events
from services.policy.event_subject import identifying_keys
from services.policy.ids import key_id
from services.policy.model import Policy
from services.policy.tagged_event import TaggedEvent
from services.storage.bulk import delete_in, insert_or_add, insert_or_ignore, select_in, update_each

_NO_OWNER = ""
"""The owner of a key whose owner was purged."""


_CHUNK_SIZE = 1_000


def record_keys(
    connection: Connection, events: Iterable[IncomingEvent], policy: Policy, now: datetime
) -> set[str]:
    """Store the keys of new events; return all subjects who claim a key that had one claimant until now.

    Once the caller has locked its clocks, it has their records scanned (`key_conflicts.schedule_rescan`).
    """
    claims = (
        (event.subject, identifying_keys(event.row.type, event.row.decision_fields, policy))
        for event in events
    )
    return _record_claims(connection, claims, now)


def rebuild_keys(connection: Connection, policy: Policy, now: datetime) -> None:
    """Store the keys of all events again: under another policy other fields may identify.

    A decision about a key stays as long as an event has the key. The caller schedules a check of every
    record, and blocks recorders meanwhile.
    """
    conflict = tables.key_conflict
    connection.execute(conflict.delete().where(conflict.c.owner.is_(None)))
    for table in (tables.claimant, tables.identifier):
        connection.execute(table.delete())
    types = [
        name
        for name, event in policy.events.items()
        if any(item.identifies for item in event.fields.values())
    ]
    column = tables.event.c
    query = select(column.event_id).where(column.type.in_(types)).order_by(column.event_id)
    last_id = UUID(int=0)
    while (
        ids := connection.execute(query.where(column.event_id > last_id).limit(_CHUNK_SIZE))
        .scalars()
        .all()
    ):
        events = load_tagged_events(connection, ids, policy).values()
        _record_claims(connection, _claims(events, policy), now)
        last_id = ids[-1]
    has_key = select(tables.identifier.c.key_id).where(
        tables.identifier.c.key_id == conflict.c.key_id
    )
    # Otherwise it would name its owner without end.
    connection.execute(conflict.delete().where(~has_key.exists()))


def purge_keys(connection: Connection, events: Collection[TaggedEvent], policy: Policy) -> None:
    """Purge the keys of purged events, each with the last event that has it."""
    counts, _ = _count_claims(_claims(events, policy))
    contested: list[tuple[UUID, str, int]] = []
    changed = []
    column = tables.identifier.c
    for row in list(select_in(connection, select(tables.identifier), column.key_id, counts)):
        if row.subject is None:
            contested += [(row.key_id, *claim) for claim in counts[row.key_id].items()]
        else:
            events_left = row.events - counts[row.key_id].total()
            changed.append({"key_id": row.key_id, "events": events_left})
    update_each(connection, tables.identifier, changed)
    unused = {row["key_id"] for row in changed if row["events"] <= 0}
    for table in (tables.key_conflict, tables.identifier):
        delete_in(connection, table, table.c.key_id, unused)
    if contested:
        _purge_claims(connection, contested)


def load_claimants(connection: Connection, keys: Collection[UUID]) -> Mapping[UUID, dict[str, int]]:
    claimants: defaultdict[UUID, dict[str, int]] = defaultdict(dict)
    column = tables.claimant.c
    query = select(tables.claimant).order_by(column.key_id, column.subject)
    for row in select_in(connection, query, column.key_id, keys):
        claimants[row.key_id][row.subject] = row.events
    return {key: claimants[key] for key in keys}


def _purge_claims(connection: Connection, claims: Sequence[tuple[UUID, str, int]]) -> None:
    claimant, conflict = tables.claimant, tables.key_conflict
    for key, subject, events in claims:
        is_claim = (claimant.c.key_id == key, claimant.c.subject == subject)
        connection.execute(
            update(claimant).where(*is_claim).values(events=claimant.c.events - events)
        )
        deleted = connection.execute(
            claimant.delete().where(*is_claim, claimant.c.events <= 0)
        ).rowcount
        if deleted:  # if the key was theirs, it has no owner now
            is_owner = (conflict.c.key_id == key, conflict.c.owner == subject)
            connection.execute(update(conflict).where(*is_owner).values(owner=_NO_OWNER))
    keys = {key for key, _, _ in claims}
    claimed = {key for key, claimants in load_claimants(connection, keys).items() if claimants}
    for table in (conflict, tables.identifier):
        delete_in(connection, table, table.c.key_id, keys - claimed)


_Claims = Iterable[tuple[str | None, Mapping[str, str]]]
"""The subjects of events, each with the keys of its event."""


def _claims(events: Iterable[TaggedEvent], policy: Policy) -> _Claims:
    return (
        (event.subject, identifying_keys(event.type, event.decision_fields, policy))
        for event in events
    )


def _count_claims(claims: _Claims) -> tuple[dict[UUID, Counter[str]], dict[UUID, tuple[str, str]]]:
    """Return, by key, how many events of each subject have it, and its name and value."""
    counts: defaultdict[UUID, Counter[str]] = defaultdict(Counter)
    names_and_values: dict[UUID, tuple[str, str]] = {}
    for subject, keys in claims:
        for name, value in keys.items() if subject else ():
            key = key_id(name, value)
            counts[key][subject or ""] += 1
            names_and_values[key] = name, value
    return counts, names_and_values


def _record_claims(connection: Connection, claims: _Claims, now: datetime) -> set[str]:
    counts, names_and_values = _count_claims(claims)
    rows = [
        {"key_id": key, "subject": min(counts[key]), "events": counts[key].total()}
        for key in sorted(counts)
    ]
    # Of two transactions that store a key at the same time, the second waits for the first to commit.
    insert_or_add(connection, tables.identifier, rows, "events")
    contested = [
        row
        for row in select_in(
            connection, select(tables.identifier), tables.identifier.c.key_id, counts
        )
        if counts[row.key_id].keys() != {row.subject}
    ]
    if not contested:
        return set()
    claim_rows: list[dict[str, Any]] = []
    conflicts: dict[UUID, set[str]] = {}
    for row in sorted(contested, key=lambda row: row.key_id):
        claims_by_subject = counts[row.key_id].copy()
        if row.subject is not None:  # it had one claimant until now
            claims_by_subject[row.subject] += row.events - claims_by_subject.total()
            conflicts[row.key_id] = set(claims_by_subject)
        claim_rows += [
            {"key_id": row.key_id, "subject": subject, "events": events}
            for subject, events in sorted(claims_by_subject.items())
        ]
    insert_or_add(connection, tables.claimant, claim_rows, "events")
    update_each(
        connection,
        tables.identifier,
        [{"key_id": row.key_id, "subject": None, "events": 0} for row in contested],
    )
    conflict_rows = (
        {"key_id": key, "name": names_and_values[key][0], "value": names_and_values[key][1]}
        for key in conflicts
    )
    insert_or_ignore(
        connection,
        tables.key_conflict,
        [{**row, "found_at": now, "owner": None} for row in conflict_rows],
    )
    return set().union(*conflicts.values())
