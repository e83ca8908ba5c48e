"""Messages with commands as they are found on the command topics, in the order in which they were sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.deleter.message import Fields
from services.kafka.record_metadata import RecordMetadata


@dataclass(frozen=True, slots=True, kw_only=True)
class SentMessage:
    """A message that a deleter has sent: its place, and its commands in their order."""

    place: RecordMetadata
    commands: Sequence[Fields]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCommand:
    """A command in a message that was found on its topic."""

    place: RecordMetadata
    item: int
    """Its place in the message, counted from 0."""
    fields: Fields


def commands_in(messages: Sequence[SentMessage]) -> Iterator[FoundCommand]:
    """Yield the commands of messages, in their order."""
    for message in messages:
        for item, fields in enumerate(message.commands):
            yield FoundCommand(place=message.place, item=item, fields=fields)
