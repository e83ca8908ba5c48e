"""Relaying: the outbox goes out. Nothing is `sent` before the broker has said so.

Two transactions a batch. The first leases the commands and marks them `sending`: from then on they may
be out, whatever crashes. The second takes the one lock of their subjects, looks again at clocks, epochs
and `not_before`, produces, waits for the delivery reports and marks them `sent`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Connection, Row, and_, func, literal_column, not_, or_, select

from services.deleter.planning import due_steps
from services.ledger import clocks, journal, tables
from services.ledger.facts import known, tagged_events
from services.ledger.rows import fetch, insert
from services.policy.model import Policy
from services.policy.reasons import ARTICLES, CHECKS
from services.policy.tagging import Tagged, business_keys

Told = Mapping[UUID, tuple[Tagged, ...]]
"""By command, the events of its records, in the order of its records."""
_ABOUT_OTHERS = ("recall", "verify")
"""Actions that are about the records of another command, and do nothing to them themselves."""
_CHECKED = {reason: action for action, reason in CHECKS.items()}
_AT_ONCE = 10_000
"""Records that are put together and sent before the next are."""
_COUNTED = 100
"""Commands whose records are counted at once."""
_TOLD = tuple(
    tables.command.c[name]
    for name in (
        *("command_id", "system", "subject", "names_subject", "action", "rules", "purposes"),
        *("reason", "epoch", "seq", "due_at", "not_before", "erase_by", "policy_version"),
        *("supersedes", "request", "state", "attempt"),
    )
)
"""What a relay needs of a command."""
LEASE = timedelta(seconds=60)
"""How long a batch may take to go out before another relay tries it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stops:
    """Systems to which nothing goes (`paused`), or nothing new (`drained`)."""

    paused: frozenset[str] = frozenset()
    drained: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One command as it goes onto the bus."""

    system: str
    key: str
    value: Mapping[str, Any]
    """The fields of the `command` schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The broker's word on where a command stands."""

    topic: str
    partition: int
    offset: int


class Enclosures(Protocol):
    """What goes along with commands that serve a request, beside their records."""

    def of(
        self, connection: Connection, rows: Sequence[Row[Any]]
    ) -> Mapping[UUID, Mapping[str, Any] | None]:
        """Further fields of the `command` schema by command; None where a command has to wait for them."""


class NothingEnclosed:
    """Nothing goes along."""

    def of(
        self, connection: Connection, rows: Sequence[Row[Any]]
    ) -> Mapping[UUID, Mapping[str, Any] | None]:
        """No further field."""
        return {}


NOTHING_ENCLOSED = NothingEnclosed()


