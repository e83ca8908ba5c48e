"""Purges commands that are settled and verified, once their records are purged."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, select

from services.crypto.tombstones import TombstoneCipher
from services.evidence.purge.base import ProofTerm, next_ids
from services.ledger import tables
from services.ledger.command_state import SETTLED
from services.storage.bulk import delete_in, select_in


class CommandPurge:
    """Purges commands; the evidence keeps what they proved."""

    name = "commands"

    def next_keys(self, connection: Connection, after: str | None, limit: int) -> Sequence[str]:
        """Return the ids of the next commands."""
        return next_ids(connection, tables.command.c.command_id, after, limit)

    def eligible(
        self, connection: Connection, keys: Sequence[str], terms: ProofTerm
    ) -> Sequence[UUID]:
        """Return those that are settled, whose term of proof is over, and whose records are purged."""
        command, member = tables.command.c, tables.member.c
        query = select(command.command_id, command.settled_at).where(
            command.state.in_(SETTLED),
            command.follow_up_at.is_(None),
            command.settled_at.is_not(None),
        )
        expired = {
            row.command_id
            for row in select_in(connection, query, command.command_id, [UUID(key) for key in keys])
            if terms.is_over(row.settled_at)
        }
        remaining = (
            select(member.command_id)
            .join(tables.record, tables.record.c.record_id == member.record_id)
            .distinct()
        )
        return sorted(
            expired
            - {
                row.command_id
                for row in select_in(connection, remaining, member.command_id, expired)
            }
        )

    def purge(
        self,
        connection: Connection,
        things: Sequence[UUID],
        terms: ProofTerm,
        cipher: TombstoneCipher,
    ) -> None:
        """Delete the commands with their records and clocks."""
        for table in (
            tables.command_record,
            tables.command_clock,
            tables.disclosure,
            tables.command,
        ):
            delete_in(connection, table, table.c.command_id, things)
