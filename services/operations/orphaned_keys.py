"""Find encryption keys that no planned erasure will destroy: their data on Kafka has no term.

A key is created before its event is published. It is orphaned if the event never reaches the ledger, if the
policy no longer has a holding of the event in the key's system, or if a backup of the vault restored it.
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
from services.policy.ids import is_old_event_id, old_event_id, record_id
from services.policy.model import Policy
from services.policy.tagged_event import TaggedEvent
from services.storage.bulk import select_in
from services.storage.database import Database

_PAGE_SIZE = 500
_EVENT_PAGE_SIZE = 5_000
OrphanReason = Literal["unrecorded", "unheld", "outlived"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanedKey:
    """A key that no command will destroy."""

    key: ActiveKey
    why: OrphanReason
    """`unrecorded`: the ledger does not know the event; replay its dead letter, or destroy the key.
    `unheld`: the policy has no holding of the event in that system; bring it back, or destroy the key.
    `outlived`: its erasure is proven, and it came back; `termijn commands resend` destroys it again."""


def find_orphaned_keys(
    keys: DataKeyStore, ledger: Database, policy: Policy, before: datetime
) -> Iterator[OrphanedKey]:
    """Return the orphaned keys among those created before an instant, UTC.

    The events of younger keys may not be recorded yet.
    """
    after = None
    unknown: dict[UUID, list[OrphanedKey]] = defaultdict(list)
    while page := keys.active_keys(after, before, _PAGE_SIZE):
        after = page[-1]
        with ledger.transaction() as connection:
            orphans = _find_orphaned(connection, page, policy)
        for orphan in orphans:
            if orphan.why == "unrecorded" and is_old_event_id(orphan.key.event_id):
                unknown[orphan.key.event_id].append(orphan)
            else:
                yield orphan
    renamed = _find_current_ids(ledger, unknown) if unknown else {}
    for identity, unrecorded in unknown.items():
        with ledger.transaction() as connection:
            yield from _filter_orphaned_under_each(
                connection, unrecorded, renamed.get(identity, ()), policy
            )


def _filter_orphaned_under_each(
    connection: Connection, orphans: Sequence[OrphanedKey], events: Collection[UUID], policy: Policy
) -> list[OrphanedKey]:
    """Return the keys that are orphaned whichever of these events they belong to."""
    for event in events:
        living = [replace(orphan.key, event_id=event) for orphan in orphans]
        orphans = _find_orphaned(connection, living, policy) if living else ()
    return list(orphans)


def _find_current_ids(ledger: Database, old_ids: Collection[UUID]) -> Mapping[UUID, list[UUID]]:
    """Return the current ids of the events that had these ids before ids depended on the topic.

    Publishers of an older version create keys under such ids. No index leads from these to their events.
    """
    current_ids: defaultdict[UUID, list[UUID]] = defaultdict(list)
    column = tables.event.c
    query = select(column.event_id, column.source, column.id).order_by(column.event_id)
    last_id = UUID(int=0)
    while True:
        with ledger.transaction() as connection:
            rows = connection.execute(
                query.where(column.event_id > last_id).limit(_EVENT_PAGE_SIZE)
            ).all()
        if not rows:
            return current_ids
        last_id = rows[-1].event_id
        for row in rows:
            if (identity := old_event_id(row.source, row.id)) in old_ids:
                current_ids[identity].append(row.event_id)


def _find_orphaned(
    connection: Connection, keys: Sequence[ActiveKey], policy: Policy
) -> list[OrphanedKey]:
    events = load_tagged_events(connection, {key.event_id for key in keys}, policy)
    erased = _erased_records(connection, events)
    orphans = []
    for key in keys:
        tagged = events.get(key.event_id)
        reason: OrphanReason | None = None
        if tagged is None:
            reason = "unrecorded"
        elif not any(key.system in holding.systems for holding in tagged.holdings):
            reason = "unheld"
        elif (key.event_id, key.system) in erased:
            reason = "outlived"
        if reason:
            orphans.append(OrphanedKey(key=key, why=reason))
    return orphans


def _erased_records(
    connection: Connection, events: Mapping[UUID, TaggedEvent]
) -> set[tuple[UUID, str]]:
    """Return the events, each with a system, whose erasure from that system is proven."""
    records = {
        record_id(event_id, event.source, event.id, event.subject): event_id
        for event_id, event in events.items()
        if event.subject
    }
    member, command = tables.member.c, tables.command.c
    query = (
        select(member.record_id, member.system)
        .join(tables.command, command.command_id == member.command_id)
        .where(member.live, member.step == "erase", command.state == "erased")
    )
    rows = select_in(connection, query, member.record_id, records)
    return {(records[row.record_id], row.system) for row in rows}
