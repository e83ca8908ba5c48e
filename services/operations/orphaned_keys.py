"""Strays: living keys that no command will destroy. Each is data in the log without a term.

A key is made before its event is published. An event that then never gets into the ledger, a policy that no
longer has a holding in the key's system, or a vault that was restored from a backup leave such keys.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import Connection, select

from services.crypto.data_keys import ActiveKey, DataKeyStore
from services.ledger import tables
from services.ledger.facts import load_tagged_events
from services.policy.ids import is_old, old_event_id, record_id
from services.policy.model import Policy
from services.policy.tagging import TaggedEvent
from services.storage.bulk import select_in
from services.storage.database import Database

_AT_ONCE = 500
_EVENTS_AT_ONCE = 5_000
Why = Literal["unrecorded", "unheld", "outlived"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanedKey:
    """One such key."""

    key: ActiveKey
    why: Why
    """`unrecorded`: the ledger does not know the event; replay its dead letter, or destroy the key.
    `unheld`: the policy has no holding of the event in that system; bring it back, or destroy the key.
    `outlived`: its erasure is proven, and it came back; `termijn commands resend` destroys it again."""


def find_orphaned_keys(
    keys: DataKeyStore, ledger: Database, policy: Policy, before: datetime
) -> Iterator[OrphanedKey]:
    """The strays among the keys made before an instant, UTC: younger events may be on their way."""
    after = None
    unknown: dict[UUID, list[OrphanedKey]] = defaultdict(list)
    while part := keys.active_keys(after, before, _AT_ONCE):
        after = part[-1]
        with ledger.transaction() as connection:
            found = _orphaned_among(connection, part, policy)
        for one in found:
            if one.why == "unrecorded" and is_old(one.key.event_id):
                unknown[one.key.event_id].append(one)
            else:
                yield one
    anew = _recorded_again(ledger, unknown) if unknown else {}
    for identity, those in unknown.items():
        with ledger.transaction() as connection:
            yield from _of_any(connection, those, anew.get(identity, ()), policy)


def _of_any(
    connection: Connection, those: Sequence[OrphanedKey], events: Collection[UUID], policy: Policy
) -> list[OrphanedKey]:
    """Those of an old identity's strays that are strays of each of the events that it may be of."""
    for event in events:
        living = [replace(one.key, event_id=event) for one in those]
        those = _orphaned_among(connection, living, policy) if living else ()
    return list(those)


def _recorded_again(ledger: Database, old: Collection[UUID]) -> Mapping[UUID, list[UUID]]:
    """The events that had these identities, and are recorded under those that events have now.

    A publisher that still counts over all topics makes such keys. No index leads from them to their events.
    """
    found: defaultdict[UUID, list[UUID]] = defaultdict(list)
    column = tables.event.c
    query = select(column.event_id, column.source, column.id).order_by(column.event_id)
    after = UUID(int=0)
    while True:
        with ledger.transaction() as connection:
            rows = connection.execute(
                query.where(column.event_id > after).limit(_EVENTS_AT_ONCE)
            ).all()
        if not rows:
            return found
        after = rows[-1].event_id
        for row in rows:
            if (identity := old_event_id(row.source, row.id)) in old:
                found[identity].append(row.event_id)


def _orphaned_among(
    connection: Connection, part: Sequence[ActiveKey], policy: Policy
) -> list[OrphanedKey]:
    events = load_tagged_events(connection, {one.event_id for one in part}, policy)
    erased = _erased_records(connection, events)
    found = []
    for one in part:
        tagged = events.get(one.event_id)
        why: Why | None = None
        if tagged is None:
            why = "unrecorded"
        elif not any(one.system in holding.systems for holding in tagged.holdings):
            why = "unheld"
        elif (one.event_id, one.system) in erased:
            why = "outlived"
        if why:
            found.append(OrphanedKey(key=one, why=why))
    return found


def _erased_records(
    connection: Connection, events: Mapping[UUID, TaggedEvent]
) -> set[tuple[UUID, str]]:
    """The events whose erasure from a system is proven."""
    records = {
        record_id(event, one.source, one.id, one.subject): event
        for event, one in events.items()
        if one.subject
    }
    member, command = tables.member.c, tables.command.c
    query = (
        select(member.record_id, member.system)
        .join(tables.command, command.command_id == member.command_id)
        .where(member.live, member.step == "erase", command.state == "erased")
    )
    rows = select_in(connection, query, member.record_id, records)
    return {(records[row.record_id], row.system) for row in rows}
