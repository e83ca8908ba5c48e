"""Purges messages: the ids of commands that are purged, and the message after its last command."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, select

from services.crypto.tombstones import TombstoneCipher
from services.evidence.purge.base import ProofTerm
from services.evidence.purge.events import existing_ids
from services.ledger import tables
from services.ledger.messages import PURGED, command_ids
from services.storage.bulk import delete_in, select_in, update_each

_SMALLER_BY = 50
"""A page has so many times fewer messages than other things: one may have 500 commands."""


class EligibleMessage(NamedTuple):
    """A message of which a command was purged, with the ids that it has from then on."""

    message_id: int
    commands: bytes

    @property
    def is_empty(self) -> bool:
        """Whether no command is left."""
        return not any(self.commands)


class MessagePurge:
    """Purges messages, by id. While one of its commands is left, a message keeps the places of all."""

    name = "messages"

    def next_keys(self, connection: Connection, after: str | None, limit: int) -> Sequence[str]:
        """Return the ids of the next messages."""
        column = tables.message.c.message_id
        query = select(column).where(column > int(after or 0)).order_by(column)
        ids = connection.execute(query.limit(max(1, limit // _SMALLER_BY))).scalars()
        return [str(key) for key in ids]

    def eligible(
        self, connection: Connection, keys: Sequence[str], terms: ProofTerm
    ) -> Sequence[EligibleMessage]:
        """Return the messages that have the id of a command that is purged, and no entry that waits."""
        column = tables.message.c
        pending = tables.evidence_pending.c.message_id
        ids = [int(key) for key in keys]
        waiting = {row.message_id for row in select_in(connection, select(pending), pending, ids)}
        query = select(column.message_id, column.at, column.commands)
        members = {
            row.message_id: command_ids(row.commands)
            for row in select_in(connection, query, column.message_id, ids)
            if terms.is_over(row.at) and row.message_id not in waiting
        }
        commands = {command for group in members.values() for command in group} - {PURGED}
        existing = set(existing_ids(connection, tables.command.c.command_id, commands))
        return [
            EligibleMessage(
                message_id,
                b"".join((key if key in existing else PURGED).bytes for key in group),
            )
            for message_id, group in sorted(members.items())
            if not existing.issuperset(set(group) - {PURGED})
        ]

    def purge(
        self,
        connection: Connection,
        things: Sequence[EligibleMessage],
        terms: ProofTerm,
        cipher: TombstoneCipher,
    ) -> None:
        """Delete the ids of purged commands, and messages that have no other."""
        column = tables.message.c.message_id
        empty = [message.message_id for message in things if message.is_empty]
        delete_in(connection, tables.message, column, empty)
        rest = [message._asdict() for message in things if not message.is_empty]
        update_each(connection, tables.message, rest)
