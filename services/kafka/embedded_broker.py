"""The embedded broker: librdkafka's mock cluster in this process, to try Termijn and for fast tests.

Measured with librdkafka 2.16.0.

Works: real sockets on 127.0.0.1, also for other processes; producing, idempotent too; `assign` at a
given position; watermarks; an error for a position outside the log (`auto.offset.reset=error`);
groups, with rebalances and commits. Joining a group takes 3 seconds; `assign` alone takes none.

Does not work: durability (memory only); CreateTopics, DeleteTopics, DescribeTopics and
DescribeCluster time out, so there are no topic ids; DeleteRecords is unsupported;
`offsets_for_times` always returns "end"; transactions seem to commit and prove nothing. Any topic
that a client names is created with 4 partitions, even a misspelt one. The cluster id in its metadata
is a memory address and may recur. Past 5 MiB or 100,000 batches a partition drops its oldest records;
only the low watermark shows it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin._metadata import ClusterMetadata

from schemas.errors import TermijnError

PARTITIONS = 4
"""How many partitions each of its topics has; librdkafka fixes the number."""

_CALL_SECONDS = 10.0
_ONLY_ERRORS = 3


class EmbeddedBrokerFailed(TermijnError):
    """The embedded broker did not respond or did not create a topic.

    The operator starts Termijn again; if it recurs, ports on 127.0.0.1 cannot be opened on this machine.
    """

    def __init__(self, *, topic: str | None, reason: str) -> None:
        super().__init__(f"embedded broker: {reason}" + (f" (topic {topic})" if topic else ""))
        self.topic = topic
        self.reason = reason


class EmbeddedBroker:
    """A broker that runs as long as the `with` block, on 127.0.0.1 only.

    Each start is a new cluster with empty logs: offsets of an earlier one mean nothing.
    """

    def __init__(self) -> None:
        self.cluster_id = f"embedded-{uuid.uuid4()}"
        # The broker belongs to this client and ends with it.
        self._host = Producer(
            {"bootstrap.servers": "", "test.mock.num.brokers": 1, "log_level": _ONLY_ERRORS}
        )
        brokers = self._metadata().brokers.values()
        self.bootstrap = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._host.close()

    def create_topics(self, names: Iterable[str]) -> None:
        """Create the topics that do not exist yet, each with `PARTITIONS` partitions.

        Raises:
            EmbeddedBrokerFailed: names the first topic that could not be created.
        """
        for name in names:
            topic = self._metadata(name).topics[name]
            if len(topic.partitions) != PARTITIONS:
                raise EmbeddedBrokerFailed(topic=name, reason=f"{len(topic.partitions)} partitions")

    def _metadata(self, topic: str | None = None) -> ClusterMetadata:
        # Reading a topic's metadata creates it; CreateTopics does not work here.
        try:
            metadata: ClusterMetadata = self._host.list_topics(topic, timeout=_CALL_SECONDS)
        except KafkaException as cause:
            raise EmbeddedBrokerFailed(topic=topic, reason=str(cause)) from cause
        return metadata
