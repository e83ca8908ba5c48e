"""Acknowledgements on Kafka: those with one key share a message, which is signed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from services.agent.acknowledgement import AcknowledgementBuilder
from services.agent.inbox import OutgoingAcknowledgement
from services.agent.publisher import KafkaAcknowledgementPublisher
from services.agent.result import Result
from services.crypto.keyring import Keyring, new_key
from services.crypto.signing import Signer, Verifier
from services.kafka.producer import KafkaProducer, OutgoingMessage
from services.kafka.trace_context import extract
from tests.batches import decode_acknowledgements
from tests.unit.agent.environment import CODEC, T0, command, command_id

KEY = new_key()
TOPIC = "retention.acks.crm.v1"


@dataclass(slots=True)
class FakeProducer:
    """Keeps what is sent."""

    sent: list[OutgoingMessage] = field(default_factory=list)

    def send(self, messages: Sequence[OutgoingMessage]) -> None:
        self.sent += messages


def publish(*answers: tuple[str, bytes], largest: int = 900_000, detail: str = "") -> Any:
    """Send the acknowledgements of commands by name, each with its message key; return the messages."""
    producer = FakeProducer()
    builder = AcknowledgementBuilder(system="crm", codec=CODEC, max_bytes=largest)
    result = Result(status="failed", detail=detail)
    KafkaAcknowledgementPublisher(
        answers=builder,
        sender=cast(KafkaProducer, producer),
        signer=Signer(lambda: Keyring((KEY,))),
        now=lambda: T0,
    ).send(
        [
            OutgoingAcknowledgement(
                command_id=command_id(name),
                key=key,
                value=builder.build(command(name), result, T0)[1],
            )
            for name, key in answers
        ]
    )
    return producer.sent


def names(messages: Sequence[OutgoingMessage]) -> list[list[str]]:
    """Return the commands that each message acknowledges."""
    return [
        [
            answer["command_id"]
            for answer in decode_acknowledgements(CODEC, "crm", message.value or b"")
        ]
        for message in messages
    ]


def test_acknowledgements_with_one_key_share_a_message_in_their_order() -> None:
    """A key is a lane, so that the order of one person's commands stays."""
    messages = publish(("c1", b"3"), ("c2", b"4"), ("c3", b"3"))
    assert [message.key for message in messages] == [b"3", b"4"]
    assert names(messages) == [[command_id("c1"), command_id("c3")], [command_id("c2")]]


def test_each_message_is_signed_as_it_is() -> None:
    """A message of several has one signature over all of them."""
    verifier = Verifier(lambda: Keyring((KEY,)).public())
    for message in publish(("c1", b"3"), ("c2", b"4"), ("c3", b"3")):
        headers = list(message.headers)
        assert verifier.verify(TOPIC, message.key, message.value, headers, T0) == KEY.key_id


def test_a_message_of_one_has_the_trace_of_its_command() -> None:
    """A message of several has none: each of its commands has a trace of its own."""
    together, alone = publish(("c1", b"3"), ("c2", b"4"), ("c3", b"3"))
    assert extract(together.headers) is None
    assert extract(alone.headers) is not None


def test_a_message_has_at_most_500_acknowledgements() -> None:
    """The next ones get another message."""
    messages = publish(*((f"c{number}", b"3") for number in range(501)))
    assert [len(commands) for commands in names(messages)] == [500, 1]


def test_a_message_is_no_larger_than_kafka_accepts() -> None:
    """Two of them fit, by the configured limit."""
    answers = [(f"c{number}", b"3") for number in range(3)]
    messages = publish(*answers, largest=1_000, detail="x" * 300)
    assert [len(commands) for commands in names(messages)] == [2, 1]
    assert all(len(message.value or b"") <= 1_000 for message in messages)
