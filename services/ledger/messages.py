"""The messages in which commands were sent to their systems: several commands make up one message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, func, insert, select

from schemas.cloudevents import format_rfc3339
from services.kafka.record_metadata import RecordMetadata
from services.ledger import tables
from services.ledger.item_states import write_states
from services.ledger.rows import CommandRow
from services.policy.reasons import ARTICLES
from services.storage import audit_outbox
from services.storage.audit_outbox import AuditEntry

ID_SIZE: Final = 16
"""The bytes of a command's id in a message."""
PURGED: Final = UUID(int=0)
"""In the place of a command that was purged."""


class MessageItem(NamedTuple):
    """The place of a command in a message, counted from 0."""

    message_id: int
    item: int


class KnownMessage(NamedTuple):
    """A message that is known to be sent: its offset, and the ids of its commands."""

    offset: int
    command_ids: Sequence[UUID]


def insert_messages(
    connection: Connection,
    commands: Sequence[CommandRow],
    deliveries: Sequence[RecordMetadata],
    record_counts: Sequence[int],
    now: datetime,
) -> Mapping[UUID, MessageItem]:
    """Store the messages of commands that were sent, and return the place of each command.

    `deliveries` are the places on Kafka, one for each command: commands with the same place are one
    message, in their order. `record_counts` are how many records each names; `now` is UTC.
    """
    messages: dict[RecordMetadata, list[CommandRow]] = {}
    records: Counter[RecordMetadata] = Counter()
    for command, delivery, count in zip(commands, deliveries, record_counts, strict=True):
        messages.setdefault(delivery, []).append(command)
        records[delivery] += count
    rows = [
        {
            **_message_row(
                members,
                now,
                first_attempts=sum(command.attempt == 0 for command in members),
            ),
            **delivery._asdict(),
        }
        for delivery, members in messages.items()
    ]
    bodies = [
        {**_decision(members), "records": records[delivery]}
        for delivery, members in messages.items()
    ]
    return _insert(connection, list(messages.values()), rows, bodies, now)


def insert_unconfirmed_messages(
    connection: Connection, commands: Sequence[CommandRow], now: datetime
) -> Mapping[UUID, MessageItem]:
    """Store messages of commands that were answered although no delivery was confirmed; return the places.

    The deleter ended after it had sent them, so their place on Kafka is not known. Each is a message.
    """
    groups = [[command] for command in commands]
    place = dict.fromkeys(("topic", "partition", "offset"))
    rows = [{**_message_row(group, now), **place} for group in groups]
    bodies = [{**_decision(group), "confirmed": False} for group in groups]
    return _insert(connection, groups, rows, bodies, now)


def insert_recovered_messages(
    connection: Connection,
    commands: Sequence[CommandRow],
    places: Sequence[RecordMetadata],
    now: datetime,
) -> Mapping[UUID, MessageItem]:
    """Store messages that were found on their topics after a restore of the ledger; return the places.

    `places` are where they were found, one for each command, whose `attempt` is the one in the message.
    """
    messages: dict[RecordMetadata, list[CommandRow]] = {}
    for command, place in zip(commands, places, strict=True):
        messages.setdefault(place, []).append(command._replace(attempt=command.attempt - 1))
    groups = list(messages.values())
    rows = [{**_message_row(group, now), **place._asdict()} for place, group in messages.items()]
    bodies = [{**_decision(group), "recovered": True} for group in groups]
    return _insert(connection, groups, rows, bodies, now)


def last_sent(connection: Connection, topic: str, partition: int, end: int) -> KnownMessage | None:
    """Return the last message before an offset that is known to be sent; None if there is none."""
    column = tables.message.c
    query = (
        select(column.offset, column.commands)
        .where(column.topic == topic, column.partition == partition, column.offset < end)
        .order_by(column.offset.desc())
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    return KnownMessage(row.offset, command_ids(row.commands)) if row else None


def unknown_offsets(
    connection: Connection, topic: str, partition: int, end: int
) -> Sequence[range]:
    """Return the offsets of a partition before an end at which no message is known, in order."""
    column = tables.message.c
    place = (column.topic == topic, column.partition == partition, column.offset < end)
    first = connection.execute(select(func.min(column.offset)).where(*place)).scalar_one()
    if first is None:
        return [range(end)] if end else []
    following = func.lead(column.offset, 1, end).over(order_by=column.offset).label("following")
    known = select(column.offset, following).where(*place).subquery()
    query = (
        select(known.c.offset, known.c.following)
        .where(known.c.following > known.c.offset + 1)
        .order_by(known.c.offset)
    )
    gaps = [range(row.offset + 1, row.following) for row in connection.execute(query)]
    return [range(first), *gaps] if first else gaps


def command_ids(packed: bytes) -> list[UUID]:
    """Return the ids of a message's commands, in their order."""
    return [
        UUID(bytes=bytes(packed[start : start + ID_SIZE]))
        for start in range(0, len(packed), ID_SIZE)
    ]


def _insert(
    connection: Connection,
    groups: Sequence[Sequence[CommandRow]],
    rows: Sequence[Mapping[str, Any]],
    bodies: Sequence[Mapping[str, Any]],
    now: datetime,
) -> Mapping[UUID, MessageItem]:
    """Insert the messages of groups of commands, each with its entry for the evidence."""
    if not groups:
        return {}
    key = tables.message.c.message_id
    statement = insert(tables.message).returning(key, sort_by_parameter_order=True)
    message_ids = connection.execute(statement, list(rows)).scalars().all()
    audit_outbox.enqueue(
        connection,
        [
            AuditEntry(
                now,
                "sent",
                body,
                message_id,
                write_states(dict.fromkeys(range(len(group)), "sent")),
            )
            for message_id, group, body in zip(message_ids, groups, bodies, strict=True)
        ],
    )
    return {
        command.command_id: MessageItem(message_id, item)
        for message_id, group in zip(message_ids, groups, strict=True)
        for item, command in enumerate(group)
    }


def _message_row(
    commands: Sequence[CommandRow], now: datetime, *, first_attempts: int = 0
) -> dict[str, Any]:
    return {
        "system": commands[0].system,
        "action": commands[0].action,
        "at": now,
        "first_attempts": first_attempts,
        "commands": b"".join(command.command_id.bytes for command in commands),
    }


def _decision(commands: Sequence[CommandRow]) -> dict[str, Any]:
    """Return what was decided about commands of one message, which are alike but for the person."""
    common = commands[0]
    return {
        "rules": common.wording.rules,
        "purposes": common.wording.purposes,
        "reason": common.wording.reason,
        "article": ARTICLES[common.wording.reason],
        "policy_version": common.wording.policy_version,
        "attempt": _range(command.attempt + 1 for command in commands),
        "due_at": _instants(command.due_at for command in commands),
        "not_before": _instants(command.not_before for command in commands),
        "erase_by": _instants(command.erase_by for command in commands),
    }


def _instants(instants: Iterable[datetime | None]) -> Any:
    """Return the only instant, or the earliest and the latest; None if there is none."""
    ends = _range(instant for instant in instants if instant is not None)
    if isinstance(ends, list):
        return [format_rfc3339(end) for end in ends]
    return ends and format_rfc3339(ends)


def _range(values: Iterable[Any]) -> Any:
    different = set(values)
    if len(different) > 1:
        return [min(different), max(different)]
    return next(iter(different), None)
