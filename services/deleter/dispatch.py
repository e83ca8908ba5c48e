"""Send commands from the outbox to their systems; a command is `sent` once the broker has confirmed it.

A batch takes two transactions. The first leases commands and marks them `sending`: from then on they may
have been sent, even after a crash. The second locks the facts, checks again that facts and policy still
require each command for each of its records, sends, waits for the delivery reports and marks the commands
`sent`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import Connection, and_, func, not_, select

from services.deleter.command_records import (
    NOTHING_CLAIMED,
    Claimed,
    referenced_command,
)
from services.deleter.emission import wanted_commands
from services.deleter.message import (
    NO_ATTACHMENTS,
    CommandAttachments,
    CommandPublisher,
    build_messages,
)
from services.deleter.paused_systems import PausedSystems
from services.deleter.withheld import is_withheld
from services.ledger import state_changes, tables
from services.ledger.blind_spots import NO_BLIND_SPOTS, BlindSpots
from services.ledger.command_state import State
from services.ledger.due import is_due
from services.ledger.messages import MessageItem, insert_messages
from services.ledger.rows import CommandRow
from services.policy.model import Policy
from services.policy.retry import backoff
from services.storage.bulk import select_in

_MAX_RECORDS = 10_000
"""The number of records that are read and sent before the next ones, which limits memory."""
LEASE: Final = timedelta(seconds=60)
"""How long sending a batch may take before another dispatch takes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a command is repeated, and for how long each repetition may be obeyed.

    With the defaults the waits after each attempt are 1, 2, 4, 8 ... minutes, and never over 6 hours.
    """

    base: timedelta = timedelta(minutes=1)
    cap: timedelta = timedelta(hours=6)
    validity: timedelta = timedelta(days=7)

    def delay_after(self, attempt: int) -> timedelta:
        """Return how long after an attempt, counted from 1, the next one follows."""
        return backoff(self.base, self.cap, attempt)


class SentCommand(NamedTuple):
    """A command that was sent, with the values that metrics and the terminal show; instants are UTC."""

    command_id: UUID
    system: str
    action: str
    attempt: int
    due_at: datetime
    at: datetime


class _OutboxEntry(NamedTuple):
    """The columns of a command that a lease needs."""

    command_id: UUID
    state: State
    system: str
    action: str
    supersedes: UUID | None
    message_id: int | None
    item: int | None


def lease(
    connection: Connection,
    now: datetime,
    paused: PausedSystems,
    *,
    limit: int,
    records: int | None = None,
    actions: Collection[str] | None = None,
) -> list[UUID]:
    """Lease commands whose next attempt is due, so that no other dispatch takes them; mark them `sending`.

    At most `limit` commands, and, except for the last, at most so many that name `records` records. With
    `actions` only commands of these are taken. `now` is UTC, by the database's clock.
    """
    column = tables.command.c
    query = (
        select(*(column[name] for name in _OutboxEntry._fields))
        .where(is_due(column.next_attempt_at, now))
        .where(column.system.not_in(paused.paused))
        .where(not_(and_(column.system.in_(paused.drained), column.state == "unsent")))
        .order_by(column.next_attempt_at, column.seq)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    if actions is not None:
        query = query.where(column.action.in_(sorted(actions)))
    entries: Sequence[_OutboxEntry] = [_OutboxEntry._make(row) for row in connection.execute(query)]
    if records is not None:
        counts = _count_records(connection, entries)
        sizes = [counts.get(referenced_command(entry), 0) for entry in entries]
        entries = next(_chunks_by_records(entries, sizes, records), [])
    state_changes.transition(connection, entries, "sending", now, next_attempt_at=now + LEASE)
    return [entry.command_id for entry in entries]


def dispatch(
    connection: Connection,
    leased: Collection[UUID],
    publisher: CommandPublisher,
    policy: Policy,
    now: datetime,
    retry_policy: RetryPolicy,
    claimed: Claimed = NOTHING_CLAIMED,
    attachments: CommandAttachments = NO_ATTACHMENTS,
    blind_spots: BlindSpots = NO_BLIND_SPOTS,
) -> list[SentCommand]:
    """Send leased commands that are still wanted, and return those that were sent.

    1. Lock the facts, and drop commands that facts and policy no longer require.
    2. Leave out commands that have to wait for a pause that began after the lease, for a parked event
       (`blind_spots`) or for their attachment. They are tried again when their lease is over.
    3. Send, and wait for the delivery reports.
    4. Store each message with its place on the topic, and mark its commands as sent.

    Some of the commands may be `claimed` just now, so that less is read again.

    Raises:
        DeliveryFailed: the broker did not confirm every command; the caller's transaction is rolled back.
    """
    # Step 1: lock the facts, and drop commands that are no longer wanted.
    wanted = wanted_commands(connection, leased, policy, now, claimed)
    # Step 2: leave out commands that wait. Pauses are read under the locks: waiting for those takes time.
    paused = PausedSystems.load(connection)
    rows = [
        row
        for row in wanted.commands
        if not paused.holds_back(row)
        and not any(
            is_withheld(blind_spots, row.action, row.subject, event, policy)
            for event in (wanted.events_of(row) if blind_spots else ())
        )
    ]
    attached = attachments.for_commands(
        connection, [row for row in rows if row.request is not None]
    )
    if attached:
        rows = [row for row in rows if attached.get(row.command_id, {}) is not None]
    if not rows:
        return []
    # Step 3: send, and wait for the delivery reports.
    sizes = [len(wanted.events_of(row)) for row in rows]
    deliveries = [
        delivery
        for chunk in _chunks_by_records(rows, sizes, _MAX_RECORDS)
        for delivery in publisher.send(
            build_messages(chunk, wanted, policy, now, retry_policy.validity, attached)
        )
    ]
    # Step 4: store the messages, and mark the commands as sent.
    items = insert_messages(connection, rows, deliveries, sizes, now)
    _mark_sent(connection, rows, items, now, retry_policy)
    return [
        SentCommand(
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
    connection: Connection,
    rows: Sequence[CommandRow],
    items: Mapping[UUID, MessageItem],
    now: datetime,
    retry_policy: RetryPolicy,
) -> None:
    """Mark the attempt of each command; attempts of the same number are marked together."""
    by_attempt: defaultdict[int, list[CommandRow]] = defaultdict(list)
    for row in rows:
        by_attempt[row.attempt + 1].append(row)
    for attempt, group in by_attempt.items():
        changes = {"attempt": attempt, "next_attempt_at": now + retry_policy.delay_after(attempt)}
        if attempt == 1:
            changes["first_sent_at"] = now
        state_changes.transition(connection, group, "sent", now, items, **changes)


def _count_records(connection: Connection, entries: Sequence[_OutboxEntry]) -> Mapping[UUID, int]:
    """Return how many records each command names, by the command whose records they are."""
    column = tables.member.c.command_id
    query = select(column, func.count().label("records")).group_by(column)
    commands = {referenced_command(entry) for entry in entries}
    return {row.command_id: row.records for row in select_in(connection, query, column, commands)}


C = TypeVar("C")


def _chunks_by_records(
    commands: Sequence[C], sizes: Sequence[int], max_records: int
) -> Iterator[Sequence[C]]:
    """Return the commands in chunks that name at most so many records, except for the last command.

    `sizes` are how many records each of them names.
    """
    chunk: list[C] = []
    records = 0
    for command, size in zip(commands, sizes, strict=True):
        chunk.append(command)
        records += size
        if records >= max_records:
            yield chunk
            chunk, records = [], 0
    if chunk:
        yield chunk
