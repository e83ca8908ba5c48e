"""The consumer loop with everything that a consumer can return, without a broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, Message, TopicPartition
from sqlalchemy import Connection

from consumers.assigned_partitions import OffsetsLost
from consumers.consumer_loop import ConsumerLoop
from services.kafka.client import KafkaClient
from services.kafka.errors import KafkaAccessDenied
from services.ledger.active_policy import PolicyMismatch
from services.storage import offsets, pause
from services.storage.database import Database
from services.storage.gaps import OffsetGap
from services.storage.offsets import OffsetAdvance, PartitionId
from tests.contract.ledgers import new_ledger

TOPIC = "t.v1"
LOG = PartitionId(cluster_id="c", topic=TOPIC, topic_id="id", partition=0)


class NotConnected(Exception):
    """The play is over."""


@dataclass(slots=True)
class FakeConsumer:
    """Returns batches, then stops the loop; a callable batch is a rebalance."""

    batches: list[Any]
    low: int = 0
    high: int = 100
    on_assign: Callable[..., None] | None = None
    on_revoke: Callable[..., None] | None = None
    assigned: list[list[int]] = field(default_factory=list)
    """The offsets of each assignment."""

    def subscribe(self, _: list[str], *, on_assign: Any, on_revoke: Any) -> None:
        self.on_assign, self.on_revoke = on_assign, on_revoke
        on_assign(self, [TopicPartition(TOPIC, 0)])

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.assigned.append([partition.offset for partition in partitions])

    def unassign(self) -> None: ...

    def get_watermark_offsets(self, *_: Any, **__: Any) -> tuple[int, int]:
        return self.low, self.high

    def consume(self, most: int, *_: Any) -> list[Message]:
        if not self.batches:
            raise NotConnected
        batch = self.batches.pop(0)
        messages: list[Message] = batch(self) if callable(batch) else batch
        if len(messages) > most:
            self.batches.insert(0, messages[most:])
        return messages[:most]

    def pause(self, _: list[TopicPartition]) -> None: ...

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition(TOPIC, 0)]

    def close(self) -> None:
        if self.on_revoke is not None:
            self.on_revoke(self, self.assignment())


@dataclass(slots=True)
class FakeBus:
    consumers: list[FakeConsumer]
    cluster_id: str = "c"
    unseen: int = 0
    """So many times the broker does not show the topic."""

    def open_consumer(self, _: str) -> FakeConsumer:
        return self.consumers.pop(0)

    def topic_ids(self, topics: Any) -> dict[str, str]:
        if self.unseen:
            self.unseen -= 1
            return {}
        return dict.fromkeys(topics, "id")

    def end_offsets(self, topics: Any) -> dict[tuple[str, int], int]:
        return dict.fromkeys(((topic, 0) for topic in topics), 107)


@dataclass(slots=True)
class LoopRun:
    """The result of a run of the loop."""

    applied: list[list[int]] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    lags: list[int] = field(default_factory=list)
    able: int = 0
    gaps: list[OffsetGap] = field(default_factory=list)
    ended: BaseException | None = None


@pytest.fixture
def ledger() -> Iterator[Database]:
    """An empty ledger."""
    with closing(new_ledger("sqlite://")) as ledger:
        yield ledger


def play(
    ledger: Database,
    *consumers: FakeConsumer,
    unseen: int = 0,
    check_policy: Callable[[Connection], object] = lambda _: None,
    batch_size: int = 10,
) -> LoopRun:
    """Run the loop on consumers, each taken when the one before it was closed."""
    played = LoopRun()

    class Work:
        def handle(self, messages: Sequence[Message], advances: Sequence[OffsetAdvance]) -> None:
            with ledger.transaction() as connection:
                offsets.advance_offsets(connection, "recorder", advances)
            played.applied.append([message.offset() or 0 for message in messages])

        def park(
            self, message: Message, cause: Exception, advances: Sequence[OffsetAdvance]
        ) -> None: ...

    class Observer:
        def heartbeat(self) -> None: ...
        def ready(self) -> None:
            played.able += 1

        def batch_applied(self, messages: int, seconds: float) -> None: ...
        def lag_measured(self, topic: str, partition: int, messages: int) -> None:
            played.lags.append(messages)

        def batch_retried(self, why: str) -> None:
            played.again.append(why)

        def gap_found(self, gap: OffsetGap) -> None:
            played.gaps.append(gap)

    pipeline = ConsumerLoop(
        role="recorder",
        bus=cast(KafkaClient, FakeBus(list(consumers), unseen=unseen)),
        ledger=ledger,
        topics=[TOPIC],
        group="g",
        handler=Work(),
        observer=Observer(),
        now=lambda: datetime(2026, 3, 15, 13, tzinfo=UTC),
        batch_size=batch_size,
        batch_seconds=0,
        check_policy=check_policy,
    )
    try:
        pipeline.run(Event())
    except (NotConnected, OffsetsLost, KafkaAccessDenied, PolicyMismatch) as ended:
        played.ended = ended
    return played


def messages(*offsets: int) -> list[Message]:
    return [Message(topic=TOPIC, partition=0, offset=offset, value=b"x") for offset in offsets]


def failure(code: int, offset: int = -1001, *, partition: int = 0, **how: bool) -> Message:
    error = KafkaError(code, "it said", **how)
    return Message(topic=TOPIC, partition=partition, offset=offset, error=error)


def end(offset: int) -> Message:
    """Return the message that marks the end of the partition."""
    return failure(KafkaError._PARTITION_EOF, offset)


def position(ledger: Database) -> int | None:
    with ledger.transaction() as connection:
        return offsets.read_offset(connection, "recorder", LOG)


def test_a_batch_of_large_messages_is_smaller(ledger: Database) -> None:
    """Each may have hundreds of commands, and all of a batch are one transaction."""
    large = [
        Message(topic=TOPIC, partition=0, offset=offset, value=bytes(30_000))
        for offset in range(250)
    ]
    played = play(ledger, FakeConsumer([large]), batch_size=2_000)
    assert [len(batch) for batch in played.applied] == [100, 100, 50]
    assert position(ledger) == 250


def test_messages_read_before_a_gap_are_applied(ledger: Database) -> None:
    """They exist nowhere else: the log has lost them too."""
    lost = failure(KafkaError._AUTO_OFFSET_RESET, 2)
    played = play(ledger, FakeConsumer([[*messages(0, 1), lost, *messages(18)]]))
    assert played.applied == [[0, 1]]
    assert position(ledger) == 2
    assert [gap.expected for gap in played.gaps] == [2]
    assert isinstance(played.ended, OffsetsLost)


def test_the_end_of_a_partition_moves_the_position_past_markers(ledger: Database) -> None:
    """Transaction markers have offsets, but are not messages."""
    second = FakeConsumer([[end(4)]])
    play(ledger, FakeConsumer([[*messages(0, 1), end(4)]]), second)
    assert position(ledger) == 4
    assert second.assigned == [[2]]


def test_the_end_of_a_partition_alone_moves_the_position_too(ledger: Database) -> None:
    """Otherwise a log that ends in transaction markers would always look unread."""
    play(ledger, FakeConsumer([messages(0), [end(3)]]), FakeConsumer([[], [end(3)]]))
    assert position(ledger) == 3


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([end(3)], [*messages(0, 1, 2), end(3)]),
        ([*messages(0, 2), end(3)], messages(1)),
        (messages(0, 1, 3), messages(2, 3)),
    ],
    ids=["all of a partition", "in the middle", "before a message"],
)
def test_messages_that_librdkafka_withheld_are_read_again(
    ledger: Database, first: list[Message], second: list[Message]
) -> None:
    """librdkafka reports the end of a partition, and withheld earlier messages: none of them is lost."""
    again = FakeConsumer([messages(0, 1, 2, 3)])
    played = play(ledger, FakeConsumer([first]), FakeConsumer([second]), again)
    assert played.applied == [[0, 1, 2, 3]]
    assert again.assigned == [[0]]
    assert position(ledger) == 4
    [why] = played.again
    assert "was skipped" in why


def test_messages_that_cannot_be_read_again_are_not_skipped(ledger: Database) -> None:
    """The first reading alone proves nothing, whatever prevents the second."""
    broken = FakeConsumer([[failure(KafkaError._BAD_MSG, 1)]])
    again = FakeConsumer([messages(0, 1, 2)])
    played = play(ledger, FakeConsumer([[*messages(0), end(3)]]), broken, again)
    assert played.applied == [[0, 1, 2]]
    assert played.again == ["KafkaUnavailable: read t.v1[0] again: it said"]


def test_messages_skipped_in_several_places_are_read_again_together(ledger: Database) -> None:
    """A log of transactions has a marker after each; one more reading is enough for all."""
    second = FakeConsumer([messages(2, 4), [end(6)]])
    played = play(ledger, FakeConsumer([[*messages(0, 2, 4), end(6)]]), second)
    assert played.applied == [[0, 2, 4]]
    assert position(ledger) == 6
    assert second.assigned == [[1]]


def test_a_batch_that_cannot_be_decompressed_is_read_again(ledger: Database) -> None:
    """librdkafka reports the batch and continues after it; the loop returns to the stored offset."""
    broken = failure(KafkaError._BAD_COMPRESSION, 2)
    again = FakeConsumer([messages(0, 1, 2, 3)])
    played = play(ledger, FakeConsumer([[*messages(0, 1), broken, *messages(3)]]), again)
    assert played.applied == [[0, 1, 2, 3]]
    assert again.assigned == [[0]]
    assert len(played.again) == 1


def test_messages_of_a_revoked_partition_are_dropped(ledger: Database) -> None:
    """The consumer that has the partition now reads them."""

    def revoked(consumer: FakeConsumer) -> list[Message]:
        assert consumer.on_revoke is not None
        consumer.on_revoke(consumer, consumer.assignment())
        return messages(2, 3)

    played = play(ledger, FakeConsumer([messages(0, 1), revoked, messages(4)]))
    assert played.applied == [[0, 1]]
    assert position(ledger) == 2


def test_a_message_that_is_delivered_twice_counts_once(ledger: Database) -> None:
    """A rebalance may assign the same partition again."""
    played = play(ledger, FakeConsumer([messages(0, 1), messages(0, 1, 2, 2)]))
    assert played.applied == [[0, 1], [2]]


def test_missing_offsets_inside_the_log_are_not_a_gap(ledger: Database) -> None:
    """Compaction and transactions cause them."""
    played = play(ledger, FakeConsumer([messages(0, 5, 9)]), FakeConsumer([messages(5, 9)]))
    assert played.applied == [[0, 5, 9]]
    assert position(ledger) == 10


@pytest.mark.parametrize(
    "code",
    [
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
    ],
)
def test_a_role_that_may_not_read_stops_with_an_error(ledger: Database, code: int) -> None:
    """Otherwise it would wait without end, and nothing would be erased."""
    played = play(ledger, FakeConsumer([[failure(code, partition=-1)]]))
    assert isinstance(played.ended, KafkaAccessDenied)
    assert str(played.ended) == "recorder: read t.v1: it said"


def test_a_fatal_error_stops_the_role(ledger: Database) -> None:
    """Its consumer will not read again."""
    played = play(ledger, FakeConsumer([[failure(KafkaError._FATAL, fatal=True)]]))
    assert isinstance(played.ended, KafkaAccessDenied)


def test_an_unreachable_broker_is_reported_and_waited_for(ledger: Database) -> None:
    """The same consumer reconnects on its own."""
    away = failure(KafkaError._ALL_BROKERS_DOWN, partition=-1)
    played = play(ledger, FakeConsumer([[away], messages(0)]))
    assert played.again == ["it said"]
    assert played.applied == [[0]]


def test_the_loop_waits_for_a_missing_topic_without_an_error(ledger: Database) -> None:
    """It is made with its first message, or soon."""
    missing = failure(KafkaError.UNKNOWN_TOPIC_OR_PART, partition=-1)
    played = play(ledger, FakeConsumer([[missing], messages(0)]))
    assert played.again == []
    assert played.applied == [[0]]


def test_a_topic_that_a_broker_does_not_know_yet_is_not_a_new_log(ledger: Database) -> None:
    """Another broker assigned it already; the role retries, and continues where it was."""
    play(ledger, FakeConsumer([messages(0, 1)]))
    played = play(ledger, FakeConsumer([]), FakeConsumer([messages(2)]), unseen=1)
    assert played.again == [
        "KafkaUnavailable: describe t.v1: the broker does not show it yet",
    ]
    assert played.gaps == []
    assert (played.applied, position(ledger)) == ([[2]], 3)


def test_a_paused_role_reports_the_lag(ledger: Database) -> None:
    """107 messages, though nothing is fetched and the end that it knows stays at 100."""
    with ledger.transaction() as connection:
        now = datetime(2026, 3, 15, 13, tzinfo=UTC)
        pause.set_pause_state(connection, "recorder", "paused", operator="o", reason="r", now=now)
    assert play(ledger, FakeConsumer([[]])).lags[0] == 107


def test_a_running_role_takes_its_lag_from_what_it_fetches(ledger: Database) -> None:
    """It sends no request for the end of the log."""
    assert play(ledger, FakeConsumer([[]])).lags[0] == 100


def test_a_role_without_messages_stops_when_another_policy_is_active(ledger: Database) -> None:
    """It may have topics that the role does not read yet."""

    def check_policy(_: Connection) -> None:
        raise PolicyMismatch("shop 2", "shop 1")

    played = play(ledger, FakeConsumer([[], []]), check_policy=check_policy)
    assert isinstance(played.ended, PolicyMismatch)
    assert played.able == 0


def test_a_role_that_has_joined_its_group_is_ready(ledger: Database) -> None:
    """Kafka, the consumer group and the ledger are reachable."""
    assert play(ledger, FakeConsumer([[]])).able == 1


def test_a_role_that_left_its_group_is_not_ready(ledger: Database) -> None:
    """Without a partition it sends no requests to Kafka, so nothing proves that Kafka is reachable."""

    class PutOut(FakeConsumer):
        def subscribe(self, topics: list[str], *, on_assign: Any, on_revoke: Any) -> None:
            FakeConsumer.subscribe(self, topics, on_assign=on_assign, on_revoke=on_revoke)
            on_revoke(self, self.assignment())

    assert play(ledger, PutOut([[]])).able == 0
