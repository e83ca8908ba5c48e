"""Put commands that are alike but for the person into one message, which is encoded and signed once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final
from zlib import crc32

from schemas import limits
from schemas.command_fields import COMMON_FIELDS
from services.deleter.command_size import PAIR_FRAME, RECORD_FRAME, size_of_record, text_size
from services.deleter.message import CommandMessage, Fields

LANES: Final = 16
"""How many keys the messages of a system have: the commands of one person have the same."""
_FULL_ATTEMPTS = 3
"""After so many attempts without an answer, a command shares its message with ever fewer others."""


@dataclass(slots=True, kw_only=True)
class CommandBatch:
    """Commands to one system that make up one message."""

    lane: int
    commands: list[CommandMessage] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    """Where each of them is among all the commands that are sent."""
    records: int = 0
    size: int = 0
    """How many bytes the commands take, at most."""

    @property
    def system(self) -> str:
        """The system that has to carry them out."""
        return self.commands[0].system

    @property
    def key(self) -> bytes:
        """The key of the message."""
        return str(self.lane).encode()

    @property
    def value(self) -> Fields:
        """The fields of the `command` schema."""
        return {
            **self.commands[0].common,
            "commands": [command.own for command in self.commands],
        }

    def has_room(self, records: int, size: int, max_records: int) -> bool:
        """Return whether a command with so many records and bytes can be added."""
        return self.records + records <= max_records and self.size + size <= limits.MAX_COMMAND

    def add(self, command: CommandMessage, position: int, size: int) -> None:
        """Add a command."""
        self.commands.append(command)
        self.positions.append(position)
        self.records += len(command.own["records"])
        self.size += size


def group_into_batches(commands: Sequence[CommandMessage]) -> list[CommandBatch]:
    """Return the commands in as few messages as the limits allow, in the order in which they are sent.

    The commands of one person stay in their order: a command is never put into a message before one that
    already has an earlier command of that person. What may not be tied to a person never shares a message
    with what may. A command that was not answered at several attempts shares its message with ever fewer
    others, until it is alone: if it is the cause, it holds up no other.
    """
    batches: list[CommandBatch] = []
    open_batches: dict[Hashable, int] = {}
    last_batch: dict[tuple[str, str], int] = {}
    common_keys: dict[int, Hashable] = {}
    for position, command in enumerate(commands):
        lane = lane_of(command.key)
        max_records = _max_records(command.own["attempt"])
        common_key = common_keys.get(id(command.common))
        if common_key is None:
            common_key = common_keys[id(command.common)] = _common_key(command.common)
        alike = (lane, max_records, command.own["subject"] is not None, common_key)
        records, size = len(command.own["records"]), _size(command.own)
        index = open_batches.get(alike)
        earliest = last_batch.get((command.system, command.key), 0)
        if (
            index is None
            or index < earliest
            or not batches[index].has_room(records, size, max_records)
        ):
            index = open_batches[alike] = len(batches)
            batches.append(CommandBatch(lane=lane))
        batches[index].add(command, position, size)
        last_batch[command.system, command.key] = index
    return batches


def lane_of(key: str) -> int:
    """Return the lane of a person, or of an event's id where no person may be named."""
    return crc32(key.encode("utf-8", "surrogatepass")) % LANES


def _max_records(attempt: int) -> int:
    """Return with how many records a command at this attempt may share its message."""
    further_attempts = max(0, attempt - _FULL_ATTEMPTS)
    return max(1, limits.MAX_COMMAND_RECORDS >> min(3 * further_attempts, 16))


def _common_key(common_fields: Fields) -> tuple[Hashable, ...]:
    common = (common_fields[name] for name in COMMON_FIELDS)
    return tuple(tuple(part) if isinstance(part, list) else part for part in common)


def _size(own: Fields) -> int:
    """Return how many bytes a command takes in its message, at most."""
    size = 2 * RECORD_FRAME + sum(text_size(text) for text in own.values() if type(text) is str)
    size += sum(PAIR_FRAME + text_size(name) for name in own.get("corrected_fields") or ())
    return size + sum(
        size_of_record((record["source"], record["id"], record["type"]), record["keys"])
        for record in own["records"]
    )
