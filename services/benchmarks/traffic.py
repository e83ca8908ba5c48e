"""Sample events that stand on a broker, ready for whoever reads them, and what came of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from confluent_kafka import TopicPartition

from schemas.catalogue import business_topic
from services.benchmarks.stage import Stage
from services.bus import Bus
from services.publishing import Publisher
from services.sample.events import sample_events
from services.servers.kafka import KafkaBroker

Place = tuple[str, int]
_PATIENCE_SECONDS = 600.0
_BATCH = 5_000


class Stuck(RuntimeError):
    """What a benchmark waited for did not come about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """The same events for every contender."""

    broker: KafkaBroker
    bus: Bus
    sources: tuple[str, ...]
    """The business topics."""
    events: int

    @classmethod
    def published(cls, stage: Stage, *, companies: int, partitions: int | None = None) -> Self:
        """A broker with nothing on it but the events around some companies; each makes about 30.

        A business topic has as many partitions as the catalogue says, unless it is told.
        """
        broker = stage.kafka()
        broker.clear()
        topics = [business_topic(event_type) for event_type in stage.policy.events]
        broker.create_topics({one.name: partitions or one.partitions for one in topics})
        bus = Bus(broker.bootstrap)
        publisher = Publisher(policy=stage.policy, codec=stage.codec, sender=bus.sender())
        at = datetime.now(UTC) - timedelta(minutes=1)
        events = sample_events(stage.policy, at, seed=1, companies=companies)
        count = sum(publisher.send(publisher.message(event) for event in events))
        return cls(broker=broker, bus=bus, sources=tuple(one.name for one in topics), events=count)

    def arrived(self, sink: str, since: Mapping[Place, int]) -> int:
        """How many messages a topic has got since."""
        return sum(end - since.get(place, 0) for place, end in self.bus.ends([sink]).items())

    def read(self, sink: str, since: Mapping[Place, int]) -> frozenset[tuple[bytes, bytes]]:
        """Key and value of each message that a topic has got since, each once."""
        ends = self.bus.ends([sink])
        consumer = self.bus.consumer("benchmark-reader")
        consumer.assign([TopicPartition(*place, since.get(place, 0)) for place in ends])
        left = {place for place, end in ends.items() if end > since.get(place, 0)}
        found = set()
        while left:
            for message in consumer.consume(_BATCH, 1.0):
                place = (str(message.topic()), int(message.partition() or 0))
                if message.error() is None:
                    found.add((bytes(message.key() or b""), bytes(message.value() or b"")))
                if int(message.offset() or 0) + 1 >= ends[place]:
                    left.discard(place)
        consumer.close()
        return frozenset(found)


def wait_until(condition: Callable[[], bool], otherwise: str, *, every: float = 0.05) -> None:
    """Look every so many seconds whether something is so.

    Raises:
        Stuck: it was not in ten minutes.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise Stuck(otherwise)
        time.sleep(every)
