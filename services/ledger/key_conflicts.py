"""Key conflicts: where two subjects have the same identifying key, a person says whose it is.

A key is a field that the policy says `identifies`, with its value; it is claimed by the subjects of the
events that have it. Who claims it is a function of the set of events. While several do and nobody has
decided, no command about any of their events leaves but restrictions without the key, and what is out is
recalled. From then on the owner's commands carry the key, and the others' do not.

Locks: keys first, then clocks, then subjects. Whoever claims or relays takes no key's.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, case, func, literal, or_, select, update

from schemas.errors import TermijnError
from services.events.decision_fields import encode_decision_fields
from services.events.ingestion_plan import IngestionPlan
from services.ledger import disowned_keys, tables
from services.ledger.facts import load_tagged_events
from services.ledger.subject_lock import lock_subjects
from services.policy.ids import key_id, record_id
from services.policy.model import Policy
from services.policy.tagging import TaggedEvent, identifying_keys
from services.storage.bulk import (
    delete_in,
    insert_or_add,
    insert_or_ignore,
    select_in,
    update_each,
    update_in,
)

EventIdentity = tuple[str, str]
"""An event's `source` and `id`."""
_NO_OWNER = ""
"""The owner of a key whose owner is forgotten."""
_CHUNK_SIZE = 1_000


class ConflictNotFound(TermijnError):
    """No two subjects claim that key, or the named one does not; nothing was decided.

    `termijn conflicts list` shows the keys with those who claim them.
    """

    def __init__(self, why: str) -> None:
        super().__init__(f"{why}: see `termijn conflicts list`")


