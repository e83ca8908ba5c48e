"""The loop of every role that reads Kafka: poll a batch of messages, let the role handle it, repeat.

Offsets are stored in the ledger, passed to Kafka in `assign`, and advanced in the transaction that writes
the result of the batch. A batch that cannot be applied is read again, never skipped. A batch that fails the
same way each time is halved until the message that causes it is alone and parked
(`consumers.batch_application`). The role stops if Kafka has deleted messages that were not read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event
from time import monotonic
from typing import Protocol

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from consumers.assigned_partitions import AssignedPartitions
from consumers.batch_application import BatchHandler, apply_batch
from consumers.offset_holes import read_skipped
from services.kafka.client import KafkaClient
from services.kafka.error_classification import RETRYABLE_ERRORS
from services.kafka.errors import KafkaAccessDenied, KafkaUnavailable
from services.kafka.role_loop import LoopObserver
from services.kafka.topic_state import Partition
from services.storage import offsets, pause
from services.storage.database import Database, describe_error
from services.storage.gaps import OffsetGap
from services.storage.gc_pause import gc_paused
from services.storage.offsets import Fenced, PartitionId

_CHECK_SECONDS = 2.0
_RETRY_SECONDS = 1.0
_BATCH_RETRY_SECONDS = 0.5
_POLL_SIZE = 100
"""Messages that are taken from the consumer at once."""
_MAX_BATCH_BYTES = 2_000_000
"""Bytes of a batch, after which no more messages are taken: a message may have hundreds of commands."""
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
    check_policy: Callable[[Connection], object] = lambda _: None
    """Raises if another policy is active, so that the role must stop; also called while nothing arrives."""
    _partitions: AssignedPartitions = field(init=False)
    _second_consumer: Consumer | None = None
    """Reads the offsets again that the first consumer skipped."""
    _has_assignment: bool = False
    _paused: bool = False

    def __post_init__(self) -> None:
        """Start without any partition."""
        self._partitions = AssignedPartitions(
            role=self.role,
            bus=self.bus,
            ledger=self.ledger,
            gap_found=self.observer.gap_found,
            now=self.now,
        )

    def run(self, stop: Event) -> None:
        """Run until `stop` is set.

        Raises:
            OffsetsLost: messages were deleted before they were read.
            KafkaAccessDenied: the broker does not let the role read.
            PolicyMismatch: another policy has become the active one.
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
                self._forget_assignment()
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
        polled = self._poll(consumer)
        self._partitions.raise_on_gap()
        messages = self._drop_stale(consumer, polled)
        advances = self._partitions.advances()
        if advances:
            apply_batch(self.handler, messages, advances, lambda: self._wait_before_retry(stop))
        # Only after applying the messages read before the gap, which may be deleted by now.
        self._partitions.raise_on_gap()
        self._partitions.mark_stored(advances)
        if messages:
            self.observer.batch_applied(len(messages), monotonic() - started)

    def _poll(self, consumer: Consumer) -> list[Message]:
        """Return the next messages: at most `batch_size`, and hardly more bytes than a batch may have."""
        polled: list[Message] = []
        size, ends_at = 0, monotonic() + self.batch_seconds
        while len(polled) < self.batch_size and size < _MAX_BATCH_BYTES:
            wanted = min(_POLL_SIZE, self.batch_size - len(polled))
            messages = consumer.consume(wanted, max(0.0, ends_at - monotonic()))
            polled += messages
            size += sum(len(message) for message in messages)
            if len(messages) < wanted:
                break
        return polled

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
        next_offsets = self._partitions.next_offsets
        skipped: dict[Partition, list[range]] = {}
        for message in polled:
            partition, offset, error = message.partition(), message.offset(), message.error()
            place = (str(message.topic()), -1 if partition is None else partition)
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                self._handle_error(consumer, place, error)
                if self._partitions.gaps:
                    break
                continue
            if place not in next_offsets or offset is None or offset < next_offsets[place]:
                continue
            if offset > next_offsets[place]:
                skipped.setdefault(place, []).append(range(next_offsets[place], offset))
            if error is None:
                messages.append(message)
                next_offsets[place] = offset + 1
            else:
                next_offsets[place] = offset  # past the markers of transactions
        if skipped:
            self._read_skipped(skipped)
        return messages

    def _read_skipped(self, skipped: Mapping[Partition, Sequence[range]]) -> None:
        if self._second_consumer is None:
            self._second_consumer = self.bus.open_consumer(
                self.group
            )  # it joins no group: its partitions are assigned
        read_skipped(self._second_consumer, skipped)

    def _handle_error(self, consumer: Consumer, place: Partition, error: KafkaError) -> None:
        if error.fatal() or error.code() in _FATAL_ERRORS:
            raise KafkaAccessDenied(f"{self.role}: read {place[0]}", error.str())
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            self._partitions.add_deleted(consumer, place)
        elif (
            place in self._partitions.ids
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
            partition.offset = self._partitions.assign(consumer, log)
        consumer.assign(partitions)
        if self._paused:
            consumer.pause(partitions)

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._has_assignment = False  # until the next assignment, which may be empty
        for partition in partitions:
            self.observer.lag_measured(
                partition.topic, partition.partition, 0
            )  # its new reader reports it
            self._partitions.revoke((partition.topic, partition.partition))

    def _forget_assignment(self) -> None:
        self._partitions.clear()
        self._has_assignment = False
        self._second_consumer = None

    def _check_topics(self, consumer: Consumer) -> None:
        """Check whether topics were replaced, how far the role lags, and whether it is paused."""
        try:
            ids = self.bus.topic_ids({log.topic for log in self._partitions.ids.values()})
            with self.ledger.transaction() as connection:
                self.check_policy(connection)
                paused = pause.pause_state(connection, self.role) == "paused"
                read = offsets.list_offsets(connection, self.role, sorted(ids))
            # A paused partition is not fetched, so its cached end offset does not change.
            ends = (
                self.bus.end_offsets(sorted({log.topic for log in self._partitions.ids.values()}))
                if paused
                else {}
            )
            for place in self._partitions.ids:
                _, high = consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
                end = ends.get(place, high)
                self.observer.lag_measured(
                    *place, max(0, end - self._partitions.next_offsets[place])
                )
                self._partitions.add_if_replaced(consumer, place, ids)
            self._partitions.add_lost(ids, read)
            self._partitions.raise_on_gap()
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
