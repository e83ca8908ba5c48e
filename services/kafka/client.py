"""The bus: Kafka by confluent-kafka, behind the few things that Termijn asks of it.

Consumers never reset a position by themselves (`auto.offset.reset=error`); producers wait for every
in-sync replica, and what is sent counts only once the broker has said so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from time import monotonic, sleep
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
)
from confluent_kafka.admin import AdminClient

from schemas.topics import Topic
from services.kafka.errors import KafkaAccessDenied, KafkaUnavailable
from services.kafka.producer import DELIVERY_SECONDS, BulkProducer, KafkaProducer
from services.kafka.security import PLAINTEXT, Security, explain_error, librdkafka_config
from services.kafka.topic_state import TopicSnapshot, TopicSpec, broker_without, describe_topics
from services.storage.offsets import EMBEDDED_CLUSTER_PREFIX

_TRANSPORT_ERRORS = 0  # librdkafka says nothing on stderr: what it has to say comes as an error
_RETRY_SECONDS = 0.2
_INVISIBLE_ERRORS = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED)
_AUTHORIZATION_ERRORS = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
)
_CALL_SECONDS = 15.0
_PREFETCH_KIB = 1_024
"""What waits in a consumer for its role to come: a backlog must not fill memory. More is no faster."""
_FETCH_BYTES = 262_144
"""What one fetch asks of a partition; a larger message comes alone."""
_REFRESH_MS = 5_000
"""How soon a role learns of partitions that were added; until it has read them the deleter is blind."""
_METADATA_SECONDS = 1.0
_MAX_ERRORS = 20
"""So many of librdkafka's last words, to tell why it does not get through."""