class ConflictAlreadyDecided(TermijnError):
    """Somebody has said already whose the key is, and commands that carry it may be out.

    `termijn conflicts reopen` has them recalled first.
    """

    def __init__(self, key: str) -> None:
        super().__init__(
            f"{key}: it is decided already whose it is: `termijn conflicts reopen` first"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A key that several subjects claim."""

    name: str
    value: str
    found_at: datetime
    owner: str | None
    """Whose it is, once that is decided; empty where that person was forgotten."""
    claimants: Mapping[str, int]
    """How many events of each subject have it."""

    @property
    def key(self) -> str:
        """As operators write it."""
        return f"{self.name}={self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictedKeys:
    """What key conflicts say about events."""

    contested: Mapping[EventIdentity, Collection[str]] = field(default_factory=dict)
    """The keys of these of which nobody has decided yet whose they are: only what protects leaves."""
    disowned: Mapping[EventIdentity, Collection[str]] = field(default_factory=dict)
    """The keys of these that are another's: no command carries them."""

    def blocks(self, event: TaggedEvent) -> bool:
        """Whether nothing about an event leaves but what protects, and that without the key."""
        return (event.source, event.id) in self.contested


def has_conflicts(connection: Connection) -> bool:
    """Whether there is any conflict, decided or not."""
    query = select(tables.key_conflict.c.key_id).limit(1)
    return connection.execute(query).first() is not None


def load_conflicted_keys(
    connection: Connection, events: Iterable[TaggedEvent], policy: Policy
) -> ConflictedKeys:
    """What key conflicts say about these events, as far as that is committed."""
    if not has_conflicts(connection):
        return ConflictedKeys()
    column = tables.key_conflict.c
    keyed: defaultdict[UUID, list[tuple[TaggedEvent, str]]] = defaultdict(list)
    for one in events:
        for name, value in identifying_keys(one.type, one.decision_fields, policy).items():
            keyed[key_id(name, value)].append((one, name))
    contested: defaultdict[EventIdentity, set[str]] = defaultdict(set)
    without: defaultdict[EventIdentity, set[str]] = defaultdict(set)
    query = select(column.key_id, column.owner)
    for row in select_in(connection, query, column.key_id, keyed):
        for one, name in keyed[row.key_id]:
            if row.owner is None:
                contested[one.source, one.id].add(name)
            elif row.owner != one.subject:
                without[one.source, one.id].add(name)
    return ConflictedKeys(contested=contested, disowned=without)


def record_keys(
    connection: Connection, plans: Iterable[IngestionPlan], policy: Policy, now: datetime
) -> set[str]:
    """Note the keys of new events; the subjects who claim one that was another's alone until now.

    The caller has them looked at (`look_again`) once it has its clocks.
    """
    claims = (
        (one.subject, identifying_keys(one.event.type, one.event.decision_fields, policy))
        for one in plans
    )
    return _record_claims(connection, claims, now)


def schedule_rescan(
    connection: Connection,
    subjects: Collection[str],
    now: datetime,
    beside: Collection[str] = (),
) -> None:
    """Make the records of these subjects due for a look at `now`, or sooner; takes their locks.

    And those of the subjects `beside` them, which the caller needs too: all in one order.
    """
    if not subjects:
        return
    lock_subjects(connection, {*subjects, *beside}, "privacy event")
    column = tables.subject.c
    at = literal(now, column.next_due.type)
    later = or_(column.next_due.is_(None), column.next_due > at)
    looking = update(tables.subject).values(
        next_due=case((later, at), else_=column.next_due), cursor=None
    )
    update_in(connection, looking, column.subject, sorted(subjects))


def list_conflicts(connection: Connection, *, decided: bool = False) -> list[Conflict]:
    """The conflicts that wait for somebody's decision, oldest first; or all."""
    column = tables.key_conflict.c
    query = select(tables.key_conflict).order_by(column.found_at, column.name, column.value)
    rows = connection.execute(query if decided else query.where(column.owner.is_(None))).all()
    claimants = _load_claimants(connection, {row.key_id for row in rows})
    return [
        Conflict(
            name=row.name,
            value=row.value,
            found_at=row.found_at,
            owner=row.owner,
            claimants=claimants[row.key_id],
        )
        for row in rows
    ]


def count_undecided(connection: Connection) -> int:
    """How many conflicts wait."""
    query = select(func.count()).where(tables.key_conflict.c.owner.is_(None))
    return int(connection.execute(query).scalar_one())


def decide_conflict(
    connection: Connection, name: str, value: str, owner: str, policy: Policy, now: datetime
) -> list[str]:
    """Say whose a key is: its owner's commands go, the others' no longer carry it.

    The clocks that somebody else has moved by it are open again; which they are.

    Raises:
        ConflictNotFound: nobody else claims the key, or this subject does not.
        ConflictAlreadyDecided: it is decided.
    """
    row, claimants = _lock_conflict(connection, name, value)
    if owner not in claimants:
        raise ConflictNotFound(f"{name}={value}: not claimed by {owner}")
    if row.owner is not None:
        raise ConflictAlreadyDecided(f"{name}={value}")
    _set_owner(connection, row, owner)
    opened = disowned_keys.reset_foreign_clocks(connection, name, value, owner, policy, now)
    _rescan_everyone(connection, row, claimants, policy, now)
    return opened


def reopen_conflict(
    connection: Connection, name: str, value: str, policy: Policy, now: datetime
) -> None:
    """Take back what was decided: nothing about any of them leaves, and what is out is recalled.

    Raises:
        ConflictNotFound: nobody else claims the key.
    """
    row, claimants = _lock_conflict(connection, name, value)
    _set_owner(connection, row, None)
    _rescan_everyone(connection, row, claimants, policy, now)


def rebuild_keys(connection: Connection, policy: Policy, now: datetime) -> None:
    """Note the keys of all events anew: another policy may say that other fields identify.

    What was decided of a key that any event has stands. The caller has every record looked at, and nobody
    records meanwhile.
    """
    conflict = tables.key_conflict
    connection.execute(conflict.delete().where(conflict.c.owner.is_(None)))
    for table in (tables.claimant, tables.identifier):
        connection.execute(table.delete())
    types = [
        name
        for name, event in policy.events.items()
        if any(one.identifies for one in event.fields.values())
    ]
    column = tables.event.c
    query = select(column.event_id).where(column.type.in_(types)).order_by(column.event_id)
    after = UUID(int=0)
    while (
        ids := connection.execute(query.where(column.event_id > after).limit(_CHUNK_SIZE))
        .scalars()
        .all()
    ):
        events = load_tagged_events(connection, ids, policy).values()
        _record_claims(connection, _claims(events, policy), now)
        after = ids[-1]
    has_it = select(tables.identifier.c.key_id).where(
        tables.identifier.c.key_id == conflict.c.key_id
    )
    # Else it would name its owner for ever.
    connection.execute(conflict.delete().where(~has_it.exists()))


def purge_keys(connection: Connection, events: Collection[TaggedEvent], policy: Policy) -> None:
    """Let go of the keys of events that are forgotten, with the last event that has them."""
    counts, _ = _count_claims(_claims(events, policy))
    contested: list[tuple[UUID, str, int]] = []
    changed = []
    column = tables.identifier.c
    for row in list(select_in(connection, select(tables.identifier), column.key_id, counts)):
        if row.subject is None:
            contested += [(row.key_id, *one) for one in counts[row.key_id].items()]
        else:
            left = row.events - counts[row.key_id].total()
            changed.append({"key_id": row.key_id, "events": left})
    update_each(connection, tables.identifier, changed)
    gone = {one["key_id"] for one in changed if one["events"] <= 0}
    for table in (tables.key_conflict, tables.identifier):
        delete_in(connection, table, table.c.key_id, gone)
    if contested:
        _purge_claims(connection, contested)


def _purge_claims(connection: Connection, claims: Sequence[tuple[UUID, str, int]]) -> None:
    claimant, conflict = tables.claimant, tables.key_conflict
    for key, subject, events in claims:
        own = (claimant.c.key_id == key, claimant.c.subject == subject)
        connection.execute(update(claimant).where(*own).values(events=claimant.c.events - events))
        gone = connection.execute(claimant.delete().where(*own, claimant.c.events <= 0)).rowcount
        if gone:  # the key was theirs: it is nobody's now
            owned = (conflict.c.key_id == key, conflict.c.owner == subject)
            connection.execute(update(conflict).where(*owned).values(owner=_NO_OWNER))
    keys = {key for key, _, _ in claims}
    left = {key for key, those in _load_claimants(connection, keys).items() if those}
    for table in (conflict, tables.identifier):
        delete_in(connection, table, table.c.key_id, keys - left)


_Claims = Iterable[tuple[str | None, Mapping[str, str]]]
"""The subjects of events, each with its event's keys."""


def _claims(events: Iterable[TaggedEvent], policy: Policy) -> _Claims:
    return (
        (one.subject, identifying_keys(one.type, one.decision_fields, policy)) for one in events
    )


def _count_claims(claims: _Claims) -> tuple[dict[UUID, Counter[str]], dict[UUID, tuple[str, str]]]:
    """By key: how many events of each subject have it, and what it is."""
    counts: defaultdict[UUID, Counter[str]] = defaultdict(Counter)
    written: dict[UUID, tuple[str, str]] = {}
    for subject, keys in claims:
        for name, value in keys.items() if subject else ():
            key = key_id(name, value)
            counts[key][subject or ""] += 1
            written[key] = name, value
    return counts, written


def _record_claims(connection: Connection, claims: _Claims, now: datetime) -> set[str]:
    counts, written = _count_claims(claims)
    rows = [
        {"key_id": key, "subject": min(counts[key]), "events": counts[key].total()}
        for key in sorted(counts)
    ]
    # Whoever notes one of these keys at the same time is waited for, or waits until this is committed.
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
    claiming: list[dict[str, Any]] = []
    found: dict[UUID, set[str]] = {}
    for row in sorted(contested, key=lambda one: one.key_id):
        claimed = counts[row.key_id].copy()
        if row.subject is not None:  # one subject's alone until now
            claimed[row.subject] += row.events - claimed.total()
            found[row.key_id] = set(claimed)
        claiming += [
            {"key_id": row.key_id, "subject": subject, "events": events}
            for subject, events in sorted(claimed.items())
        ]
    insert_or_add(connection, tables.claimant, claiming, "events")
    update_each(
        connection,
        tables.identifier,
        [{"key_id": row.key_id, "subject": None, "events": 0} for row in contested],
    )
    names = ({"key_id": key, "name": written[key][0], "value": written[key][1]} for key in found)
    insert_or_ignore(
        connection, tables.key_conflict, [{**one, "found_at": now, "owner": None} for one in names]
    )
    return set().union(*found.values())


def _load_claimants(
    connection: Connection, keys: Collection[UUID]
) -> Mapping[UUID, dict[str, int]]:
    found: defaultdict[UUID, dict[str, int]] = defaultdict(dict)
    column = tables.claimant.c
    query = select(tables.claimant).order_by(column.key_id, column.subject)
    for row in select_in(connection, query, column.key_id, keys):
        found[row.key_id][row.subject] = row.events
    return {key: found[key] for key in keys}


def _lock_conflict(
    connection: Connection, name: str, value: str
) -> tuple[Row[Any], dict[str, int]]:
    """A conflict with those who claim its key; nobody else claims it until the transaction ends."""
    key = key_id(name, value)
    identifier, conflict = tables.identifier, tables.key_conflict
    connection.execute(select(identifier).where(identifier.c.key_id == key).with_for_update())
    row = connection.execute(
        select(conflict).where(conflict.c.key_id == key).with_for_update()
    ).one_or_none()
    if row is None:
        raise ConflictNotFound(f"{name}={value}: no two subjects claim it")
    return row, _load_claimants(connection, {key})[key]


def _rescan_everyone(
    connection: Connection,
    conflict: Row[Any],
    claimants: Collection[str],
    policy: Policy,
    now: datetime,
) -> None:
    """Look at the records of who claims a key, and of whom events that have it only mention.

    These are searched for, by the event types that mention somebody: nothing else leads to them.
    """
    schedule_rescan(connection, claimants, now)
    event, record = tables.event, tables.record
    mentioning = [
        type
        for type, kind in policy.events.items()
        if conflict.name in kind.fields
        and kind.fields[conflict.name].identifies
        and any(holding.subject for holding in kind.holdings)
    ]
    has_key = encode_decision_fields({conflict.name: conflict.value})[1:-1]
    query = select(event.c.event_id).where(
        event.c.type.in_(mentioning), event.c.deciding.contains(has_key, autoescape=True)
    )
    ids = connection.execute(query).scalars().all() if mentioning else ()
    records = sorted(
        record_id(identity, one.source, one.id, subject)
        for identity, one in load_tagged_events(connection, ids, policy).items()
        for subject in one.subjects
    )
    update_in(connection, update(record).values(next_due=now), record.c.record_id, records)


def _set_owner(connection: Connection, row: Row[Any], owner: str | None) -> None:
    conflict = tables.key_conflict
    connection.execute(update(conflict).where(conflict.c.key_id == row.key_id).values(owner=owner))
