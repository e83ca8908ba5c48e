"""Publishes acknowledgements on Kafka, signed by the system, each with the message key of its command."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas import topics
from services.agent.inbox import OutgoingAcknowledgement
from services.crypto.signing import SignerProtocol
from services.kafka.producer import KafkaProducer, OutgoingMessage
from services.kafka.trace_context import trace_of_command


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaAcknowledgementPublisher:
    """Publishes the acknowledgements of one system."""

    system: str
    sender: KafkaProducer
    signer: SignerProtocol
    now: Callable[[], datetime]

    def send(self, answers: Sequence[OutgoingAcknowledgement]) -> None:
        """Send all, in order. Raises `DeliveryFailed` and `NoSigningKey`."""
        topic = topics.acknowledgement_topic(self.system).name
        self.sender.send(
            [
                OutgoingMessage(
                    topic=topic,
                    key=answer.key,
                    value=answer.value,
                    headers=(
                        *self.signer.sign(topic, answer.key, answer.value, self.now()),
                        *trace_of_command(answer.command_id).headers,
                    ),
                )
                for answer in answers
            ]
        )
