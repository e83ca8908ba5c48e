"""Publish commands to Kafka, signed, each to its system's own topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.codec import Codec
from schemas.topics import Topic
from services.crypto.signing import SignerProtocol
from services.deleter.message import CommandMessage
from services.kafka.producer import KafkaProducer, OutgoingMessage
from services.kafka.record_metadata import RecordMetadata
from services.kafka.spans import NO_TRACER, Tracer
from services.kafka.trace_context import Trace, trace_of_command


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaCommandPublisher:
    """Publishes commands to Kafka; `topics` are the command topics by system."""

    sender: KafkaProducer
    codec: Codec
    topics: Mapping[str, Topic]
    signer: SignerProtocol
    spans: Tracer = NO_TRACER

    def send(self, commands: Sequence[CommandMessage]) -> Sequence[RecordMetadata]:
        """Send all, and return once each has its delivery report; each is signed as it is issued.

        Raises:
            NoSigningKey: no key may sign now; none was sent.
        """
        messages = []
        for command in commands:
            topic = self.topics[command.system]
            value = self.codec.encode(topic, command.value, trusted=True)
            key = command.key.encode()
            issued_at = command.value["issued_at"]
            signed = self.signer.sign(topic.name, key, value, issued_at)
            headers = (*signed, *self._trace(command, issued_at).headers)
            messages.append(
                OutgoingMessage(topic=topic.name, key=key, value=value, headers=headers)
            )
        return self.sender.send(messages)

    def _trace(self, command: CommandMessage, issued_at: datetime) -> Trace:
        value = command.value
        attributes: dict[str, str | int] = {
            "termijn.system": command.system,
            "termijn.action": value["action"],
            "termijn.command_id": value["command_id"],
            "termijn.attempt": value["attempt"],
            "termijn.records": len(value["records"]),
        }
        if value["supersedes"]:
            attributes["termijn.supersedes"] = value["supersedes"]
        trace = trace_of_command(value["command_id"])
        return self.spans.record_span(
            "command", trace, "producer", issued_at, issued_at, attributes
        )
