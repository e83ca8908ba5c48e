"""Acknowledgements from the bus count only if signed with a key that is trusted for their system now.

Each on SQLite and on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from confluent_kafka import Message

from consumers.acknowledgements import AcknowledgementHandler
from schemas import topics
from schemas.codec import Codec
from schemas.schema_files import load
from services.crypto.envelope import AeadCipher
from services.crypto.keyring import JsonWebKey, Keyring, new_key
from services.crypto.signing import Headers, Signer, Verifier
from services.deleter.acknowledgement import Acknowledgement
from services.deleter.settlement import AcknowledgementResult
from services.ledger import tables
from services.storage.database import Database
from services.storage.dead_letters import DeadLetter
from services.storage.offsets import OffsetAdvance, PartitionId
from tests.batches import encode_acknowledgements
from tests.contract.event_builders import feedback
from tests.contract.ledgers import (
    POLICY,
    FakeBus,
    claim_all,
    instant,
    record_events,
    select_rows,
    send_due,
)

JOINED = "2020-01-01T12:00:00Z"
FAR = instant("2060-01-01T00:00:00Z")
SYSTEM, OTHER = "website", "crm"
TOPIC = topics.acknowledgement_topic(SYSTEM)
CODEC = Codec(load())
SUBJECT = b"visitor:v-e1"


@dataclass
class Role:
    """The acknowledgements role with keys of both systems, and what it reported."""

    ledger: Database
    keys: dict[str, Keyring]
    refused: list[tuple[str, str]] = field(default_factory=list)
    reasons: list[tuple[str, str]] = field(default_factory=list)
    read: int = 0

    def acknowledged(
        self, applied: Sequence[tuple[Acknowledgement, AcknowledgementResult]]
    ) -> None:
        """Count an accepted acknowledgement."""

    def signature_rejected(self, system: str, reason: str) -> None:
        """Count a rejected signature."""
        self.refused.append((system, reason))

    def dead_lettered(self, letter: DeadLetter) -> None:
        """Count a parked message."""
        self.reasons.append((letter.reason, letter.detail))

    def handle(self, *messages: Message, at: datetime = FAR) -> None:
        """Process one batch from the bus."""
        work = AcknowledgementHandler(
            policy=POLICY,
            codec=CODEC,
            topics={
                topics.acknowledgement_topic(system).name: (
                    topics.acknowledgement_topic(system),
                    system,
                )
                for system in self.keys
            },
            verifiers={system: Verifier(self._ring(system)) for system in self.keys},
            ledger=self.ledger,
            cipher=AeadCipher(bytes(32)),
            observer=self,
            now=lambda: at,
        )
        log = PartitionId(cluster_id="c", topic=TOPIC.name, topic_id="t", partition=0)
        before, self.read = self.read or None, self.read + len(messages)
        work.handle(messages, [OffsetAdvance(log=log, expected=before, next=self.read)])

    def _ring(self, system: str) -> Callable[[], Keyring]:
        def ring() -> Keyring:
            return self.keys[system].public()

        return ring


@pytest.fixture
def role(ledger: Database) -> Role:
    """Two systems with a key each."""
    return Role(
        ledger=ledger,
        keys={SYSTEM: Keyring((new_key(),)), OTHER: Keyring((new_key(),))},
    )


@pytest.fixture
def erasure(ledger: Database) -> UUID:
    """An erasure that was sent."""
    record_events(ledger, [feedback("e1", JOINED)], JOINED)
    (identity,) = claim_all(ledger, FAR)
    send_due(ledger, FakeBus(), FAR)
    return identity


def done_answer(erasure: UUID, **values: Any) -> bytes:
    """Return the bytes of an acknowledgement with the status `done`."""
    answer = {
        "acknowledgement_id": "a1",
        "command_id": str(erasure),
        "system": SYSTEM,
        "attempt": 1,
        "status": "done",
        "counts": {"rows": 1},
        "ground": None,
        "detail": None,
        "at": FAR,
    }
    value = answer | values
    return encode_acknowledgements(CODEC, str(value["system"]), value, owner=SYSTEM)


def signed_headers(
    key: JsonWebKey, value: bytes, topic: str = TOPIC.name, subject: bytes = SUBJECT
) -> Headers:
    """Return the headers of a message signed with a key."""
    return Signer(lambda: Keyring((key,))).sign(topic, subject, value, FAR)


def message(
    value: bytes, headers: Headers, topic: str = TOPIC.name, subject: bytes = SUBJECT
) -> Message:
    """Return a message as it arrives from the bus."""
    return Message(
        topic=topic, partition=0, offset=0, key=subject, value=value, headers=list(headers)
    )


def command_state(ledger: Database) -> str:
    """Return the state of the only command."""
    (row,) = select_rows(ledger, tables.command, action="erase")
    return str(row.state)


def test_an_acknowledgement_signed_by_its_system_closes_its_command(
    role: Role, erasure: UUID
) -> None:
    """A valid signature parks nothing."""
    [key] = role.keys[SYSTEM]
    role.handle(message(done_answer(erasure), signed_headers(key, done_answer(erasure))))
    assert (command_state(role.ledger), role.reasons) == ("acknowledged", [])


def test_an_unsigned_answer_closes_nothing(role: Role, erasure: UUID) -> None:
    """It is parked as a dead letter with its reason, and counted."""
    role.handle(message(done_answer(erasure), ()))
    assert command_state(role.ledger) == "sent"
    assert role.reasons == [("unverifiable", "signature: cannot be verified: unsigned")]
    assert role.refused == [(SYSTEM, "unsigned")]
    assert select_rows(role.ledger, tables.acknowledgement) == []
    (letter,) = select_rows(role.ledger, tables.dead_letter)
    assert (letter.reason, letter.state) == ("unverifiable", "parked")


def test_an_altered_answer_closes_nothing(role: Role, erasure: UUID) -> None:
    """`failed` was signed, and an attacker changed it into `done`."""
    [key] = role.keys[SYSTEM]
    role.handle(
        message(done_answer(erasure), signed_headers(key, done_answer(erasure, status="failed")))
    )
    assert (command_state(role.ledger), role.refused) == ("sent", [(SYSTEM, "forged")])


def test_an_answer_under_another_key_closes_nothing(role: Role, erasure: UUID) -> None:
    """The message key is signed as the value is."""
    [key] = role.keys[SYSTEM]
    role.handle(
        message(
            done_answer(erasure), signed_headers(key, done_answer(erasure)), subject=b"visitor:v-e2"
        )
    )
    assert (command_state(role.ledger), role.refused) == ("sent", [(SYSTEM, "forged")])


def test_another_systems_key_closes_nothing(role: Role, erasure: UUID) -> None:
    """A system's key is trusted for its own topic only."""
    [key] = role.keys[OTHER]
    role.handle(message(done_answer(erasure), signed_headers(key, done_answer(erasure))))
    assert (command_state(role.ledger), role.refused) == ("sent", [(SYSTEM, "unknown-key")])


