"""A deleter's regular work on the evidence: sealing, signing and publishing, on both databases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from schemas.codec import Codec
from schemas.schema_files import load
from schemas.topics import EVIDENCE_HEADS
from services.crypto.keyring import Keyring, new_key
from services.crypto.pseudonyms import Pseudonymizer
from services.evidence.hash_chain import Head, SignedHead, sign, verify
from services.evidence.sealer import EvidenceSealer, KafkaHeadPublisher
from services.kafka.errors import DeliveryFailed
from services.kafka.producer import OutgoingMessage
from services.kafka.record_metadata import RecordMetadata
from services.ledger import active_policy, tables
from services.storage.database import Database, database_now
from tests.contract.ledgers import POLICY, instant, select_rows

KEY = new_key()


class FakeHeadPublisher:
    """Keeps the published heads, unless it is unavailable."""

    def __init__(self) -> None:
        self.sent: list[SignedHead] = []
        self.away = False
        self.attempts = 0

    def send(self, heads: Sequence[SignedHead]) -> None:
        """Accept all heads as delivered."""
        self.attempts += 1
        if self.away:
            raise DeliveryFailed("heads", "no leader")
        self.sent.extend(heads)


def build_sealer(
    ledger: Database, outlet: FakeHeadPublisher, unpublished: Callable[[str], None] = lambda _: None
) -> EvidenceSealer:
    """Return the sealer as the deleter has it."""
    return EvidenceSealer(
        ledger=ledger,
        pseudonymizer=Pseudonymizer(bytes(32)),
        ring=lambda: Keyring((KEY,)),
        publisher=outlet,
        unpublished=unpublished,
    )


def test_a_signed_head_is_published_once(ledger: Database) -> None:
    """It is published after its commit, and the next round has nothing to do."""
    outlet = FakeHeadPublisher()
    sealer = build_sealer(ledger, outlet)
    ledger.run_in_transaction(
        lambda connection: active_policy.require_active(
            connection, POLICY, database_now(connection)
        )
    )
    assert (sealer.run_once(), sealer.run_once()) == (2, 0)
    [head] = outlet.sent
    [row] = select_rows(ledger, tables.evidence_head)
    assert (head.head.number, head.head.text()) == (2, row.head)
    assert row.published_at is not None
    verify(head.head, head.signature, KEY.public())


def test_a_topic_that_takes_no_heads_stops_nothing(ledger: Database) -> None:
    """Entries are appended all the same; the failure is reported, and not retried every round."""
    outlet, reported = FakeHeadPublisher(), list[str]()
    outlet.away = True
    sealer = build_sealer(ledger, outlet, reported.append)
    ledger.run_in_transaction(
        lambda connection: active_policy.require_active(
            connection, POLICY, database_now(connection)
        )
    )
    assert (sealer.run_once(), sealer.run_once(), sealer.run_once()) == (2, 0, 0)
    assert (outlet.attempts, reported) == (1, ["heads: not delivered: no leader"])
    [row] = select_rows(ledger, tables.evidence_head)
    assert row.published_at is None


def test_a_head_that_was_not_taken_is_published_when_the_topic_is_back(
    ledger: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not wait for the next head, which may come much later."""
    monkeypatch.setattr("services.evidence.sealer._REST", timedelta(0))
    outlet = FakeHeadPublisher()
    outlet.away = True
    sealer = build_sealer(ledger, outlet)
    ledger.run_in_transaction(
        lambda connection: active_policy.require_active(
            connection, POLICY, database_now(connection)
        )
    )
    sealer.run_once()
    outlet.away = False
    assert (sealer.run_once(), len(outlet.sent)) == (0, 1)
    assert (sealer.run_once(), len(outlet.sent)) == (0, 1)
    [row] = select_rows(ledger, tables.evidence_head)
    assert row.published_at is not None


def test_heads_are_on_their_topic_in_avro() -> None:
    """A reader of the topic needs nothing else to verify a head."""
    codec = Codec(load(), None)
    sent: list[OutgoingMessage] = []

    class Sending:
        def send(self, messages: Sequence[OutgoingMessage]) -> Sequence[RecordMetadata]:
            sent.extend(messages)
            return []

    at = instant("2026-03-01T12:00:00Z")
    head = Head(number=7, hash=bytes(32), at=at, since=5, root=bytes(32))
    signed = sign(head, lambda: Keyring((KEY,)))
    KafkaHeadPublisher(sender=Sending(), codec=codec).send([signed])  # type: ignore[arg-type]
    [message] = sent
    assert (message.topic, message.key) == ("retention.evidence-heads.v1", None)
    assert message.value is not None
    assert codec.decode(EVIDENCE_HEADS, message.value) == {
        "head": head.text(),
        "key_id": KEY.key_id,
        "x": KEY.x,
        "signature": signed.signature,
    }
