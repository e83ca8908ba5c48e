"""Keeps the evidence log: in each round of the deleter it appends entries and publishes signed heads."""

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
from services.kafka.errors import DeliveryFailed, KafkaUnavailable
from services.kafka.producer import KafkaProducer, OutgoingMessage
from services.ledger import tables
from services.storage.database import Database, database_now

_BATCH_SIZE = 500
PATIENCE_SECONDS = 2.0
"""How long one attempt to publish heads may take."""
_REST = timedelta(minutes=1)


class HeadPublisher(Protocol):
    """Publishes signed heads, so that others can save them."""

    def send(self, heads: Sequence[SignedHead]) -> None:
        """Send all heads and return once the broker has them; raise when one fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaHeadPublisher:
    """Publishes heads on their Kafka topic."""

    sender: KafkaProducer
    codec: Codec

    def send(self, heads: Sequence[SignedHead]) -> None:
        """Send all heads.

        Raises:
            DeliveryFailed: the broker did not accept one of them.
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
class _PublishPause:
    """The end of the pause after heads could not be published, UTC; None: no pause."""

    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceSealer:
    """Keeps the log of one ledger; any number of processes may run it."""

    ledger: Database
    pseudonymizer: Pseudonymizer
    ring: KeyringSource | None
    """The keys that sign heads; None where signing is off."""
    publisher: HeadPublisher
    unpublished: Callable[[str], None]
    """Called with the reason when heads could not be published."""
    _pause: _PublishPause = field(default_factory=_PublishPause, init=False)

    def run_once(self) -> int:
        """Append queued entries, publish signed heads, and return how many entries were appended.

        Erasure never waits for heads: while their topic accepts none, one attempt a minute is made with
        all that wait, and entries are appended as before.

        Raises:
            PseudonymKeyMismatch: the log's references have another key.
        """

        def work(connection: Connection) -> tuple[AppendResult, datetime]:
            now = database_now(connection)
            return append_entries(connection, self.pseudonymizer, self.ring, now), now

        sealed, now = self.ledger.run_in_transaction(work)
        until = self._pause.until
        if (until is None and sealed.head is not None) or (until is not None and now >= until):
            self._publish(now)
        return sealed.entries

    def _publish(self, now: datetime) -> None:
        """Publish committed heads only: one that was rolled back would prove a log that never existed."""
        column = tables.evidence_head.c
        query = select(tables.evidence_head).where(column.published_at.is_(None))
        with self.ledger.transaction() as connection:
            rows = connection.execute(
                query.order_by(column.number, column.at).limit(_BATCH_SIZE)
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
