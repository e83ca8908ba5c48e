"""Producers: they send messages to Kafka, and return once the brokers have acknowledged them.

`KafkaProducer` returns where each message is on its topic. `BulkProducer` reports failures only, which
costs a fraction of a delivery report for each message.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from services.kafka.errors import DeliveryFailed
from services.kafka.record_metadata import RecordMetadata

Headers = Sequence[tuple[str, bytes]]
KeyValue = tuple[bytes, bytes]
DELIVERY_SECONDS: Final = 60.0
"""How long a message may take until the brokers have acknowledged it."""
_BULK_DELIVERY_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingMessage:
    """A message to be sent."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    @property
    def size(self) -> int:
        """Its size in bytes, without Kafka's frame."""
        header_bytes = sum(len(name) + len(text) for name, text in self.headers)
        return len(self.key or b"") + len(self.value or b"") + header_bytes


class KafkaProducer:
    """Sends messages and returns the topic, partition and offset of each."""

    def __init__(
        self, open_producer: Callable[[], Producer], timeout_seconds: float = DELIVERY_SECONDS
    ) -> None:
        self._open = open_producer
        self._timeout_seconds = timeout_seconds
        self._producer = open_producer()

    def send(self, messages: Sequence[OutgoingMessage]) -> Sequence[RecordMetadata]:
        """Send all messages; return their places in order, once the broker has acknowledged every one.

        Raises:
            DeliveryFailed: the broker did not accept one of them; it may have accepted others.
        """
        records: list[RecordMetadata | None] = [None] * len(messages)
        failed: list[tuple[str, KafkaError]] = []

        def reporter(index: int) -> Any:
            def report(error: KafkaError | None, message: Any) -> None:
                if error is not None:
                    failed.append((messages[index].topic, error))
                else:
                    records[index] = RecordMetadata(
                        topic=message.topic(),
                        partition=message.partition(),
                        offset=message.offset(),
                    )

            return report

        for index, message in enumerate(messages):
            self._produce(message, reporter(index))
        self._producer.flush(self._timeout_seconds * 2)
        for topic, error in failed:
            raise self._delivery_failure(topic, error)
        delivered = [record for record in records if record is not None]
        if len(delivered) != len(messages):
            raise DeliveryFailed(messages[records.index(None)].topic, "no delivery report in time")
        return delivered

    def _produce(self, message: OutgoingMessage, report: Any) -> None:
        while True:
            try:
                self._producer.produce(
                    message.topic,
                    key=message.key,
                    value=message.value,
                    headers=list(message.headers),
                    on_delivery=report,
                )
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as cause:
                raise self._delivery_failure(message.topic, cause.args[0]) from cause
            else:
                self._producer.poll(0)
                return

    def _delivery_failure(self, topic: str, error: KafkaError) -> DeliveryFailed:
        if error.fatal() or error.code() == KafkaError._FATAL:
            self._producer = self._open()  # after a fatal error it never sends anything again
        return DeliveryFailed(topic, error.str(), error.code())


class BulkProducer:
    """Sends keys and values, and returns once the broker has acknowledged every one."""

    def __init__(self, open_producer: Callable[[], Producer]) -> None:
        """Use producers from `open_producer`, which report failed deliveries only."""
        self._open = open_producer
        self._producer = open_producer()

    def send(self, topic: str, messages: Sequence[KeyValue]) -> None:
        """Send all.

        Raises:
            DeliveryFailed: the broker did not accept one of them; it may have accepted others.
        """
        failed: list[KafkaError] = []

        def report(error: KafkaError | None, _: Any) -> None:
            if error is not None:
                failed.append(error)

        pending: list[dict[str, Any]] = [{"key": key, "value": value} for key, value in messages]
        while pending and not failed:
            try:
                self._producer.produce_batch(topic, pending, on_delivery=report)
            except KafkaException as cause:
                failed.append(cause.args[0])
            refused = [message for message in pending if "_error" in message]
            pending = []
            for message in refused:
                error: KafkaError = message.pop("_error")
                if error.code() == KafkaError._QUEUE_FULL:
                    pending.append(message)
                else:
                    failed.append(error)
            if pending:
                self._producer.poll(0.1)
        undelivered = self._producer.flush(_BULK_DELIVERY_SECONDS)
        if failed:
            if any(error.fatal() or error.code() == KafkaError._FATAL for error in failed):
                self._producer = self._open()  # after a fatal error it never sends anything again
            raise DeliveryFailed(topic, failed[0].str(), failed[0].code())
        if undelivered:
            raise DeliveryFailed(topic, "not acknowledged in time")