def test_an_answer_moved_to_another_topic_closes_nothing(role: Role, erasure: UUID) -> None:
    """It was signed by its owner for its own topic, and copied to another's."""
    [key] = role.keys[OTHER]
    value = done_answer(erasure)
    role.handle(
        message(value, signed_headers(key, value, topics.acknowledgement_topic(OTHER).name))
    )
    assert (command_state(role.ledger), role.refused) == ("sent", [(SYSTEM, "unknown-key")])


def test_a_system_cannot_answer_for_another_on_its_own_topic(role: Role, erasure: UUID) -> None:
    """A valid signature on its own topic does not make it another system's acknowledgement."""
    [key] = role.keys[OTHER]
    name = topics.acknowledgement_topic(OTHER).name
    value = done_answer(erasure)
    role.handle(message(value, signed_headers(key, value, name), name))
    assert (command_state(role.ledger), role.refused) == ("sent", [])
    assert [reason for reason, _ in role.reasons] == ["undecodable"]


def test_an_answer_of_an_expired_key_closes_nothing(role: Role, erasure: UUID) -> None:
    """The deleter repeats the command, and the system acknowledges with its new key."""
    [key] = role.keys[SYSTEM]
    role.keys[SYSTEM] = Keyring((key.with_expiry(FAR + timedelta(hours=1)),))
    answer = message(done_answer(erasure), signed_headers(key, done_answer(erasure)))
    role.handle(answer, at=FAR + timedelta(hours=1))
    assert (command_state(role.ledger), role.refused) == ("sent", [(SYSTEM, "expired-key")])


def test_a_key_rotated_while_the_role_runs_counts(role: Role, erasure: UUID) -> None:
    """The batch before the key was trusted is refused, the one after is accepted."""
    key = new_key()
    value = done_answer(erasure)
    role.handle(message(value, signed_headers(key, value)))
    role.keys[SYSTEM] = role.keys[SYSTEM].with_key(key)
    role.handle(message(value, signed_headers(key, value)))
    assert (command_state(role.ledger), role.refused) == ("acknowledged", [(SYSTEM, "unknown-key")])


def test_a_forgery_does_not_stop_the_batch(role: Role, erasure: UUID) -> None:
    """The valid acknowledgement behind it is accepted, and the position passes both."""
    [key] = role.keys[SYSTEM]
    value = done_answer(erasure)
    role.handle(
        message(value, signed_headers(new_key(), value)), message(value, signed_headers(key, value))
    )
    assert (command_state(role.ledger), len(role.reasons)) == ("acknowledged", 1)


def test_forged_bytes_are_unverifiable_and_not_undecodable(role: Role, erasure: UUID) -> None:
    """The signature is verified before decoding: unsigned garbage is unverifiable, not undecodable."""
    role.handle(message(b"\x00garbage", ()))
    assert [reason for reason, _ in role.reasons] == ["unverifiable"]
