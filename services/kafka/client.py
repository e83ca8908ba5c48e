"""The Kafka client: consumers, producers, and what the brokers report of their topics.

Consumers never reset an offset on their own (`auto.offset.reset=error`). Producers wait for every in-sync
replica, and a message counts as sent only once the broker has acknowledged it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from time import monotonic, sleep
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicCollection
from confluent_kafka.admin import AdminClient

from schemas.topics import Topic
from services.kafka.client_settings import CONSUMER_SETTINGS, PRODUCER_SETTINGS
from services.kafka.errors import KafkaAccessDenied, KafkaUnavailable
from services.kafka.producer import DELIVERY_SECONDS, BulkProducer, KafkaProducer
from services.kafka.security import PLAINTEXT, Security, explain_error, librdkafka_config
from services.kafka.topic_state import TopicSnapshot, TopicSpec, broker_without, describe_topics
from services.storage.offsets import EMBEDDED_CLUSTER_PREFIX

_TRANSPORT_ERRORS = 0  # librdkafka logs nothing to stderr: it reports errors to the callback
_RETRY_SECONDS = 0.2
_INVISIBLE_ERRORS = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED)
_AUTHORIZATION_ERRORS = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
)
_CALL_SECONDS = 15.0
_METADATA_SECONDS = 1.0
_MAX_ERRORS = 20
"""How many of librdkafka's latest errors are kept, to explain why it cannot connect."""


