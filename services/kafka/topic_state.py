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
_METADATA_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSnapshot:
    """A topic that is there, as a broker shows it."""

    topic_id: str
    """Another one once it was made anew."""
    end_offsets: Mapping[int, int | None]
    """The end offset of each of its partitions; nothing where no leader tells it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    """A topic to be made, with settings by Kafka's names and the brokers' own replication factor."""

    name: str
    partitions: int
    settings: Mapping[str, str]

    def as_new_topic(self) -> NewTopic:
        """As Kafka's admin interface takes it."""
        return NewTopic(self.name, self.partitions, config=dict(self.settings))


def describe_topics(
    admin: AdminClient,
    topics: Collection[str],
    read_ids: Callable[[Collection[str]], Mapping[str, str]],
) -> Mapping[str, TopicSnapshot]:
    """Those of the topics that are there and may be seen.

    Ids are asked for last: of a topic that is made anew meanwhile no end is told under the new id
    which was the old one's.

    Raises:
        KafkaException: no broker answered.
    """
    metadata = admin.list_topics(timeout=CALL_SECONDS).topics
    partitions = [
        TopicPartition(name, number)
        for name in topics
        if name in metadata
        for number in metadata[name].partitions
    ]
    ends = dict(_end_offsets(admin, partitions))
    ids_by_topic = read_ids({partition.topic for partition in partitions})
    return {
        name: TopicSnapshot(
            topic_id=ids_by_topic[name],
            end_offsets={number: ends.get((name, number)) for number in metadata[name].partitions},
        )
        for name in topics
        if name in ids_by_topic
    }


def _end_offsets(
    admin: AdminClient, partitions: Collection[TopicPartition]
) -> Iterator[tuple[Partition, int]]:
    futures: Mapping[TopicPartition, Future[Any]] = admin.list_offsets(
        {partition: OffsetSpec.latest() for partition in partitions},  # type: ignore[no-untyped-call]  # it has no types
        isolation_level=IsolationLevel.READ_UNCOMMITTED,
        request_timeout=CALL_SECONDS,
    )
    for one, future in futures.items():
        try:
            end = future.result(2 * CALL_SECONDS).offset
        except (KafkaException, TimeoutError):
            continue
        if end >= 0:
            yield (one.topic, one.partition), end


def shows_topics(metadata: ClusterMetadata, topics: Collection[str]) -> bool:
    """Whether a broker shows each of the topics with a leader for each of its partitions."""
    return all(_has_leaders(metadata.topics.get(name)) for name in topics)


def _has_leaders(topic: TopicMetadata | None) -> bool:
    return bool(
        topic
        and topic.error is None
        and topic.partitions
        and all(partition.leader >= 0 for partition in topic.partitions.values())
    )


def broker_without(
    admin: AdminClient, topics: Collection[str], open_admin: Callable[[str], AdminClient]
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
            if not shows_topics(open_admin(address).list_topics(timeout=_METADATA_SECONDS), topics):
                return address
        except KafkaException:
            return address
    return None
