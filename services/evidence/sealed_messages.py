"""The Merkle tree of a message: one hash in the evidence stands for each of its commands.

An item's leaf is SHA-256 over a zero byte, the command's pseudonym, the subject's pseudonym (16 bytes each)
and the item's number (4 bytes). Leaves are made when the first entry about a message is appended, and stay
as they are: also under another `evidence.key`, and after commands of the message are purged.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, func, select

from services.crypto.pseudonyms import Pseudonymizer
from services.evidence import merkle
from services.ledger import tables
from services.ledger.messages import ID_SIZE, command_ids
from services.storage.bulk import select_in, update_each

HASH_SIZE: Final = 32


class SealedMessage(NamedTuple):
    """A message with its Merkle root."""

    message_id: int
    system: str
    action: str
    items: int
    root: bytes


def item_leaf(command: bytes, subject: bytes, item: int) -> bytes:
    """Return the leaf of a command in the tree of its message, from its pseudonym and its subject's."""
    return merkle.hash_leaf(command + subject + item.to_bytes(4, "big"))


def split_leaves(packed: bytes) -> list[bytes]:
    """Return the leaves of a message, in their order."""
    return [packed[start : start + HASH_SIZE] for start in range(0, len(packed), HASH_SIZE)]


def unsealed_sizes(connection: Connection, messages: Collection[int]) -> Mapping[int, int]:
    """Return how many commands each of the messages has that has no leaves yet."""
    column = tables.message.c
    size = func.length(column.commands).label("size")
    query = select(column.message_id, size).where(column.root.is_(None))
    rows = select_in(connection, query, column.message_id, messages)
    return {row.message_id: row.size // ID_SIZE for row in rows}


def seal_messages(
    connection: Connection, messages: Collection[int], pseudonymizer: Pseudonymizer
) -> Mapping[int, SealedMessage]:
    """Return messages by id; leaves and root of those that have none yet are made and stored."""
    column = tables.message.c
    query = select(column.message_id, column.commands).where(column.root.is_(None))
    _store_leaves(
        connection, list(select_in(connection, query, column.message_id, messages)), pseudonymizer
    )
    size = func.length(column.commands).label("size")
    sealed = select(column.message_id, column.system, column.action, column.root, size)
    return {
        row.message_id: SealedMessage(
            message_id=row.message_id,
            system=row.system,
            action=row.action,
            items=row.size // ID_SIZE,
            root=bytes(row.root),
        )
        for row in select_in(connection, sealed, column.message_id, messages)
    }


def _store_leaves(
    connection: Connection, rows: Sequence[Row[Any]], pseudonymizer: Pseudonymizer
) -> None:
    commands = {row.message_id: command_ids(row.commands) for row in rows}
    column = tables.command.c
    query = select(column.command_id, column.subject)
    ids = {command for group in commands.values() for command in group}
    subjects: dict[UUID, str] = {
        row.command_id: row.subject for row in select_in(connection, query, column.command_id, ids)
    }
    leaves = {
        message: list(_leaves(group, subjects, pseudonymizer))
        for message, group in commands.items()
    }
    update_each(
        connection,
        tables.message,
        [
            {"message_id": message, "leaves": b"".join(hashes), "root": merkle.root_of(hashes)}
            for message, hashes in leaves.items()
        ],
    )


def _leaves(
    commands: Iterable[UUID], subjects: Mapping[UUID, str], pseudonymizer: Pseudonymizer
) -> Iterable[bytes]:
    for item, command in enumerate(commands):
        yield item_leaf(
            pseudonymizer.pseudonym("command", str(command)),
            pseudonymizer.pseudonym("subject", subjects.get(command, "")),
            item,
        )
