"""The simulated systems of `make run`: they store business events, and obey and acknowledge commands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event
from typing import Any
from uuid import uuid4

from confluent_kafka import OFFSET_BEGINNING, Message, TopicPartition

from schemas.cloudevents import CloudEvent, from_headers
from schemas.codec import Codec
from schemas.command_fields import split_commands
from schemas.errors import DecodingFailed, MalformedEvent
from schemas.limits import MAX_COMMAND_RECORDS
from schemas.topics import Topic
from services.agent.simulated.systems import DelayedAcknowledgement, SimulatedSystems
from services.crypto.signing import SignatureInvalid, SignerProtocol, VerifierProtocol
from services.kafka.client import KafkaClient
from services.kafka.message_fields import headers, to_bytes
from services.kafka.producer import KafkaProducer, OutgoingMessage
from services.policy.plans import compile_policy
from services.policy.tagging_error import TaggingFailed

_POLL_SECONDS = 0.2
_BATCH = 2_000


@dataclass(slots=True, kw_only=True)
class SimulatedSystemsLoop:
    """All simulated systems in one process.

    They read every topic from its beginning at each start: to store an event or to obey a command twice
    is harmless.
    """

    bus: KafkaClient
    codec: Codec
    business: Mapping[str, Topic]
    commands: Mapping[str, Topic]
    """The systems' command topics by name."""
    acknowledgements: Mapping[str, Topic]
    """The systems' acknowledgement topics by system."""
    systems: SimulatedSystems
    sender: KafkaProducer
    verifier: VerifierProtocol
    """Verifies that commands are the deleter's."""
    signers: Mapping[str, SignerProtocol]
    """Signs each system's acknowledgements."""
    now: Callable[[], datetime]
    _delayed: list[DelayedAcknowledgement] = field(default_factory=list)

    def run(self, stop: Event) -> None:
        """Run until `stop` is set."""
        consumer = self.bus.open_consumer("termijn-sample-systems")
        try:
            consumer.assign(self._partitions())
            while not stop.is_set():
                polled = consumer.consume(_BATCH, _POLL_SECONDS)
                self._handle_batch([message for message in polled if message.error() is None])
                self._acknowledge()
        finally:
            consumer.close()
            self.systems.close()

    def _partitions(self) -> list[TopicPartition]:
        return [
            TopicPartition(name, partition, OFFSET_BEGINNING)
            for name, partition in self.bus.list_partitions([*self.business, *self.commands])
        ]

    def _handle_batch(self, messages: Sequence[Message]) -> None:
        """Handle a batch: first store the business events, then obey the commands."""
        events = [self._event(message) for message in messages if message.topic() in self.business]
        self.systems.store_events(*(event for event in events if event is not None))
        for message in messages:
            if str(message.topic()) in self.commands:
                self._delayed += self._replies(message)

    def _replies(self, message: Message) -> list[DelayedAcknowledgement]:
        """Return the acknowledgements of commands whose signature is valid; none for anything else."""
        topic = self.commands[str(message.topic())]
        key, value = to_bytes(message.key()), to_bytes(message.value())
        try:
            self.verifier.verify(topic.name, key, value, headers(message), self.now())
            batch = self.codec.decode(topic, value)
        except (DecodingFailed, MalformedEvent, SignatureInvalid):
            return []
        replies = [
            self.systems.handle_command(command, key, self.now())
            for command in split_commands(batch)
        ]
        return [reply for reply in replies if reply is not None]

    def _event(self, message: Message) -> CloudEvent | None:
        """Return the event of a message; None if no system could read it, which the tagger parks."""
        try:
            topic = self.business[str(message.topic())]
            event = from_headers(
                headers(message), self.codec.decode(topic, to_bytes(message.value()))
            )
            compile_policy(self.systems.policy).tag(event)
        except (DecodingFailed, MalformedEvent, TaggingFailed):
            return None
        return event

    def _acknowledge(self) -> None:
        ready = [reply for reply in self._delayed if reply.leaves_at <= self.now()]
        self._delayed = [reply for reply in self._delayed if reply.leaves_at > self.now()]
        together: defaultdict[tuple[str, bytes | None], list[Mapping[str, Any]]] = defaultdict(list)
        for reply in ready:
            together[reply.system, reply.key].append(reply.value)
        self.sender.send(
            [
                self._build_message(system, key, replies[first : first + MAX_COMMAND_RECORDS])
                for (system, key), replies in together.items()
                for first in range(0, len(replies), MAX_COMMAND_RECORDS)
            ]
        )

    def _build_message(
        self, system: str, key: bytes | None, replies: Sequence[Mapping[str, Any]]
    ) -> OutgoingMessage:
        topic = self.acknowledgements[system]
        batch = {
            "acknowledgement_id": str(uuid4()),
            "system": system,
            "acknowledgements": replies,
        }
        value = self.codec.encode(topic, batch, trusted=True)
        headers = self.signers[system].sign(topic.name, key, value, self.now())
        return OutgoingMessage(topic=topic.name, key=key, value=value, headers=headers)
