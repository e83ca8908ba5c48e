"""Relaying: the outbox goes out. Nothing is `sent` before the broker has said so.

Two transactions a batch. The first leases the commands and marks them `sending`: from then on they may
be out, whatever crashes. The second locks all that decides, looks again whether facts and policy still
ask for each of their records, produces, waits for the delivery reports and marks them `sent`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, Protocol
from uuid import UUID

from sqlalchemy import Connection, Row, and_, func, not_, select

from services.deleter.emission import WantedCommands, referenced_command, wanted_commands
from services.deleter.withheld import is_withheld
from services.ledger import outbox, tables
from services.ledger.blind_spots import NO_BLIND_SPOTS, BlindSpots
from services.policy.actions import PROTECTIVE
from services.policy.model import Policy
from services.policy.reasons import ARTICLES, VERIFICATION_REASONS
from services.policy.retry import backoff
from services.policy.tagging import TaggedEvent, business_keys
from services.storage.bulk import insert, select_in

_VERIFIED_ACTIONS = {reason: action for action, reason in VERIFICATION_REASONS.items()}
_MAX_RECORDS = 10_000
"""Records that are put together and sent before the next are."""
SCOPE: Final = "deleter"
"""What is paused where nothing is to leave at all."""
_SYSTEM = "system:"
LEASE = timedelta(seconds=60)
"""How long a batch may take to go out before another relay tries it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PausedSystems:
    """Systems to which nothing goes (`paused`), or nothing new (`drained`), but what protects."""

    paused: frozenset[str] = frozenset()
    drained: frozenset[str] = frozenset()
    everything: bool = False
    """Whether the deleter itself is paused."""

    @classmethod
    def load(cls, connection: Connection) -> PausedSystems:
        """What is paused and drained by now."""
        found = {row.scope: row.state for row in connection.execute(select(tables.control))}
        systems = {
            scope.removeprefix(_SYSTEM): state
            for scope, state in found.items()
            if scope.startswith(_SYSTEM)
        }
        return cls(
            paused=frozenset(name for name, state in systems.items() if state == "paused"),
            drained=frozenset(name for name, state in systems.items() if state == "drained"),
            everything=found.get(SCOPE) == "paused",
        )

    def holds_back(self, command: Row[Any]) -> bool:
        """Whether a command that is leased waits for a pause; one that is drained has begun."""
        if command.action in PROTECTIVE:
            return False
        return self.everything or command.system in self.paused


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandMessage:
    """One command as it goes onto the bus."""

    system: str
    key: str
    value: Mapping[str, Any]
    """The fields of the `command` schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordMetadata:
    """The broker's word on where a command stands."""

    topic: str
    partition: int
    offset: int


class CommandAttachments(Protocol):
    """What goes along with commands that serve a request, beside their records."""

    def for_commands(
        self, connection: Connection, rows: Sequence[Row[Any]]
    ) -> Mapping[UUID, Mapping[str, Any] | None]:
        """Further fields of the `command` schema by command; None where a command has to wait for them."""


class NoAttachments:
    """Nothing goes along."""

    def for_commands(
        self, connection: Connection, rows: Sequence[Row[Any]]
    ) -> Mapping[UUID, Mapping[str, Any] | None]:
        """No further field."""
        return {}


NO_ATTACHMENTS = NoAttachments()


class CommandPublisher(Protocol):
    """Where commands go."""

    def send(self, commands: Sequence[CommandMessage]) -> Sequence[RecordMetadata]:
        """Send all, and return only when each has its delivery report; raise when one fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a command is repeated, and how long each repetition may be obeyed."""

    base: timedelta = timedelta(minutes=1)
    cap: timedelta = timedelta(hours=6)
    validity: timedelta = timedelta(days=7)

    def delay_after(self, attempt: int) -> timedelta:
        """How long after an attempt, counted from 1, the next follows."""
        return backoff(self.base, self.cap, attempt)