class KafkaClient:
    """One cluster. `cluster_id` is its own word, or what a setting says for one that tells none."""

    def __init__(
        self, bootstrap: str, cluster_id: str = "", security: Security = PLAINTEXT
    ) -> None:
        """Reach the cluster.

        Raises:
            KafkaAccessDenied: it does not let us in as we are; the setting to mend is named.
            KafkaUnavailable: it does not answer.
        """
        self._security = security
        self._errors: deque[str] = deque(maxlen=_MAX_ERRORS)
        self._connection: Mapping[str, Any] = {
            "bootstrap.servers": bootstrap,
            "log_level": _TRANSPORT_ERRORS,
            **librdkafka_config(security),
        }
        try:
            callbacks: Mapping[str, Any] = {"error_cb": self._collect_error}
            self._admin = AdminClient({**self._connection, **callbacks})
        except KafkaException as cause:
            raise KafkaAccessDenied("reach the bus", self._configuration_problem(cause)) from cause
        self.cluster_id = cluster_id or self._read_cluster_id()

    @property
    def admin(self) -> AdminClient:
        """The cluster's admin interface, for what is not offered here by name."""
        return self._admin

    @property
    def is_embedded(self) -> bool:
        """Whether it is librdkafka's own, in memory, which lacks most of what admins ask for."""
        return self.cluster_id.startswith(EMBEDDED_CLUSTER_PREFIX)

    def open_consumer(self, group: str) -> Consumer:
        """A consumer whose positions are given to it, and stay where they were put."""
        return Consumer(
            {
                **self._connection,
                "group.id": group,
                "auto.offset.reset": "error",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "partition.assignment.strategy": "range",
                "session.timeout.ms": 10_000,
                "topic.metadata.refresh.interval.ms": _REFRESH_MS,
                "fetch.wait.max.ms": 50,
                "queued.max.messages.kbytes": _PREFETCH_KIB,
                "fetch.message.max.bytes": _FETCH_BYTES,
            }
        )

    def open_producer(self, timeout_seconds: float = DELIVERY_SECONDS) -> KafkaProducer:
        """Something that sends and waits for the broker's word, so many seconds for each message."""
        timeout = {"message.timeout.ms": int(timeout_seconds * 1000)}
        return KafkaProducer(lambda: self.open_raw_producer(timeout), timeout_seconds)

    def open_bulk_producer(self) -> BulkProducer:
        """Return a producer for many messages, which learns only of those that failed."""
        return BulkProducer(lambda: self.open_raw_producer({"delivery.report.only.error": True}))

    def open_raw_producer(self, overrides: Mapping[str, bool | int] | None = None) -> Producer:
        """A producer that waits for every in-sync replica, with further settings."""
        return Producer(
            {
                **self._connection,
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 5,
                "compression.type": "lz4",
                "message.timeout.ms": int(DELIVERY_SECONDS * 1000),
                **(overrides or {}),
            }
        )

    def ensure_topics(self, topics: Iterable[Topic]) -> None:
        """Make the topics that are not there, as the catalogue has them; see `create_topics`.

        Raises:
            KafkaUnavailable: the brokers did not make one of them, or do not show it.
            KafkaAccessDenied: one is not there for this user, who may not make it either.
        """
        self.create_topics(
            TopicSpec(
                name=topic.name,
                partitions=topic.partitions,
                settings={
                    "retention.ms": str(topic.retention_ms or -1),
                    "segment.ms": str(topic.segment_ms),
                    "cleanup.policy": topic.cleanup,
                    **topic.timestamps,
                },
            )
            for topic in self.missing_topics(topics)
        )

    def create_topics(self, topics: Iterable[TopicSpec]) -> None:
        """Make topics, and return once every broker shows them all, with leaders that answer.

        Brokers answer that a topic is made before they show it. One that another has made meanwhile
        stays as that one made it.

        Raises:
            KafkaUnavailable: the brokers did not make one of them, or do not show it.
            KafkaAccessDenied: one is not there for this user, who may not make it either.
        """
        new = [topic.as_new_topic() for topic in topics]
        if not new:
            return
        for name, future in self._admin.create_topics(new).items():
            try:
                future.result(_CALL_SECONDS)
            except TimeoutError as cause:
                raise KafkaUnavailable(f"make topic {name}", "no answer in time") from cause
            except KafkaException as cause:
                if cause.args[0].code() in _AUTHORIZATION_ERRORS:
                    reason = "it is not there, or may not be seen, and may not be made by this user"
                    raise KafkaAccessDenied(f"find topic {name}", reason) from cause
                if cause.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise KafkaUnavailable(f"make topic {name}", str(cause.args[0])) from cause
        names = [topic.topic for topic in new]
        self._wait_for_every_broker(names)
        self.end_offsets(names)

    def _wait_for_every_broker(self, names: Sequence[str]) -> None:
        clients: dict[str, AdminClient] = {}

        def open_admin(address: str) -> AdminClient:
            if address not in clients:
                clients[address] = AdminClient({**self._connection, "bootstrap.servers": address})
            return clients[address]

        deadline = monotonic() + _CALL_SECONDS
        while address := self._call("look", lambda: broker_without(self._admin, names, open_admin)):
            if monotonic() > deadline:
                reason = f"the broker {address} does not show it, or others made with it"
                raise KafkaUnavailable(f"find topic {names[0]}", reason)
            sleep(_RETRY_SECONDS)

    def list_partitions(self, topics: Collection[str]) -> Sequence[tuple[str, int]]:
        """Every partition of the topics, by name and number; waits for what was just made.

        Raises:
            KafkaUnavailable: the brokers did not answer, or do not show one of the topics.
        """
        return list(self.end_offsets(topics))

    def missing_topics(self, topics: Iterable[Topic]) -> list[Topic]:
        """Those of the topics that are not there, or may not be seen.

        Raises:
            KafkaUnavailable: the broker did not answer.
        """
        if self.is_embedded:
            return []  # the embedded broker makes whatever is named
        known_topics = self._call(
            "list topics", lambda: self._admin.list_topics(timeout=_CALL_SECONDS)
        ).topics
        return [topic for topic in topics if topic.name not in known_topics]

    def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        """The id of each topic that is there and may be seen: one that is made anew has another.

        Raises:
            KafkaUnavailable: the broker did not answer.
        """
        if self.is_embedded:
            return {
                topic: str(uuid5(NAMESPACE_URL, f"{self.cluster_id}/{topic}")) for topic in topics
            }
        if not topics:
            return {}
        self._admin.poll(0)
        futures = self._admin.describe_topics(
            TopicCollection(list(topics)), request_timeout=_CALL_SECONDS
        )
        ids = {}
        for name, future in futures.items():
            try:
                ids[name] = str(future.result(_CALL_SECONDS).topic_id)
            except TimeoutError as cause:
                raise KafkaUnavailable(f"describe {name}", "no answer in time") from cause
            except KafkaException as cause:
                if cause.args[0].code() not in _INVISIBLE_ERRORS:
                    raise KafkaUnavailable(f"describe {name}", str(cause.args[0])) from cause
        return ids

    def describe_topics(self, topics: Collection[str]) -> Mapping[str, TopicSnapshot]:
        """Those of the topics that are there, with what the brokers tell of them; waits for nothing.

        Raises:
            KafkaUnavailable: the brokers did not answer.
        """
        topics_by_name: Mapping[str, TopicSnapshot] = self._call(
            "look at topics", lambda: describe_topics(self._admin, topics, self.topic_ids)
        )
        return topics_by_name

    def end_offsets(self, topics: Collection[str]) -> Mapping[tuple[str, int], int]:
        """The end offset of every partition of the topics; waits for leaders that are being found.

        Raises:
            KafkaUnavailable: the brokers did not answer, or do not show one of the topics, or no leader
                tells the end of one of its partitions: who passed over it would take what is on it
                for read.
        """
        deadline = monotonic() + _CALL_SECONDS
        while True:
            described = self.describe_topics(topics)
            missing = [
                name for name in topics if not (name in described and described[name].end_offsets)
            ]
            ends = {
                (name, number): end
                for name in described
                for number, end in described[name].end_offsets.items()
            }
            leaderless = [partition for partition, end in ends.items() if end is None]
            if not missing and not leaderless:
                return {place: end for place, end in ends.items() if end is not None}
            if monotonic() > deadline:
                if missing:
                    raise KafkaUnavailable(
                        f"find topic {missing[0]}", "the broker does not show it"
                    )
                topic, number = leaderless[0]
                raise KafkaUnavailable(f"find the end of {topic}[{number}]", "no leader tells it")
            sleep(_RETRY_SECONDS)

    def _read_cluster_id(self) -> str:
        deadline = monotonic() + _CALL_SECONDS
        while True:  # librdkafka tries again what will never work: what it says meanwhile tells
            try:
                metadata = self._admin.list_topics(timeout=min(_METADATA_SECONDS, _CALL_SECONDS))
            except KafkaException as cause:
                self._admin.poll(0)
                if reason := explain_error(self._security, self._errors):
                    raise KafkaAccessDenied("reach the bus", reason) from cause
                if monotonic() > deadline:
                    names, protocol = self._security.names, self._security.protocol
                    settings = f"{names.bootstrap_servers} by {protocol}, {names.protocol}"
                    reason = f"{cause.args[0].str()} ({settings})"
                    raise KafkaUnavailable("find the cluster", reason) from cause
            else:
                return str(metadata.cluster_id)

    def _collect_error(self, error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # it says so after each reason
            self._errors.append(error.str())

    def _configuration_problem(self, cause: KafkaException) -> str:
        names = self._security.names
        files = f"{names.ca_file}, {names.certificate_file} or {names.key_file}"
        return f"{cause.args[0].str()}: mend {files}"

    def _call(self, action: str, call: Any) -> Any:
        try:
            result = call()
        except KafkaException as cause:
            raise KafkaUnavailable(action, str(cause.args[0])) from cause
        finally:
            self._admin.poll(0)  # what it has to say must not pile up
        return result
