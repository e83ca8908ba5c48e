"""Purges retention clocks that have ended and that nothing depends on any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from uuid import UUID

from sqlalchemy import Connection, select

from services.crypto.tombstones import TombstoneCipher
from services.evidence.purge.base import ProofTerm, next_ids
from services.evidence.purge.events import existing_ids
from services.ledger import clocks, tables
from services.ledger.clocks import ClockState
from services.ledger.tombstones import clock_name, rows_to_json
from services.policy.tagged_event import ClockKey
from services.storage.bulk import delete_in, insert, select_in


class ClockPurge:
    """Clocks by id. Their end stays as an encrypted tombstone, since a late record depends on it."""

    name = "clocks"

    def next_keys(self, connection: Connection, after: str | None, limit: int) -> Sequence[str]:
        """Return the ids of the next clocks."""
        return next_ids(connection, tables.clock.c.clock_id, after, limit)

    def eligible(
        self, connection: Connection, keys: Sequence[str], terms: ProofTerm
    ) -> Sequence[ClockState]:
        """Return the clocks at rest for more than the term of proof, without records and children."""
        states = clocks.load_clocks(connection, [UUID(key) for key in keys], lock=False)
        expired = {identity: clock for identity, clock in states.items() if _is_over(clock, terms)}
        hanging = tables.hanging.c.clock_id
        query = select(hanging).distinct()
        used_ids = {row.clock_id for row in select_in(connection, query, hanging, expired)}
        used_ids |= set(existing_ids(connection, tables.clock.c.parent_id, expired))
        return [
            clock
            for identity, clock in expired.items()
            if identity not in used_ids and not terms.parked.covers((), [_key(clock)])
        ]

    def purge(
        self,
        connection: Connection,
        things: Sequence[ClockState],
        terms: ProofTerm,
        cipher: TombstoneCipher,
    ) -> None:
        """Delete the clocks, and write a tombstone of each that was ever changed."""
        rows = [
            {
                "reference": cipher.lookup_key("clock", clock_name(clock)),
                "sealed": cipher.encrypt(
                    "clock", clock_name(clock), rows_to_json({"clock": [asdict(clock)]})
                ),
            }
            for clock in things
            if clock.anchor_at is not None
        ]
        insert(connection, tables.remains, sorted(rows, key=lambda row: row["reference"]))
        delete_in(
            connection, tables.clock, tables.clock.c.clock_id, [clock.clock_id for clock in things]
        )


def _key(clock: ClockState) -> ClockKey:
    return ClockKey(clock=clock.clock, key=clock.key)


def _is_over(clock: ClockState, terms: ProofTerm) -> bool:
    """Return whether nothing of a clock is pending, and all its times are before the term of proof."""
    if clock.next_due or clock.backfill or clock.moved_backfill:
        return False
    if clock.anchor_at is None and clock.moved_at is not None:
        return False  # it was started again, and is open
    instants = (clock.opened_at, clock.moved_at, clock.anchor_at)
    return all(terms.is_over(at) for at in instants if at is not None)
