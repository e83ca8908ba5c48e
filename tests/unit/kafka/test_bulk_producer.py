"""Bulk sending: deliveries are not reported, failures are errors, and the next send starts again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, Producer

from services.kafka.errors import DeliveryFailed
from services.kafka.producer import BulkProducer


@dataclass(slots=True, kw_only=True)
class FakeProducer:
    """Accepts messages as librdkafka does, except those whose value names an error."""

    errors: dict[bytes, KafkaError] = field(default_factory=dict)
    """By value, met at the broker."""
    refusals: dict[bytes, KafkaError] = field(default_factory=dict)
    """By value, met before it is queued."""
    room: int = 1_000
    """How many messages the local queue takes before it is polled."""
    silent: bool = False
    sent: list[bytes] = field(default_factory=list)
    reports: list[Callable[[], None]] = field(default_factory=list)

    def produce_batch(
        self, _: str, messages: list[dict[str, Any]], *, on_delivery: Callable[..., None]
    ) -> None:
        for number, message in enumerate(messages):
            value: bytes = message["value"]
            if number >= self.room:
                message["_error"] = KafkaError(KafkaError._QUEUE_FULL)
            elif value in self.refusals:
                message["_error"] = self.refusals[value]
            elif value in self.errors:
                self.reports.append(lambda value=value: on_delivery(self.errors[value], None))  # type: ignore[misc]  # bound now
            else:
                self.sent.append(value)

    def poll(self, _: float) -> int:
        return 0

    def flush(self, _: float) -> int:
        for report in self.reports:
            report()
        self.reports.clear()
        return int(self.silent)


def send(*producers: FakeProducer) -> Callable[..., None]:
    """A forwarder's send; it opens these producers, one after the other."""
    producers_left = iter(producers)
    forwarder = BulkProducer(lambda: cast(Producer, next(producers_left)))
    return lambda *values: forwarder.send("t", [(b"k", value) for value in values])


def test_a_bulk_send_keeps_the_order() -> None:
    """No error is raised."""
    producer = FakeProducer()
    send(producer)(b"a", b"b")
    assert producer.sent == [b"a", b"b"]


@pytest.mark.parametrize("where", ["errors", "refusals"])
def test_one_failed_message_fails_the_whole_bulk_send(where: str) -> None:
    """Wherever it was refused."""
    producer = FakeProducer(**{where: {b"b": KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)}})  # type: ignore[arg-type]  # one of two
    with pytest.raises(DeliveryFailed, match="t: not delivered: "):
        send(producer)(b"a", b"b", b"c")


def test_a_bulk_send_without_delivery_reports_fails() -> None:
    """What is still in the local queue is not at the broker."""
    with pytest.raises(DeliveryFailed, match="not acknowledged in time"):
        send(FakeProducer(silent=True))(b"a")


def test_a_bulk_send_waits_while_the_queue_is_full() -> None:
    """Each message is sent once."""
    producer = FakeProducer(room=2)
    send(producer)(b"a", b"b", b"c", b"d", b"e")
    assert producer.sent == [b"a", b"b", b"c", b"d", b"e"]


def test_after_a_fatal_error_the_next_send_has_another_producer() -> None:
    """After a fatal error a producer never sends again."""
    fatal = KafkaError(KafkaError._FATAL, "out of order", fatal=True)
    new_producer = FakeProducer()
    the_send = send(FakeProducer(errors={b"a": fatal}), new_producer)
    with pytest.raises(DeliveryFailed):
        the_send(b"a")
    the_send(b"a")
    assert new_producer.sent == [b"a"]
