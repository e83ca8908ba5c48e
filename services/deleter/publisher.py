"""Publish commands to Kafka in signed messages, on their system's own topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.codec import Codec
from schemas.topics import Topic
from services.crypto.signing import SignerProtocol
from services.deleter.command_batches import CommandBatch, group_into_batches
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
        """Send all, and return, for each, where its message is on the topic.

        Commands that are alike share a message, which is signed as they are issued.

        Raises:
            NoSigningKey: no key may sign now; none was sent.
            DeliveryFailed: the broker did not confirm every message.
        """
        batches = group_into_batches(commands)
        places = self.sender.send([self._build_message(batch) for batch in batches])
        place_of = {
            position: place
            for batch, place in zip(batches, places, strict=True)
            for position in batch.positions
        }
        return [place_of[position] for position in range(len(commands))]

    def _build_message(self, batch: CommandBatch) -> OutgoingMessage:
        topic = self.topics[batch.system]
        value = batch.value
        encoded = self.codec.encode(topic, value, trusted=True)
        issued_at = value["issued_at"]
        headers = self.signer.sign(topic.name, batch.key, encoded, issued_at)
        if len(batch.commands) == 1 or self.spans is not NO_TRACER:
            traces = [self._record_span(command, issued_at) for command in batch.commands]
            if len(traces) == 1:
                headers = (*headers, *traces[0].headers)
        return OutgoingMessage(topic=topic.name, key=batch.key, value=encoded, headers=headers)

    def _record_span(self, command: CommandMessage, issued_at: datetime) -> Trace:
        """Record the sending of a command in the command's own trace, and return its place in that."""
        own = command.own
        attributes: dict[str, str | int] = {
            "termijn.system": command.system,
            "termijn.action": command.common["action"],
            "termijn.command_id": own["command_id"],
            "termijn.attempt": own["attempt"],
            "termijn.records": len(own["records"]),
        }
        if own["supersedes"]:
            attributes["termijn.supersedes"] = own["supersedes"]
        trace = trace_of_command(own["command_id"])
        return self.spans.record_span(
            "command", trace, "producer", issued_at, issued_at, attributes
        )
