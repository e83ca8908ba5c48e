"""Forwarding: many messages to one topic at once, of which only the failures are heard.

It costs a fraction of what a delivery report for each message does; who must know where each one
stands uses `services.kafka.client.KafkaProducer`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from services.kafka.client import DeliveryFailed, KafkaClient

_DELIVERY_SECONDS = 120.0
KeyValue = tuple[bytes, bytes]


class BulkProducer:
    """Sends keys and values, and returns once the broker has taken every one."""

    def __init__(self, open_producer: Callable[[], Producer]) -> None:
        """`open_producer` opens one that reports what fails, and only that."""
        self._open = open_producer
        self._producer = open_producer()

    @classmethod
    def for_cluster(cls, bus: KafkaClient) -> BulkProducer:
        """One that sends on a cluster."""
        return cls(lambda: bus.open_raw_producer({"delivery.report.only.error": True}))

    def send(self, topic: str, messages: Sequence[KeyValue]) -> None:
        """Send all.

        Raises:
            DeliveryFailed: the broker did not take one of them; others may have been taken.
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
            for one in refused:
                error: KafkaError = one.pop("_error")
                if error.code() == KafkaError._QUEUE_FULL:
                    pending.append(one)
                else:
                    failed.append(error)
            if pending:
                self._producer.poll(0.1)
        undelivered = self._producer.flush(_DELIVERY_SECONDS)
        if failed:
            if any(one.fatal() or one.code() == KafkaError._FATAL for one in failed):
                self._producer = self._open()  # the old one will never send anything again
            raise DeliveryFailed(topic, failed[0].str(), failed[0].code())
        if undelivered:
            raise DeliveryFailed(topic, "not taken in time")