class KafkaClient:
    """A client of one cluster. `cluster_id` is what the brokers report, unless one is configured."""

    def __init__(
        self, bootstrap: str, cluster_id: str = "", security: Security = PLAINTEXT
    ) -> None:
        """Connect to the cluster.

        Raises:
            KafkaAccessDenied: the brokers deny access; the error names the setting to fix.
            KafkaUnavailable: the brokers do not respond.
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
            names = security.names
            files = f"{names.ca_file}, {names.certificate_file} or {names.key_file}"
            raise KafkaAccessDenied("connect to Kafka", cause.args[0].str(), files) from cause
        self.cluster_id = cluster_id or self._read_cluster_id()

    @property
    def admin(self) -> AdminClient:
        """The cluster's admin interface, for what this class does not offer."""
        return self._admin

    @property
    def is_embedded(self) -> bool:
        """Whether this is the embedded broker, which supports few admin requests."""
        return self.cluster_id.startswith(EMBEDDED_CLUSTER_PREFIX)

    def open_consumer(self, group: str) -> Consumer:
        """Return a consumer that reads from assigned offsets only, and commits none to Kafka."""
        return Consumer({**self._connection, **CONSUMER_SETTINGS, "group.id": group})

    def open_producer(self, timeout_seconds: float = DELIVERY_SECONDS) -> KafkaProducer:
        """Return a producer that waits for the broker to acknowledge each message, up to a timeout."""
        timeout = {"message.timeout.ms": int(timeout_seconds * 1000)}
        return KafkaProducer(lambda: self.open_raw_producer(timeout), timeout_seconds)

    def open_bulk_producer(self) -> BulkProducer:
        """Return a producer for many messages, which learns only of those that failed."""
        return BulkProducer(lambda: self.open_raw_producer({"delivery.report.only.error": True}))

    def open_raw_producer(self, overrides: Mapping[str, bool | int] | None = None) -> Producer:
        """Return librdkafka's producer, which waits for every in-sync replica, with settings added."""
        return Producer({**self._connection, **PRODUCER_SETTINGS, **(overrides or {})})

    def ensure_topics(self, topics: Iterable[Topic]) -> None:
        """Create the topics that do not exist, as the catalogue defines them; see `create_topics`.

        Raises:
            KafkaUnavailable: the brokers did not create one of them, or do not show it.
            KafkaAccessDenied: this user can neither see one of them nor create it.
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
        """Create topics, and return once every broker shows them all, with leaders that respond.

        Brokers acknowledge a topic before they show it. A topic that another process has created meanwhile
        stays as it is.

        Raises:
            KafkaUnavailable: the brokers did not create one of them, or do not show it.
            KafkaAccessDenied: this user can neither see one of them nor create it.
        """
        new_topics = [topic.as_new_topic() for topic in topics]
        if not new_topics:
            return
        for name, future in self._admin.create_topics(new_topics).items():
            try:
                future.result(_CALL_SECONDS)
            except TimeoutError as cause:
                raise KafkaUnavailable(f"create topic {name}", "no response in time") from cause
            except KafkaException as cause:
                if cause.args[0].code() in _AUTHORIZATION_ERRORS:
                    reason = "it does not exist or is not visible, and this user may not create it"
                    raise KafkaAccessDenied(f"find topic {name}", reason) from cause
                if cause.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise KafkaUnavailable(f"create topic {name}", str(cause.args[0])) from cause
        names = [topic.topic for topic in new_topics]
        self._wait_for_every_broker(names)
        self.end_offsets(names)

    def _wait_for_every_broker(self, names: Sequence[str]) -> None:
        clients: dict[str, AdminClient] = {}

        def open_admin(address: str) -> AdminClient:
            if address not in clients:
                clients[address] = AdminClient({**self._connection, "bootstrap.servers": address})
            return clients[address]

        deadline = monotonic() + _CALL_SECONDS
        while address := self._call(
            "list brokers", lambda: broker_without(self._admin, names, open_admin)
        ):
            if monotonic() > deadline:
                reason = f"the broker {address} does not show it, or others created with it"
                raise KafkaUnavailable(f"find topic {names[0]}", reason)
            sleep(_RETRY_SECONDS)

    def list_partitions(self, topics: Collection[str]) -> Sequence[tuple[str, int]]:
        """Return every partition of the topics, by name and number; wait for topics just created.

        Raises:
            KafkaUnavailable: the brokers did not respond, or do not show one of the topics.
        """
        return list(self.end_offsets(topics))

    def missing_topics(self, topics: Iterable[Topic]) -> list[Topic]:
        """Return the topics that do not exist or that this user may not see.

        Raises:
            KafkaUnavailable: the broker did not respond.
        """
        if self.is_embedded:
            return []  # the embedded broker creates any topic that is named
        known_topics = self._call(
            "list topics", lambda: self._admin.list_topics(timeout=_CALL_SECONDS)
        ).topics
        return [topic for topic in topics if topic.name not in known_topics]

    def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        """Return the id of each topic that is visible; a topic that is created again has another id.

        Raises:
            KafkaUnavailable: the broker did not respond.
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
                raise KafkaUnavailable(f"describe {name}", "no response in time") from cause
            except KafkaException as cause:
                if cause.args[0].code() not in _INVISIBLE_ERRORS:
                    raise KafkaUnavailable(f"describe {name}", str(cause.args[0])) from cause
        return ids

    def describe_topics(self, topics: Collection[str]) -> Mapping[str, TopicSnapshot]:
        """Return ids and end offsets of the topics that exist, as the brokers report them, without waiting.

        Raises:
            KafkaUnavailable: the brokers did not respond.
        """
        topics_by_name: Mapping[str, TopicSnapshot] = self._call(
            "describe topics", lambda: describe_topics(self._admin, topics, self.topic_ids)
        )
        return topics_by_name

    def end_offsets(self, topics: Collection[str]) -> Mapping[tuple[str, int], int]:
        """Return the end offset of every partition of the topics; wait for leader election.

        Raises:
            KafkaUnavailable: the brokers did not respond, do not show one of the topics, or no leader
                reports the end of a partition. A caller that left it out would take its messages for read.
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
                raise KafkaUnavailable(f"find the end of {topic}[{number}]", "no leader reports it")
            sleep(_RETRY_SECONDS)

    def _read_cluster_id(self) -> str:
        deadline = monotonic() + _CALL_SECONDS
        while True:  # librdkafka retries even what never works; its errors explain why
            try:
                metadata = self._admin.list_topics(timeout=min(_METADATA_SECONDS, _CALL_SECONDS))
            except KafkaException as cause:
                self._admin.poll(0)
                if problem := explain_error(self._security, self._errors):
                    raise KafkaAccessDenied("connect to Kafka", *problem) from cause
                if monotonic() > deadline:
                    names, protocol = self._security.names, self._security.protocol
                    settings = f"{names.bootstrap_servers} by {protocol}, {names.protocol}"
                    reason = f"{cause.args[0].str()} ({settings})"
                    raise KafkaUnavailable("find the cluster", reason) from cause
            else:
                return str(metadata.cluster_id)

    def _collect_error(self, error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # it follows each actual reason
            self._errors.append(error.str())

    def _call(self, action: str, call: Any) -> Any:
        try:
            result = call()
        except KafkaException as cause:
            raise KafkaUnavailable(action, str(cause.args[0])) from cause
        finally:
            self._admin.poll(0)  # serve its callbacks, so that they do not pile up
        return result
