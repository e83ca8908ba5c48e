"""Keeping the log: what the deleter's loop does for it, a bounded piece at each turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import select, update

from schemas.catalogue import EVIDENCE_HEADS
from schemas.codec import Codec
from services.bus import OutMessage, Sender
from services.evidence.chain import SignedHead
from services.evidence.exporting import signed_head
from services.evidence.sealing import seal
from services.ledger import tables
from services.ledger.database import Ledger, database_now
from services.vault.references import References
from services.vault.signing import Rings

_AT_ONCE = 500


class Outlet(Protocol):
    """Where heads go, so that others keep them too."""

    def send(self, heads: Sequence[SignedHead]) -> None:
        """Send all, and return only when they are out; raise when one is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusHeads:
    """Heads onto their topic."""

    sender: Sender
    codec: Codec

    def send(self, heads: Sequence[SignedHead]) -> None:
        """Send all.

        Raises:
            Undelivered: the broker did not take one of them.
        """
        values = (
            {
                "head": one.head.text(),
                "key_id": one.key_id,
                "x": one.x,
                "signature": one.signature,
            }
            for one in heads
        )
        messages = [
            OutMessage(
                topic=EVIDENCE_HEADS.name,
                key=None,
                value=self.codec.encode(EVIDENCE_HEADS, value, own=True),
                headers=(),
            )
            for value in values
        ]
        self.sender.send(messages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """Keeps the log of one ledger; any number of processes may."""

    ledger: Ledger
    references: References
    ring: Rings | None
    """The keys that sign heads; none where signing is off."""
    outlet: Outlet

    def round(self) -> int:
        """Seal what waits and publish what was signed; how many entries were sealed.

        Raises:
            OtherReferences: the log is kept under another key.
            Undelivered: a head could not be published; it is with the next.
        """
        sealed = self.ledger.write(
            lambda connection: seal(
                connection, self.references, self.ring, database_now(connection)
            )
        )
        if sealed.head is not None:
            self._publish()
        return sealed.entries

    def _publish(self) -> None:
        """Only committed heads: one that was rolled back would speak of a log that there never was."""
        column = tables.evidence_head.c
        query = select(tables.evidence_head).where(column.published_at.is_(None))
        with self.ledger.transaction() as connection:
            now = database_now(connection)
            rows = connection.execute(
                query.order_by(column.number, column.at).limit(_AT_ONCE)
            ).all()
        self.outlet.send([signed_head(row) for row in rows])
        with self.ledger.transaction() as connection:
            for row in rows:
                connection.execute(
                    update(tables.evidence_head)
                    .where(column.number == row.number, column.at == row.at)
                    .values(published_at=now)
                )