class Outlet(Protocol):
    """Where commands go."""

    def send(self, commands: Sequence[Outgoing]) -> Sequence[Delivery]:
        """Send all, and return only when each has its delivery report; raise when one fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often a command is repeated, and how long each repetition may be obeyed."""

    base: timedelta = timedelta(minutes=1)
    cap: timedelta = timedelta(hours=6)
    validity: timedelta = timedelta(days=7)

    def wait(self, attempt: int) -> timedelta:
        """How long after an attempt, counted from 1, the next follows."""
        doubled: timedelta = self.base * (1 << min(attempt - 1, 30))
        return min(self.cap, doubled)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One command that went out, with what metrics and the terminal show of it."""

    command_id: UUID
    system: str
    action: str
    attempt: int
    due_at: datetime
    at: datetime


def lease(
    connection: Connection,
    now: datetime,
    stops: Stops,
    *,
    limit: int,
    records: int | None = None,
) -> list[UUID]:
    """Take commands whose next attempt is due, so that no other relay does, and mark them `sending`.

    No more than `limit`, and no more, but for the last, than name so many `records`.
    """
    column = tables.command.c
    query = (
        select(column.command_id, column.state, column.action, column.supersedes)
        .where(column.next_attempt_at <= now, column.next_attempt_at.is_not(None))
        .where(column.system.not_in(stops.paused))
        .where(not_(and_(column.system.in_(stops.drained), column.state == "unsent")))
        .order_by(column.next_attempt_at, column.seq)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    taken: Sequence[Any] = connection.execute(query).all()
    if records is not None:
        taken = next(_parts(connection, taken, {}, records), [])
    journal.transition(connection, taken, "sending", now, next_attempt_at=now + LEASE)
    return [row.command_id for row in taken]


def relay(
    connection: Connection,
    leased: Collection[UUID],
    outlet: Outlet,
    policy: Policy,
    now: datetime,
    patience: Patience,
    told: Told = MappingProxyType({}),
    enclosures: Enclosures = NOTHING_ENCLOSED,
) -> list[Sent]:
    """Send leased commands that may still go, and mark them sent once they are delivered.

    `told` are the events of such commands as are claimed just now; the others' are read. What has to
    wait for its enclosure is tried again after its lease.
    """
    anchors, spoken_of = _lock_what_decides(connection, leased)
    column = tables.command.c
    query = select(*_TOLD).order_by(column.subject, column.seq).with_for_update()
    rows = [
        row
        for row in fetch(connection, query, column.command_id, leased)
        if row.state in ("sending", "sent") and (row.not_before is None or row.not_before <= now)
    ]
    rows = _of_current_epochs(connection, rows)
    rows = _still_wanted(connection, rows, spoken_of, anchors, policy, now)
    enclosed = enclosures.of(connection, [row for row in rows if row.request is not None])
    rows = [row for row in rows if enclosed.get(row.command_id, {}) is not None]
    if not rows:
        return []
    deliveries = [
        delivery
        for part in _parts(connection, rows, told, _AT_ONCE)
        for delivery in outlet.send(
            compose(connection, part, policy, now, patience, told, enclosed)
        )
    ]
    _mark_sent(connection, rows, now, patience)
    insert(
        connection,
        tables.attempt,
        [
            {
                "command_id": row.command_id,
                "attempt": row.attempt + 1,
                "at": now,
                "topic": delivery.topic,
                "partition": delivery.partition,
                "offset": delivery.offset,
            }
            for row, delivery in zip(rows, deliveries, strict=True)
        ],
    )
    return [
        Sent(
            command_id=row.command_id,
            system=row.system,
            action=row.action,
            attempt=row.attempt + 1,
            due_at=row.due_at,
            at=now,
        )
        for row in rows
    ]


def _mark_sent(
    connection: Connection, rows: Sequence[Row[Any]], now: datetime, patience: Patience
) -> None:
    """Mark the attempt of each; those of the same number are marked together."""
    by_attempt: defaultdict[int, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        by_attempt[row.attempt + 1].append(row)
    for attempt, group in by_attempt.items():
        changes = {"attempt": attempt, "next_attempt_at": now + patience.wait(attempt)}
        if attempt == 1:
            changes["first_sent_at"] = now
        journal.transition(connection, group, "sent", now, **changes)


def first_sent_since(connection: Connection, since: datetime) -> int:
    """How many commands went out for the first time since an instant; checks destroy nothing."""
    counted = tables.command.c.action != literal_column("'verify'")  # as its index has it
    query = select(func.count()).where(tables.command.c.first_sent_at > since, counted)
    return int(connection.execute(query).scalar_one())


def compose(
    connection: Connection,
    rows: Sequence[Row[Any]],
    policy: Policy,
    now: datetime,
    patience: Patience,
    told: Told = MappingProxyType({}),
    enclosed: Mapping[UUID, Mapping[str, Any] | None] = MappingProxyType({}),
) -> list[Outgoing]:
    """The commands as they go onto the bus: records by event and business keys, never a body."""
    members = _members(connection, {_covers(row) for row in rows} - told.keys())
    ids = {one.event_id for group in members.values() for one in group}
    events = tagged_events(connection, ids, policy)
    events_of = {
        **told,
        **{
            command: tuple(events[member.event_id] for member in its)
            for command, its in members.items()
        },
    }
    return [
        _outgoing(
            row,
            events_of[_covers(row)],
            policy,
            now,
            patience,
            enclosed.get(row.command_id) or {},
        )
        for row in rows
    ]


def _parts(
    connection: Connection, rows: Sequence[Row[Any]], told: Told, at_once: int
) -> Iterator[Sequence[Row[Any]]]:
    """The rows in parts that name only so many records: what one part takes has a bound."""
    column = tables.member.c.command_id
    query = select(column, func.count().label("records")).group_by(column)
    part: list[Row[Any]] = []
    size = 0
    for start in range(0, len(rows), _COUNTED):
        some = rows[start : start + _COUNTED]
        unknown = {_covers(row) for row in some} - told.keys()
        sizes = {row.command_id: row.records for row in fetch(connection, query, column, unknown)}
        for row in some:
            covers = _covers(row)
            part.append(row)
            size += len(told[covers]) if covers in told else sizes[covers]
            if size >= at_once:
                yield part
                part, size = [], 0
    if part:
        yield part


def _covers(row: Row[Any]) -> UUID:
    """The command whose records this one is about: those of what it takes back, or checks."""
    covers: UUID = row.supersedes if row.action in _ABOUT_OTHERS else row.command_id
    return covers


def _outgoing(
    row: Row[Any],
    tagged: Sequence[Tagged],
    policy: Policy,
    now: datetime,
    patience: Patience,
    enclosed: Mapping[str, Any],
) -> Outgoing:
    value = {
        "command_id": str(row.command_id),
        "system": row.system,
        "subject": row.subject if row.names_subject else None,
        "action": row.action,
        "records": [
            {
                "source": one.source,
                "id": one.id,
                "type": one.type,
                "time": one.time,
                "keys": business_keys(one, policy, naming_subject=row.names_subject),
            }
            for one in tagged
        ],
        "categories": sorted({c for one in tagged for c in policy.events[one.type].categories}),
        "rules": json.loads(row.rules),
        "purposes": json.loads(row.purposes),
        "policy_version": row.policy_version,
        "article": ARTICLES[row.reason],
        "reason": row.reason,
        "not_before": row.not_before,
        "erase_by": row.erase_by,
        "valid_until": now + patience.validity,
        "epoch": row.epoch,
        "seq": row.seq,
        "attempt": row.attempt + 1,
        "issued_at": now,
        "supersedes": str(row.supersedes) if row.supersedes else None,
        "request": row.request,
        "verifies": _CHECKED.get(row.reason),
        **enclosed,
    }
    key = row.subject if row.names_subject else tagged[0].id
    return Outgoing(system=row.system, key=key, value=value)


def _members(connection: Connection, commands: Collection[UUID]) -> Mapping[UUID, list[Row[Any]]]:
    member = tables.member.c
    query = (
        select(member.command_id, member.step, tables.record.c.event_id)
        .join(tables.record, tables.record.c.record_id == member.record_id)
        .order_by(member.command_id, member.record_id)
    )
    found: defaultdict[UUID, list[Row[Any]]] = defaultdict(list)
    for row in fetch(connection, query, member.command_id, commands):
        found[row.command_id].append(row)
    return found


def _lock_what_decides(
    connection: Connection, leased: Collection[UUID]
) -> tuple[dict[UUID, datetime | None], set[str]]:
    """Lock clocks, then subjects: whatever could forbid a command waits until it is out or not.

    Says where the clocks stand, and of which subjects anything was said.
    """
    column = tables.command_clock.c
    ids = {
        row.clock_id
        for row in fetch(connection, select(column.clock_id), column.command_id, leased)
    }
    locked = clocks.read(connection, ids)
    subjects = fetch(
        connection, select(tables.command.c.subject), tables.command.c.command_id, leased
    )
    found = journal.lock_subjects(connection, {row.subject for row in subjects})
    anchors = {identity: clock.anchor for identity, clock in locked.items()}
    return anchors, {subject for subject, row in found.items() if row.acts}


def _still_wanted(
    connection: Connection,
    rows: Sequence[Row[Any]],
    spoken_of: Collection[str],
    anchors: Mapping[UUID, datetime | None],
    policy: Policy,
    now: datetime,
) -> list[Row[Any]]:
    """The commands without those that what was said forbids now; those are taken back.

    Pseudonymisation waits for everybody whom an event names, so that it is always looked at.
    """
    asked = {
        row.command_id
        for row in rows
        if (row.subject in spoken_of or row.action == "pseudonymise")
        and row.action not in _ABOUT_OTHERS
    }
    if not asked:
        return list(rows)
    members = _members(connection, asked)
    events = tagged_events(
        connection, {one.event_id for those in members.values() for one in those}, policy
    )
    subjects = {subject for tagged in events.values() for subject in tagged.subjects}
    facts = known(connection, anchors, subjects, policy)
    forbidden = []
    for row in rows:
        for one in members[row.command_id] if row.command_id in asked else ():
            due = due_steps(events[one.event_id], row.subject, facts, policy, now)
            if (row.system, one.step) not in {(step.system, step.key) for step in due}:
                forbidden.append(row)
                break
    for command in journal.take_back(connection, forbidden, policy, now):
        journal.look_again(connection, command, now)
    overtaken = {row.command_id for row in forbidden}
    return [row for row in rows if row.command_id not in overtaken]


def _of_current_epochs(connection: Connection, rows: Sequence[Row[Any]]) -> list[Row[Any]]:
    column = tables.command_clock.c
    query = (
        select(column.command_id)
        .join(tables.clock, tables.clock.c.clock_id == column.clock_id)
        .where(
            or_(tables.clock.c.epoch != column.epoch, tables.clock.c.backfill.is_not(None)),
        )
    )
    ids = {row.command_id for row in rows}
    overtaken = {row.command_id for row in fetch(connection, query, column.command_id, ids)}
    return [row for row in rows if row.command_id not in overtaken]
