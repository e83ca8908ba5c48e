"""Topics as the brokers report them now: their ids, partitions and end offsets.

What a broker does not report stays unknown. It is never left out, and never taken for an empty log:
librdkafka returns -1001 and no error for every partition whose leader did not respond.
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
    """A topic that exists, as a broker reports it."""

    topic_id: str
    """A topic that is created again has another id."""
    end_offsets: Mapping[int, int | None]
    """The end offset of each of its partitions; None if no leader reports it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    """A topic to be created, with Kafka's settings and the brokers' default replication factor."""

    name: str
    partitions: int
    settings: Mapping[str, str]

    def as_new_topic(self) -> NewTopic:
        """Return it as Kafka's admin interface expects it."""
        return NewTopic(self.name, self.partitions, config=dict(self.settings))


def describe_topics(
    admin: AdminClient,
    topics: Collection[str],
    read_ids: Callable[[Collection[str]], Mapping[str, str]],
) -> Mapping[str, TopicSnapshot]:
    """Return the topics that exist and are visible.

    Ids are read last: if a topic is created again meanwhile, no end offset of the old topic is returned
    under the new id.

    Raises:
        KafkaException: no broker responded.
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
    for partition, future in futures.items():
        try:
            end = future.result(2 * CALL_SECONDS).offset
        except (KafkaException, TimeoutError):
            continue
        if end >= 0:
            yield (partition.topic, partition.partition), end


def shows_topics(metadata: ClusterMetadata, topics: Collection[str]) -> bool:
    """Return whether a broker shows each of the topics with a leader for each of its partitions."""
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
    """Return the address of a broker that does not show one of the topics yet, or None.

    `open_admin` opens a client of one broker. Each broker has its own: a client of the cluster sends its
    requests to any broker.

    Raises:
        KafkaException: no broker responded.
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