@dataclass(frozen=True, slots=True, kw_only=True)
class SentCommand:
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
    paused: PausedSystems,
    *,
    limit: int,
    records: int | None = None,
    actions: Collection[str] | None = None,
) -> list[UUID]:
    """Take commands whose next attempt is due, so that no other relay does, and mark them `sending`.

    No more than `limit`, and no more, but for the last, than name so many `records`. With `actions` only
    these are taken.
    """
    column = tables.command.c
    query = (
        select(column.command_id, column.state, column.action, column.supersedes)
        .where(column.next_attempt_at <= now, column.next_attempt_at.is_not(None))
        .where(column.system.not_in(paused.paused))
        .where(not_(and_(column.system.in_(paused.drained), column.state == "unsent")))
        .order_by(column.next_attempt_at, column.seq)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    if actions is not None:
        query = query.where(column.action.in_(sorted(actions)))
    taken: Sequence[Any] = connection.execute(query).all()
    if records is not None:
        taken = next(_chunks_by_records(taken, _count_records(connection, taken), records), [])
    outbox.transition(connection, taken, "sending", now, next_attempt_at=now + LEASE)
    return [row.command_id for row in taken]


def dispatch(
    connection: Connection,
    leased: Collection[UUID],
    publisher: CommandPublisher,
    policy: Policy,
    now: datetime,
    retry_policy: RetryPolicy,
    known_events: Mapping[UUID, TaggedEvent] = MappingProxyType({}),
    attachments: CommandAttachments = NO_ATTACHMENTS,
    blind_spots: BlindSpots = NO_BLIND_SPOTS,
) -> list[SentCommand]:
    """Send leased commands that are still asked for, and mark them sent once they are delivered.

    `claimed` are the events of what is claimed just now, by id; the others are read. What has to wait
    for its enclosure, or is withheld by `blindness`, is tried again after its lease; so is what somebody
    has paused since it was leased.
    """
    wanted = wanted_commands(connection, leased, policy, now, known_events)
    paused = PausedSystems.load(connection)  # under the locks: waiting for them takes its time
    rows = [
        row
        for row in wanted.commands
        if not paused.holds_back(row)
        and not any(
            is_withheld(blind_spots, row.action, row.subject, one, policy)
            for one in (wanted.events_of(row) if blind_spots else ())
        )
    ]
    attached = attachments.for_commands(
        connection, [row for row in rows if row.request is not None]
    )
    rows = [row for row in rows if attached.get(row.command_id, {}) is not None]
    if not rows:
        return []
    deliveries = [
        delivery
        for part in _chunks_by_records(rows, wanted.record_counts, _MAX_RECORDS)
        for delivery in publisher.send(
            build_messages(part, wanted, policy, now, retry_policy, attached)
        )
    ]
    _mark_sent(connection, rows, now, retry_policy)
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
    connection: Connection, rows: Sequence[Row[Any]], now: datetime, retry_policy: RetryPolicy
) -> None:
    """Mark the attempt of each; those of the same number are marked together."""
    by_attempt: defaultdict[int, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        by_attempt[row.attempt + 1].append(row)
    for attempt, group in by_attempt.items():
        changes = {"attempt": attempt, "next_attempt_at": now + retry_policy.delay_after(attempt)}
        if attempt == 1:
            changes["first_sent_at"] = now
        outbox.transition(connection, group, "sent", now, **changes)


def build_messages(
    rows: Sequence[Row[Any]],
    wanted: WantedCommands,
    policy: Policy,
    now: datetime,
    retry_policy: RetryPolicy,
    attached: Mapping[UUID, Mapping[str, Any] | None] = MappingProxyType({}),
) -> list[CommandMessage]:
    """The commands as they go onto the bus: records by event and business keys, never a body."""
    return [
        _build_message(
            row,
            wanted,
            policy,
            now,
            retry_policy,
            attached.get(row.command_id) or {},
        )
        for row in rows
    ]


def _count_records(connection: Connection, rows: Sequence[Row[Any]]) -> Mapping[UUID, int]:
    """How many records each command names, by the command whose records they are."""
    column = tables.member.c.command_id
    query = select(column, func.count().label("records")).group_by(column)
    found = select_in(connection, query, column, {referenced_command(row) for row in rows})
    return {row.command_id: row.records for row in found}


def _chunks_by_records(
    rows: Sequence[Row[Any]], sizes: Mapping[UUID, int], at_once: int
) -> Iterator[Sequence[Row[Any]]]:
    """The rows in parts that name only so many records: what one part takes has a bound."""
    part: list[Row[Any]] = []
    size = 0
    for row in rows:
        part.append(row)
        size += sizes.get(referenced_command(row), 0)
        if size >= at_once:
            yield part
            part, size = [], 0
    if part:
        yield part


def _build_message(
    row: Row[Any],
    wanted: WantedCommands,
    policy: Policy,
    now: datetime,
    retry_policy: RetryPolicy,
    attached: Mapping[str, Any],
) -> CommandMessage:
    tagged = wanted.events_of(row)
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
                "keys": business_keys(
                    one,
                    policy,
                    row.subject,
                    names_subject=row.names_subject,
                    excluded=wanted.keys_left_out(row, one),
                ),
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
        "valid_until": now + retry_policy.validity,
        "epoch": row.epoch,
        "seq": row.seq,
        "attempt": row.attempt + 1,
        "issued_at": now,
        "supersedes": str(row.supersedes) if row.supersedes else None,
        "request": row.request,
        "verifies": _VERIFIED_ACTIONS.get(row.reason),
        **attached,
    }
    key = row.subject if row.names_subject else tagged[0].id
    return CommandMessage(system=row.system, key=key, value=value)
