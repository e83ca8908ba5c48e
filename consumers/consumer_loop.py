"""The loop of every role that reads Kafka: poll a batch of messages, let the role handle it, repeat.

Offsets are stored in the ledger, passed to Kafka in `assign`, and advanced in the transaction that writes
the result of the batch. A batch that cannot be applied is read again, never skipped. A batch that fails the
same way each time is halved until the message that causes it is alone and parked
(`consumers.batch_application`). The role stops if Kafka has deleted messages that were not read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Event
from time import monotonic
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from sqlalchemy.exc import DBAPIError

from consumers.batch_application import BatchHandler, apply_batch
from consumers.offset_holes import read_skipped
from schemas.errors import TermijnError
from services.kafka.client import KafkaClient
from services.kafka.error_classification import RETRYABLE_ERRORS
from services.kafka.errors import KafkaAccessDenied, KafkaUnavailable
from services.kafka.role_loop import LoopObserver
from services.kafka.topic_state import Partition
from services.storage import offsets, pause
from services.storage.database import Database, describe_error
from services.storage.gaps import OffsetGap, open_gap, record_gap
from services.storage.gc_pause import gc_paused
from services.storage.offsets import Fenced, OffsetAdvance, PartitionId, StoredOffset, TopicReplaced

_CHECK_SECONDS = 2.0
_RETRY_SECONDS = 1.0
_BATCH_RETRY_SECONDS = 0.5
_WATERMARK_SECONDS = 15.0
_RETRYABLE_ERRORS = (*RETRYABLE_ERRORS, Fenced)
_UNKNOWN_TOPIC_ERRORS = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)
_FATAL_ERRORS = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.SASL_AUTHENTICATION_FAILED,
)


class _Stopping(BaseException):
    """The role has to stop while a batch is being retried; nothing of the batch is applied."""


class OffsetsLost(TermijnError):
    """Kafka deleted messages before the role read them, or replaced the topic; the role has stopped.

    The operator finds out what was lost, has it published again if possible, and accepts each gap
    with `termijn gaps accept`; then the role is started again.
    """

    def __init__(self, gaps: Sequence[OffsetGap]) -> None:
        gap = gaps[0]
        partition = f"{gap.log.topic}[{gap.log.partition}]"
        super().__init__(
            f"{gap.role}: {partition}: expected offset {gap.expected}, the log has"
            f" {gap.low} to {gap.high} ({len(gaps)} gaps; see `termijn gaps list`)"
        )
        self.gaps = gaps


class ConsumerLoopObserver(LoopObserver, Protocol):
    """Receives how a consumer loop is doing: metrics, health and logs."""

    def batch_applied(self, messages: int, seconds: float) -> None:
        """A batch was applied."""

    def lag_measured(self, topic: str, partition: int, messages: int) -> None:
        """This many messages of a partition are not read yet."""

    def gap_found(self, gap: OffsetGap) -> None:
        """Kafka deleted messages before they were read."""


@dataclass(slots=True, kw_only=True)
class ConsumerLoop:
    """The loop of one process of a role. `now` is this machine's clock, UTC."""

    role: str
    bus: KafkaClient
    ledger: Database
    topics: Sequence[str]
    group: str
    handler: BatchHandler
    observer: ConsumerLoopObserver
    now: Callable[[], datetime]
    batch_size: int
    batch_seconds: float
    _partition_ids: dict[Partition, PartitionId] = field(default_factory=dict)
    _next_offsets: dict[Partition, int] = field(default_factory=dict)
    _stored_offsets: dict[Partition, int | None] = field(default_factory=dict)
    _gaps: list[OffsetGap] = field(default_factory=list)
    _second_consumer: Consumer | None = None
    """Reads the offsets again that the first consumer skipped."""
    _has_assignment: bool = False
    _paused: bool = False

    def run(self, stop: Event) -> None:
        """Run until `stop` is set.

        Raises:
            OffsetsLost: messages were deleted before they were read.
            KafkaAccessDenied: the broker does not let the role read.
        """
        while not stop.is_set():
            # A new consumer after each failure: one that unsubscribes and subscribes again
            # makes librdkafka abort the process if it is closed meanwhile.
            consumer = self.bus.open_consumer(self.group)
            try:
                consumer.subscribe(
                    list(self.topics), on_assign=self._on_assign, on_revoke=self._on_revoke
                )
                self._run_consumer(consumer, stop)
            except _Stopping:
                return
            except _RETRYABLE_ERRORS as cause:
                self.observer.batch_retried(describe_error(cause))
            finally:
                consumer.close()
                if self._second_consumer is not None:
                    self._second_consumer.close()
                self._drop_partitions()
            stop.wait(_RETRY_SECONDS)

    def _run_consumer(self, consumer: Consumer, stop: Event) -> None:
        checked_at = float("-inf")
        while not stop.is_set():
            if monotonic() - checked_at > _CHECK_SECONDS:
                self._check_topics(consumer)
                checked_at = monotonic()
            with gc_paused():
                self._run_batch(consumer, stop)
            self.observer.heartbeat()

    def _run_batch(self, consumer: Consumer, stop: Event) -> None:
        started = monotonic()
        polled = consumer.consume(self.batch_size, self.batch_seconds)
        self._raise_on_gap()
        messages = self._drop_stale(consumer, polled)
        advances = self._advances()
        if advances:
            apply_batch(self.handler, messages, advances, lambda: self._wait_before_retry(stop))
        self._raise_on_gap()  # after applying the messages read before the gap, which may be deleted by now
        for advance in advances:
            self._stored_offsets[advance.log.topic, advance.log.partition] = advance.next
        if messages:
            self.observer.batch_applied(len(messages), monotonic() - started)

    def _wait_before_retry(self, stop: Event) -> None:
        """Wait between two attempts of a batch that fails on its own."""
        self.observer.batch_retried(
            "a batch failed without an outage; it is retried before it is halved"
        )
        self.observer.heartbeat()
        if stop.wait(_BATCH_RETRY_SECONDS):
            raise _Stopping

    def _drop_stale(self, consumer: Consumer, polled: Sequence[Message]) -> list[Message]:
        """Return the next messages of the assigned partitions; drop those from before a rebalance."""
        messages = []
        skipped: dict[Partition, list[range]] = {}
        for message in polled:
            partition, offset, error = message.partition(), message.offset(), message.error()
            place = (str(message.topic()), -1 if partition is None else partition)
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                self._handle_error(consumer, place, error)
                if self._gaps:
                    break
                continue
            if (
                place not in self._next_offsets
                or offset is None
                or offset < self._next_offsets[place]
            ):
                continue
            if offset > self._next_offsets[place]:
                skipped.setdefault(place, []).append(range(self._next_offsets[place], offset))
            if error is None:
                messages.append(message)
                self._next_offsets[place] = offset + 1
            else:
                self._next_offsets[place] = offset  # past the markers of transactions
        if skipped:
            self._read_skipped(skipped)
        return messages

    def _read_skipped(self, skipped: Mapping[Partition, Sequence[range]]) -> None:
        if self._second_consumer is None:
            self._second_consumer = self.bus.open_consumer(
                self.group
            )  # it joins no group: its partitions are assigned
        read_skipped(self._second_consumer, skipped)

    def _advances(self) -> list[OffsetAdvance]:
        return [
            OffsetAdvance(
                log=self._partition_ids[place], expected=self._stored_offsets[place], next=next
            )
            for place, next in self._next_offsets.items()
            if next != (self._stored_offsets[place] or 0)
        ]

    def _handle_error(self, consumer: Consumer, place: Partition, error: KafkaError) -> None:
        if error.fatal() or error.code() in _FATAL_ERRORS:
            raise KafkaAccessDenied(f"{self.role}: read {place[0]}", error.str())
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            if place in self._partition_ids:
                low, high = self._query_watermarks(consumer, *place)
                self._add_gap(self._partition_ids[place], self._next_offsets[place], low, high)
        elif (
            place in self._partition_ids
        ):  # librdkafka skips messages that it cannot unpack: read them again
            raise KafkaUnavailable(f"read {place[0]}[{place[1]}]", error.str())
        elif error.code() not in _UNKNOWN_TOPIC_ERRORS:
            self.observer.batch_retried(error.str())

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._has_assignment = True
        ids = self.bus.topic_ids({partition.topic for partition in partitions})
        for partition in partitions:
            if (
                partition.topic not in ids
            ):  # only another broker knows it so far, and its id is needed
                raise KafkaUnavailable(
                    f"describe {partition.topic}", "the broker does not show it yet"
                )
            log = PartitionId(
                cluster_id=self.bus.cluster_id,
                topic=partition.topic,
                topic_id=ids[partition.topic],
                partition=partition.partition,
            )
            partition.offset = self._start_offset(consumer, log)
        consumer.assign(partitions)
        if self._paused:
            consumer.pause(partitions)

    def _start_offset(self, consumer: Consumer, log: PartitionId) -> int:
        """Return the offset from which to read a partition; note a gap if unread messages were deleted."""
        place = (log.topic, log.partition)
        low, high = self._query_watermarks(consumer, *place)
        try:
            with self.ledger.transaction() as connection:
                gap = open_gap(connection, self.role, log)
                position = offsets.read_offset(connection, self.role, log)
        except TopicReplaced:
            self._add_gap(log, None, low, high)
            position = low
        else:
            if gap is not None:
                self._add_gap(log, gap.expected, low, high)
            elif not low <= (position or 0) <= high:
                self._add_gap(log, position, low, high)
        self._partition_ids[place] = log
        self._stored_offsets[place] = position
        self._next_offsets[place] = position or 0
        return position or 0

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._has_assignment = False  # until the next assignment, which may be empty
        for partition in partitions:
            self.observer.lag_measured(
                partition.topic, partition.partition, 0
            )  # its new reader reports it
            for state in (self._partition_ids, self._stored_offsets, self._next_offsets):
                state.pop((partition.topic, partition.partition), None)

    def _drop_partitions(self) -> None:
        for state in (self._partition_ids, self._stored_offsets, self._next_offsets):
            state.clear()
        self._has_assignment = False
        self._second_consumer = None
        self._gaps.clear()  # a gap that is not stored yet is found again

    def _check_topics(self, consumer: Consumer) -> None:
        """Check whether topics were replaced, how far the role lags, and whether it is paused."""
        try:
            ids = self.bus.topic_ids({log.topic for log in self._partition_ids.values()})
            with self.ledger.transaction() as connection:
                paused = pause.pause_state(connection, self.role) == "paused"
                read = offsets.list_offsets(connection, self.role, sorted(ids))
            # A paused partition is not fetched, so its cached end offset does not change.
            ends = (
                self.bus.end_offsets(sorted({log.topic for log in self._partition_ids.values()}))
                if paused
                else {}
            )
            for place, log in self._partition_ids.items():
                _, high = consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
                end = ends.get(place, high)
                self.observer.lag_measured(*place, max(0, end - self._next_offsets[place]))
                if ids.get(log.topic, log.topic_id) != log.topic_id:
                    replacement = replace(log, topic_id=ids[log.topic])
                    self._add_gap(
                        replacement,
                        self._stored_offsets[place],
                        *self._query_watermarks(consumer, *place),
                    )
            self._find_lost_partitions(ids, read)
            self._raise_on_gap()
        except (KafkaUnavailable, DBAPIError) as cause:
            self.observer.batch_retried(describe_error(cause))
            return
        if self._has_assignment:
            self.observer.ready()
        if paused:
            consumer.pause(consumer.assignment())
        elif self._paused:
            consumer.resume(consumer.assignment())
        self._paused = paused

    def _find_lost_partitions(self, ids: Mapping[str, str], read: Sequence[StoredOffset]) -> None:
        """Find partitions that were read and that no longer exist, since their topic was created again.

        They are assigned to no consumer, so their lost messages would not be found otherwise.
        """
        current = {
            (stored.topic, stored.partition) for stored in read if self._is_current(stored, ids)
        }
        replaced = [
            stored
            for stored in read
            if stored.is_durable
            and (stored.topic, stored.partition) not in {*current, *self._partition_ids}
        ]
        topics = self.bus.describe_topics({stored.topic for stored in replaced}) if replaced else {}
        for stored in replaced:
            topic = topics.get(stored.topic)
            if (
                topic
                and topic.topic_id == ids[stored.topic]
                and stored.partition not in topic.end_offsets
            ):
                log = PartitionId(
                    cluster_id=self.bus.cluster_id,
                    topic=stored.topic,
                    topic_id=topic.topic_id,
                    partition=stored.partition,
                )
                self._add_gap(log, stored.next, 0, 0)

    def _is_current(self, read: StoredOffset, ids: Mapping[str, str]) -> bool:
        return (read.cluster_id, read.topic_id) == (self.bus.cluster_id, ids[read.topic])

    def _query_watermarks(self, consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
        try:
            watermarks: Any = consumer.get_watermark_offsets(
                TopicPartition(topic, partition), timeout=_WATERMARK_SECONDS
            )
        except KafkaException as cause:
            raise KafkaUnavailable(f"find the ends of {topic}", str(cause.args[0])) from cause
        if watermarks is None:
            raise KafkaUnavailable(f"find the ends of {topic}", "no answer in time")
        return watermarks[0], watermarks[1]

    def _add_gap(self, log: PartitionId, expected: int | None, low: int, high: int) -> None:
        self._gaps.append(OffsetGap(role=self.role, log=log, expected=expected, low=low, high=high))

    def _raise_on_gap(self) -> None:
        if not self._gaps:
            return
        for gap in self._gaps:
            self.observer.gap_found(gap)
        with self.ledger.transaction() as connection:
            for gap in self._gaps:
                record_gap(connection, gap, self.now())
        raise OffsetsLost(tuple(self._gaps))
