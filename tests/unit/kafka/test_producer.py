"""The producer: what `send` returns is on Kafka, all else is an error, and the next send starts again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from services.kafka.errors import DeliveryFailed
from services.kafka.producer import KafkaProducer, OutgoingMessage
from services.kafka.record_metadata import RecordMetadata


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """The broker's acknowledgement of one message."""

    at: int

    def topic(self) -> str:
        return "t"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.at


@dataclass(slots=True, kw_only=True)
class FakeProducer:
    """Delivers at `flush`, except messages whose value names an error."""

    errors: dict[bytes, KafkaError] = field(default_factory=dict)
    refuses: KafkaError | None = None
    silent: bool = False
    full: int = 0
    """How often the local queue is full before it takes the next message."""
    waiting: list[tuple[bytes, Callable[[Any, Any], None]]] = field(default_factory=list)

    def produce(self, _: str, *, value: bytes, on_delivery: Callable[..., None], **__: Any) -> None:
        if self.refuses is not None:
            raise KafkaException(self.refuses)
        if self.full:
            self.full -= 1
            raise BufferError
        self.waiting.append((value, on_delivery))

    def poll(self, _: float) -> int:
        return 0

    def flush(self, _: float) -> int:
        if self.silent:
            return len(self.waiting)
        for offset, (value, report) in enumerate(self.waiting):
            report(self.errors.get(value), Delivered(at=offset))
        self.waiting.clear()
        return 0


def sender(*producers: FakeProducer) -> KafkaProducer:
    """A sender that opens these producers, one after the other."""
    producers_left = iter(producers)
    return KafkaProducer(lambda: cast(Producer, next(producers_left)))


def messages(*values: bytes) -> list[OutgoingMessage]:
    return [OutgoingMessage(topic="t", key=None, value=value) for value in values]


def test_sending_returns_the_offset_of_each_message_in_order() -> None:
    """The broker assigns the offsets."""
    placed = sender(FakeProducer()).send(messages(b"a", b"b"))
    assert placed == [
        RecordMetadata(topic="t", partition=0, offset=0),
        RecordMetadata(topic="t", partition=0, offset=1),
    ]


def test_one_failed_message_fails_the_whole_send() -> None:
    """Actions that depend on all messages must not happen."""
    producer = FakeProducer(errors={b"b": KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)})
    with pytest.raises(DeliveryFailed, match="t: not delivered: "):
        sender(producer).send(messages(b"a", b"b", b"c"))


def test_a_send_without_delivery_reports_fails() -> None:
    """A message without its report is not delivered."""
    with pytest.raises(DeliveryFailed, match="no delivery report in time"):
        sender(FakeProducer(silent=True)).send(messages(b"a"))


def test_a_send_waits_while_the_queue_is_full() -> None:
    """librdkafka's queue empties as the broker accepts messages."""
    assert len(sender(FakeProducer(full=3)).send(messages(b"a", b"b"))) == 2


def test_after_a_fatal_error_the_next_send_has_another_producer() -> None:
    """After a fatal error a producer never sends again: a role would retry without end."""
    fatal = KafkaError(KafkaError._FATAL, "out of order", fatal=True)
    the_sender = sender(FakeProducer(refuses=fatal), FakeProducer())
    with pytest.raises(DeliveryFailed):
        the_sender.send(messages(b"a"))
    assert len(the_sender.send(messages(b"a"))) == 1


def test_after_an_error_that_is_not_fatal_the_producer_stays() -> None:
    """It remembers what the broker has accepted."""
    producer = FakeProducer(errors={b"a": KafkaError(KafkaError._MSG_TIMED_OUT)})
    the_sender = sender(producer)
    with pytest.raises(DeliveryFailed):
        the_sender.send(messages(b"a"))
    assert len(the_sender.send(messages(b"b"))) == 1
