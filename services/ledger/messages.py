"""The messages in which commands were sent to their systems: several commands make up one message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from sqlalchemy import Connection, insert

from services.kafka.record_metadata import RecordMetadata
from services.ledger import tables

ID_SIZE: Final = 16
"""The bytes of a command's id in a message."""
PURGED: Final = UUID(int=0)
"""In the place of a command that was purged."""


class MessageItem(NamedTuple):
    """The place of a command in a message, counted from 0."""

    message_id: int
    item: int


class MessageCommand(Protocol):
    """The columns of a command that its message has as well."""

    @property
    def command_id(self) -> UUID:
        """Its id."""

    @property
    def system(self) -> str:
        """The system that has to carry it out."""

    @property
    def action(self) -> str:
        """What the system has to do, such as `erase`."""


def insert_messages(
    connection: Connection,
    commands: Sequence[MessageCommand],
    deliveries: Sequence[RecordMetadata],
    now: datetime,
) -> Mapping[UUID, MessageItem]:
    """Store the messages of commands that were sent, and return the place of each command.

    `deliveries` are the places on Kafka, one for each command: commands with the same place are one
    message, in their order. `now` is UTC.
    """
    messages: dict[RecordMetadata, list[MessageCommand]] = {}
    for command, delivery in zip(commands, deliveries, strict=True):
        messages.setdefault(delivery, []).append(command)
    rows = [
        {
            "system": members[0].system,
            "action": members[0].action,
            "at": now,
            "topic": delivery.topic,
            "partition": delivery.partition,
            "offset": delivery.offset,
            "commands": b"".join(command.command_id.bytes for command in members),
        }
        for delivery, members in messages.items()
    ]
    key = tables.message.c.message_id
    statement = insert(tables.message).returning(key, sort_by_parameter_order=True)
    message_ids = connection.execute(statement, rows).scalars().all()
    return {
        command.command_id: MessageItem(message_id, item)
        for message_id, members in zip(message_ids, messages.values(), strict=True)
        for item, command in enumerate(members)
    }


def command_ids(packed: bytes) -> list[UUID]:
    """Return the ids of a message's commands, in their order."""
    return [
        UUID(bytes=bytes(packed[start : start + ID_SIZE]))
        for start in range(0, len(packed), ID_SIZE)
    ]
