"""Keeping the log: what the deleter's loop does for it, a bounded piece at each turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import Connection, select, update

from schemas.codec import Codec
from schemas.topics import EVIDENCE_HEADS
from services.crypto.pseudonyms import Pseudonymizer
from services.crypto.signing import KeyringSource
from services.evidence.export import signed_head
from services.evidence.hash_chain import SignedHead
from services.evidence.seal_entries import AppendResult, append_entries
from services.kafka.client import DeliveryFailed, KafkaProducer, KafkaUnavailable, OutgoingMessage
from services.ledger import tables
from services.storage.database import Database, database_now

_AT_ONCE = 500
PATIENCE_SECONDS = 2.0
"""How long an attempt to publish heads may take."""
_REST = timedelta(minutes=1)


class HeadPublisher(Protocol):
    """Where heads go, so that others keep them too."""

    def send(self, heads: Sequence[SignedHead]) -> None:
        """Send all, and return only when they are out; raise when one is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaHeadPublisher:
    """Heads onto their topic."""

    sender: KafkaProducer
    codec: Codec

    def send(self, heads: Sequence[SignedHead]) -> None:
        """Send all.

        Raises:
            DeliveryFailed: the broker did not take one of them.
        """
        values = (
            {
                "head": head.head.text(),
                "key_id": head.key_id,
                "x": head.x,
                "signature": head.signature,
            }
            for head in heads
        )
        messages = [
            OutgoingMessage(
                topic=EVIDENCE_HEADS.name,
                key=None,
                value=self.codec.encode(EVIDENCE_HEADS, value, trusted=True),
                headers=(),
            )
            for value in values
        ]
        self.sender.send(messages)


@dataclass(slots=True, kw_only=True)
class _Rest:
    """Until when nothing is published: the topic of the heads did not take the last ones."""

    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceSealer:
    """Keeps the log of one ledger; any number of processes may."""

    ledger: Database
    references: Pseudonymizer
    ring: KeyringSource | None
    """The keys that sign heads; none where signing is off."""
    publisher: HeadPublisher
    unpublished: Callable[[str], None]
    """Is told why heads could not be published."""
    _pause: _Rest = field(default_factory=_Rest, init=False)

    def run_once(self) -> int:
        """Seal what waits and publish what was signed; how many entries were sealed.

        Erasing never waits for heads: while their topic takes none, one attempt a minute is made, with
        all that waits, and what is sealed is sealed all the same.

        Raises:
            PseudonymKeyMismatch: the log is kept under another key.
        """

        def work(connection: Connection) -> tuple[AppendResult, datetime]:
            now = database_now(connection)
            return append_entries(connection, self.references, self.ring, now), now

        sealed, now = self.ledger.run_in_transaction(work)
        until = self._pause.until
        if (until is None and sealed.head is not None) or (until is not None and now >= until):
            self._publish(now)
        return sealed.entries

    def _publish(self, now: datetime) -> None:
        """Only committed heads: one that was rolled back would speak of a log that there never was."""
        column = tables.evidence_head.c
        query = select(tables.evidence_head).where(column.published_at.is_(None))
        with self.ledger.transaction() as connection:
            rows = connection.execute(
                query.order_by(column.number, column.at).limit(_AT_ONCE)
            ).all()
        try:
            self.publisher.send([signed_head(row) for row in rows])
        except (KafkaUnavailable, DeliveryFailed) as cause:
            self._pause.until = now + _REST
            self.unpublished(str(cause))
            return
        self._pause.until = None
        with self.ledger.transaction() as connection:
            for row in rows:
                connection.execute(
                    update(tables.evidence_head)
                    .where(column.number == row.number, column.at == row.at)
                    .values(published_at=now)
                )
