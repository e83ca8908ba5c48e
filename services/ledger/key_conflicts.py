"""Key conflicts: when two subjects have the same identifying key, an operator decides whose it is.

While several subjects claim a key and no operator has decided, no command about any of their events is sent
except restrictions without the key, and commands that were sent are recalled. After the decision the
owner's commands carry the key, and the others' do not.

Locks: keys first, then clocks, then subjects. A claim or a dispatch locks no key.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, case, func, literal, or_, select, update

from schemas.errors import TermijnError
from services.ledger import disowned_keys, tables
from services.ledger.facts import load_tagged_events
from services.ledger.identifying_keys import load_claimants
from services.ledger.subject_lock import lock_subjects
from services.policy.decision_fields import encode_decision_fields
from services.policy.ids import key_id, record_id
from services.policy.model import Policy
from services.storage.bulk import update_in


class ConflictNotFound(TermijnError):
    """No two subjects claim the key, or the named subject does not; nothing was decided.

    `termijn conflicts list` shows the keys with the subjects that claim them.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem}; see `termijn conflicts list`")


class ConflictAlreadyDecided(TermijnError):
    """The owner of the key is already decided, and commands that carry the key may have been sent.

    `termijn conflicts reopen` has them recalled first.
    """

    def __init__(self, key: str) -> None:
        super().__init__(
            f"{key}: the owner is already decided; run `termijn conflicts reopen` first"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A key that several subjects claim."""

    name: str
    value: str
    found_at: datetime
    owner: str | None
    """The subject whose key it is, once that is decided; empty if that person was purged."""
    claimants: Mapping[str, int]
    """How many events of each subject have it."""

    @property
    def key(self) -> str:
        """Return the key as operators write it."""
        return f"{self.name}={self.value}"


class _ConflictRow(NamedTuple):
    key_id: UUID
    name: str
    value: str
    owner: str | None


def schedule_rescan(
    connection: Connection,
    subjects: Collection[str],
    now: datetime,
    other_subjects: Collection[str] = (),
) -> None:
    """Make the records of these subjects due to be scanned at `now`, or sooner, and lock the subjects.

    The `other_subjects`, which the caller needs too, are locked with them, all in one order.
    """
    if not subjects:
        return
    lock_subjects(connection, {*subjects, *other_subjects}, "privacy event")
    column = tables.subject.c
    at = literal(now, column.next_due.type)
    is_later = or_(column.next_due.is_(None), column.next_due > at)
    rescan = update(tables.subject).values(
        next_due=case((is_later, at), else_=column.next_due), cursor=None
    )
    update_in(connection, rescan, column.subject, sorted(subjects))


def list_conflicts(connection: Connection, *, decided: bool = False) -> list[Conflict]:
    """Return the conflicts that are not decided yet, oldest first; with `decided` all of them."""
    column = tables.key_conflict.c
    query = select(tables.key_conflict).order_by(column.found_at, column.name, column.value)
    rows = connection.execute(query if decided else query.where(column.owner.is_(None))).all()
    claimants = load_claimants(connection, {row.key_id for row in rows})
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
    """Return how many conflicts are not decided yet."""
    query = select(func.count()).where(tables.key_conflict.c.owner.is_(None))
    return int(connection.execute(query).scalar_one())


def decide_conflict(
    connection: Connection, name: str, value: str, owner: str, policy: Policy, now: datetime
) -> list[str]:
    """Set the owner of a key: the owner's commands are sent, the others' no longer carry it.

    Clocks that another subject changed last by the key are opened again, and their names are returned.

    Raises:
        ConflictNotFound: no two subjects claim the key, or this subject does not.
        ConflictAlreadyDecided: it is decided.
    """
    row, claimants = _lock_conflict(connection, name, value)
    if owner not in claimants:
        raise ConflictNotFound(f"{name}={value}: not claimed by {owner}")
    if row.owner is not None:
        raise ConflictAlreadyDecided(f"{name}={value}")
    _set_owner(connection, row, owner)
    opened = disowned_keys.reset_foreign_clocks(connection, name, value, owner, policy, now)
    _rescan_all_subjects(connection, row, claimants, policy, now)
    return opened


def reopen_conflict(
    connection: Connection, name: str, value: str, policy: Policy, now: datetime
) -> None:
    """Undo a decision: no command about any of the claimants is sent, and sent ones are recalled.

    Raises:
        ConflictNotFound: no two subjects claim the key.
    """
    row, claimants = _lock_conflict(connection, name, value)
    _set_owner(connection, row, None)
    _rescan_all_subjects(connection, row, claimants, policy, now)


def _lock_conflict(
    connection: Connection, name: str, value: str
) -> tuple[_ConflictRow, dict[str, int]]:
    """Return a conflict with its claimants; none is added until the transaction ends."""
    key = key_id(name, value)
    identifier, conflict = tables.identifier, tables.key_conflict
    connection.execute(select(identifier).where(identifier.c.key_id == key).with_for_update())
    query = select(conflict.c.key_id, conflict.c.name, conflict.c.value, conflict.c.owner)
    row = connection.execute(query.where(conflict.c.key_id == key).with_for_update()).one_or_none()
    if row is None:
        raise ConflictNotFound(f"{name}={value}: no two subjects claim it")
    return _ConflictRow._make(row), load_claimants(connection, {key})[key]


def _rescan_all_subjects(
    connection: Connection,
    conflict: _ConflictRow,
    claimants: Collection[str],
    policy: Policy,
    now: datetime,
) -> None:
    """Schedule a check of the claimants' records, and of others that events with the key mention.

    The latter are searched by the event types that mention a subject, since no index contains them.
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
        record_id(identity, tagged.source, tagged.id, subject)
        for identity, tagged in load_tagged_events(connection, ids, policy).items()
        for subject in tagged.subjects
    )
    update_in(connection, update(record).values(next_due=now), record.c.record_id, records)


def _set_owner(connection: Connection, row: _ConflictRow, owner: str | None) -> None:
    conflict = tables.key_conflict
    connection.execute(update(conflict).where(conflict.c.key_id == row.key_id).values(owner=owner))
