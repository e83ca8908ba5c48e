"""Topics as the brokers show them at this moment: their ids, their partitions, and how far each goes.

What a broker does not tell stays unknown. It is never passed over, and never taken for an empty log:
librdkafka hands out -1001, and no error, for every partition of which the leader did not answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.admin._metadata import ClusterMetadata, TopicMetadata
from confluent_kafka.cimpl import NewTopic

Partition = tuple[str, int]
CALL_SECONDS = 15.0
_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A topic that is there, as a broker shows it."""

    topic_id: str
    """Another one once it was made anew."""
    ends: Mapping[int, int | None]
    """The end offset of each of its partitions; nothing where no leader tells it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """A topic to be made, with settings by Kafka's names and the brokers' own replication factor."""

    name: str
    partitions: int
    settings: Mapping[str, str]

    def as_new(self) -> NewTopic:
        """As Kafka's admin interface takes it."""
        return NewTopic(self.name, self.partitions, config=dict(self.settings))


def look(
    admin: AdminClient,
    topics: Collection[str],
    ids: Callable[[Collection[str]], Mapping[str, str]],
) -> Mapping[str, Shown]:
    """Those of the topics that are there and may be seen.

    Ids are asked for last: of a topic that is made anew meanwhile no end is told under the new id
    which was the old one's.

    Raises:
        KafkaException: no broker answered.
    """
    listed = admin.list_topics(timeout=CALL_SECONDS).topics
    places = [
        TopicPartition(name, number)
        for name in topics
        if name in listed
        for number in listed[name].partitions
    ]
    ends = dict(_ends(admin, places))
    known = ids({one.topic for one in places})
    return {
        name: Shown(
            topic_id=known[name],
            ends={number: ends.get((name, number)) for number in listed[name].partitions},
        )
        for name in topics
        if name in known
    }


def _ends(
    admin: AdminClient, places: Collection[TopicPartition]
) -> Iterator[tuple[Partition, int]]:
    asked: Mapping[TopicPartition, Future[Any]] = admin.list_offsets(
        {one: OffsetSpec.latest() for one in places},  # type: ignore[no-untyped-call]  # it has no types
        isolation_level=IsolationLevel.READ_UNCOMMITTED,
        request_timeout=CALL_SECONDS,
    )
    for one, answer in asked.items():
        try:
            end = answer.result(2 * CALL_SECONDS).offset
        except (KafkaException, TimeoutError):
            continue
        if end >= 0:
            yield (one.topic, one.partition), end


def shows(listed: ClusterMetadata, topics: Collection[str]) -> bool:
    """Whether a broker shows each of the topics with a leader for each of its partitions."""
    return all(_is_led(listed.topics.get(name)) for name in topics)


def _is_led(topic: TopicMetadata | None) -> bool:
    return bool(
        topic
        and topic.error is None
        and topic.partitions
        and all(one.leader >= 0 for one in topic.partitions.values())
    )


def silent_about(
    admin: AdminClient, topics: Collection[str], reach: Callable[[str], AdminClient]
) -> str | None:
    """A broker that does not show one of the topics yet, or nothing; `reach` opens a client of one.

    Each is asked by a client of its own: who asks the cluster asks whichever broker comes first.

    Raises:
        KafkaException: no broker answered.
    """
    for broker in admin.list_topics(timeout=CALL_SECONDS).brokers.values():
        host = str(broker.host)
        address = f"[{host}]:{broker.port}" if ":" in host else f"{host}:{broker.port}"
        try:
            if not shows(reach(address).list_topics(timeout=_LOOK_SECONDS), topics):
                return address
        except KafkaException:
            return address
    return None
