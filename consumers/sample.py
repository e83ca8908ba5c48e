"""The simulated systems on the bus: they take in business events, obey commands and answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from consumers.messages import as_bytes, headers
from schemas.catalogue import Topic
from schemas.codec import Codec
from schemas.errors import MalformedEvent, Undecodable
from schemas.events import from_headers
from services.bus import Bus, OutMessage, Sender
from services.policy.tagging import Untaggable
from services.sample.systems import Reply, Systems

_POLL_SECONDS = 0.2
_AT_ONCE = 500


@dataclass(slots=True, kw_only=True)
class SampleSystems:
    """All simulated systems in one process. They read every topic from its beginning at each start:
    holding and obeying twice is harmless."""

    bus: Bus
    codec: Codec
    business: Mapping[str, Topic]
    commands: Mapping[str, Topic]
    """The systems' command topics by name."""
    acknowledgements: Mapping[str, Topic]
    """Where each system answers."""
    systems: Systems
    sender: Sender
    now: Callable[[], datetime]
    _late: list[Reply] = field(default_factory=list)

    def run(self, stop: Event) -> None:
        """Run until `stop` is set."""
        consumer = self.bus.consumer("termijn-sample-systems")
        try:
            consumer.assign(self._everything(consumer))
            while not stop.is_set():
                for message in consumer.consume(_AT_ONCE, _POLL_SECONDS):
                    if message.error() is None:
                        self._take(message)
                self._answer()
        finally:
            consumer.close()
            self.systems.close()

    def _everything(self, consumer: Consumer) -> list[TopicPartition]:
        listed = consumer.list_topics(timeout=15).topics
        return [
            TopicPartition(name, partition, OFFSET_BEGINNING)
            for name in [*self.business, *self.commands]
            for partition in listed[name].partitions
        ]

    def _take(self, message: Message) -> None:
        name = str(message.topic())
        if name in self.commands:
            command = self.codec.decode(self.commands[name], as_bytes(message.value()))
            reply = self.systems.told(command, as_bytes(message.key()), self.now())
            if reply is not None:
                self._late.append(reply)
            return
        try:
            body = self.codec.decode(self.business[name], as_bytes(message.value()))
            self.systems.happened(from_headers(headers(message), body))
        except (Undecodable, MalformedEvent, Untaggable):
            return  # the tagger parks it; what no system could read, none holds

    def _answer(self) -> None:
        ready = [reply for reply in self._late if reply.leaves_at <= self.now()]
        self._late = [reply for reply in self._late if reply.leaves_at > self.now()]
        self.sender.send(
            [
                OutMessage(
                    topic=self.acknowledgements[reply.system].name,
                    key=reply.key,
                    value=self.codec.encode(
                        self.acknowledgements[reply.system], reply.value, own=True
                    ),
                )
                for reply in ready
            ]
        )
