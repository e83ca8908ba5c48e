"""Sample events on a broker, ready for every program that is measured, and the messages it wrote."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from confluent_kafka import TopicPartition

from schemas.cloudevents import CloudEvent
from schemas.topics import business_topic
from services.events.publisher import Publisher
from services.events.sample_events import sample_events
from services.kafka.client import KafkaClient
from services.kafka.producer import OutgoingMessage
from tests.benchmarks.environment import Stage
from tests.servers.kafka import KafkaBroker

Place = tuple[str, int]
_PATIENCE_SECONDS = 180.0
_BATCH = 5_000


class NoProgress(RuntimeError):
    """An event that a benchmark waited for did not happen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """The same events for every program; nothing else is on the broker."""

    broker: KafkaBroker
    bus: KafkaClient
    topics: Mapping[str, int]
    """The business topics, each with its number of partitions."""
    first: Sequence[OutgoingMessage]
    """The events of one company: a program that has published them has started."""
    rest: Sequence[OutgoingMessage]

    @classmethod
    def made(cls, stage: Stage, *, companies: int, partitions: int | None = None) -> Self:
        """Return events of some companies, about 30 each, that are not on Kafka yet.

        A business topic gets the partitions of the catalogue, unless `partitions` is given.
        """
        at = datetime.now(UTC) - timedelta(minutes=1)
        first = sample_events(stage.policy, at, seed=1, companies=1)
        rest = sample_events(stage.policy, at, seed=2, companies=companies - 1)
        return cls.of(stage, first, rest, partitions)

    @classmethod
    def of(
        cls,
        stage: Stage,
        first: Iterable[CloudEvent],
        rest: Iterable[CloudEvent],
        partitions: int | None = None,
    ) -> Self:
        """Return the traffic of these events, encoded but not on the bus yet."""
        broker = stage.kafka()
        bus = KafkaClient(broker.bootstrap)
        topics = [business_topic(event_type) for event_type in stage.policy.events]
        publisher = Publisher(policy=stage.policy, codec=stage.codec, sender=bus.open_producer())
        return cls(
            broker=broker,
            bus=bus,
            topics={topic.name: partitions or topic.partitions for topic in topics},
            first=[publisher.build_message(event) for event in first],
            rest=[publisher.build_message(event) for event in rest],
        )

    @property
    def events(self) -> int:
        """Return how many there are."""
        return len(self.first) + len(self.rest)

    def begin(self) -> None:
        """Clear the broker and send the first events; the same messages get the same offsets each time."""
        self.broker.clear()
        self.broker.create_topics(self.topics)
        self.bus.open_producer().send(self.first)

    def go_on(self) -> None:
        """Send the rest of the events."""
        self.bus.open_producer().send(self.rest)

    def arrived(self, sink: str, since: Mapping[Place, int]) -> int:
        """Return how many messages a topic has received since."""
        return sum(end - since.get(place, 0) for place, end in self.bus.end_offsets([sink]).items())

    def read(self, sink: str) -> frozenset[tuple[bytes, bytes]]:
        """Return key and value of each message of a topic, each once."""
        ends = self.bus.end_offsets([sink])
        consumer = self.bus.open_consumer("benchmark-reader")
        consumer.assign([TopicPartition(*place, 0) for place in ends])
        unread = {place for place, end in ends.items() if end}
        messages = set()
        while unread:
            for message in consumer.consume(_BATCH, 1.0):
                place = (str(message.topic()), int(message.partition() or 0))
                if message.error() is None:
                    messages.add((bytes(message.key() or b""), bytes(message.value() or b"")))
                if int(message.offset() or 0) + 1 >= ends[place]:
                    unread.discard(place)
        consumer.close()
        return frozenset(messages)


def wait_until(condition: Callable[[], bool], otherwise: str, *, every: float = 0.05) -> None:
    """Check a condition at an interval of so many seconds.

    Raises:
        NoProgress: it was not true within three minutes.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise NoProgress(otherwise)
        time.sleep(every)
