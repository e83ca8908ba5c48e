"""The consumer loop on a real Kafka: each message counts once, and data lost unread stops the role."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from confluent_kafka import Consumer, Message, Producer
from sqlalchemy.exc import OperationalError

from consumers.assigned_partitions import OffsetsLost
from services.kafka.errors import DeliveryFailed, KafkaUnavailable
from services.storage import offsets
from services.storage.database import Database
from services.storage.gaps import open_gaps
from services.storage.offsets import OffsetAdvance, PartitionId
from tests.contract.ledgers import new_ledger
from tests.integration.pipelines import (
    PATIENCE_SECONDS,
    ROLE,
    TOPIC,
    Crash,
    StoringHandler,
    accept,
    once,
    position,
    publish,
    running,
    seen,
    set_pause,
    stored_offsets,
    until,
)
from tests.patience import Patience
from tests.servers.kafka import KafkaBroker, KafkaCluster

LOOKED_SECONDS = 3.0
"""Longer than the loop goes without looking at its topics and at whether it is paused."""


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty ledger, once on each database."""
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres")()
    with closing(new_ledger(url)) as ledger:
        seen.metadata.create_all(ledger.engine)
        yield ledger


@pytest.fixture
def kafka(fresh_kafka: KafkaCluster) -> KafkaCluster:
    """A cluster with the topic, of two partitions; partition 0 holds the offsets 0 to 9."""
    fresh_kafka.create_topics({TOPIC: 2})
    publish(fresh_kafka, 10)
    return fresh_kafka


def read_all(kafka: KafkaCluster, ledger: Database, upto: int) -> None:
    """Run the loop until it has read partition 0 up to an offset."""
    with running(kafka, ledger, StoringHandler(ledger=ledger)) as loop:
        until(lambda: position(ledger) >= upto or bool(loop.ended))
    assert loop.end() is None


def lost(kafka: KafkaCluster, ledger: Database) -> OffsetsLost:
    """Run the loop until it stops at a gap."""
    with running(kafka, ledger, StoringHandler(ledger=ledger)) as loop:
        ended = loop.end()
    assert isinstance(ended, OffsetsLost)
    return ended


def waiting(ledger: Database) -> list[tuple[int, int | None, int, int]]:
    """Return partition, expected, low and high of each gap that is not accepted yet."""
    with ledger.transaction() as connection:
        return [
            (gap.log.partition, gap.expected, gap.low, gap.high) for gap in open_gaps(connection)
        ]


def test_a_log_is_read_from_its_beginning_in_order(kafka: KafkaCluster, ledger: Database) -> None:
    """All partitions are read, and the positions are at the ends."""
    publish(kafka, 3, partition=1)
    with running(kafka, ledger, StoringHandler(ledger=ledger)):
        until(lambda: (position(ledger), position(ledger, 1)) == (10, 3))
    assert stored_offsets(ledger) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert stored_offsets(ledger, 1) == [0, 1, 2]


def test_a_restart_continues_at_the_offset_in_the_ledger(
    kafka: KafkaCluster, ledger: Database
) -> None:
    """The ledger's position decides, not what the group committed on the broker, which is nothing."""
    read_all(kafka, ledger, 10)
    publish(kafka, 5)
    read_all(kafka, ledger, 15)
    assert stored_offsets(ledger) == list(range(15))


def test_a_process_that_ends_before_the_commit_has_written_nothing(
    kafka: KafkaCluster, ledger: Database
) -> None:
    """Rows and positions are one transaction; the next process reads the batch again."""
    with running(
        kafka, ledger, StoringHandler(ledger=ledger, before_commit=once(Crash()))
    ) as first:
        assert isinstance(first.end(), Crash)
    assert (stored_offsets(ledger), position(ledger)) == ([], -1)
    read_all(kafka, ledger, 10)
    assert stored_offsets(ledger) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize(
    "error",
    [
        KafkaUnavailable("list topics", "timed out"),
        DeliveryFailed("t", "timed out"),
        OperationalError("insert", {}, Exception("the database went away")),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("when", ["before", "before_commit"])
def test_a_batch_that_fails_is_read_again(
    kafka: KafkaCluster,
    ledger: Database,
    error: Exception,
    when: Literal["before", "before_commit"],
) -> None:
    """The failure is logged, the role waits, and nothing is skipped or counted twice."""
    work = StoringHandler(ledger=ledger)
    setattr(work, when, once(error))
    with running(kafka, ledger, work) as loop:
        until(lambda: position(ledger) == 10)
    assert stored_offsets(ledger) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert [why.partition(":")[0] for why in loop.observer.again] == [type(error).__name__]


def test_processes_of_a_group_share_the_partitions_and_take_over(
    kafka: KafkaCluster, ledger: Database
) -> None:
    """While processes join and leave, each message counts once, in the order of its partition."""

    def publish_both() -> None:
        publish(kafka, 20)
        publish(kafka, 20, partition=1)

    work = StoringHandler(ledger=ledger, before=lambda: time.sleep(0.01))
    with running(kafka, ledger, work):
        publish_both()
        with running(kafka, ledger, work):
            for _ in range(10):
                publish_both()
                time.sleep(0.1)
        publish_both()
        until(lambda: (position(ledger), position(ledger, 1)) == (250, 240))
    assert stored_offsets(ledger) == list(range(250))
    assert stored_offsets(ledger, 1) == list(range(240))


def test_a_process_that_was_taken_for_dead_is_fenced(kafka: KafkaCluster, ledger: Database) -> None:
    """Two processes read the same partitions, against the group's rules: each message counts once."""
    with (
        running(kafka, ledger, StoringHandler(ledger=ledger), group="living") as loop,
        running(kafka, ledger, StoringHandler(ledger=ledger), group="dead") as other,
    ):
        for _ in range(20):
            publish(kafka, 10)
            time.sleep(0.05)
        until(lambda: position(ledger) == 210)
    assert stored_offsets(ledger) == list(range(210))
    fenced = [*loop.observer.again, *other.observer.again]
    assert fenced
    assert {why.partition(":")[0] for why in fenced} == {"Fenced"}


def test_records_lost_before_the_first_reading_stop_the_role(
    kafka: KafkaCluster, ledger: Database
) -> None:
    """Without a position, a log that does not begin at 0 has lost events that no role read."""
    kafka.delete_records(TOPIC, 0, before=4)
    error = lost(kafka, ledger)
    assert "recorder: retention.tagged.v1[0]: expected offset None, the log has 4 to 10" in str(
        error
    )
    assert waiting(ledger) == [(0, None, 4, 10)]
    assert stored_offsets(ledger) == []


def test_after_acceptance_the_role_goes_on(kafka: KafkaCluster, ledger: Database) -> None:
    """It continues with the first message that is left."""
    kafka.delete_records(TOPIC, 0, before=4)
    lost(kafka, ledger)
    accept(ledger)
    read_all(kafka, ledger, 10)
    assert stored_offsets(ledger) == [4, 5, 6, 7, 8, 9]


def test_records_lost_while_the_role_was_stopped_stop_it(
    kafka: KafkaCluster, ledger: Database
) -> None:
    """The position is below the log's first offset."""
    read_all(kafka, ledger, 10)
    publish(kafka, 10)
    kafka.delete_records(TOPIC, 0, before=15)
    lost(kafka, ledger)
    assert waiting(ledger) == [(0, 10, 15, 20)]
    accept(ledger)
    read_all(kafka, ledger, 20)
    assert stored_offsets(ledger) == [*range(10), 15, 16, 17, 18, 19]


def test_retention_may_delete_records_that_were_read(kafka: KafkaCluster, ledger: Database) -> None:
    """Retention up to exactly the position loses nothing."""
    read_all(kafka, ledger, 10)
    publish(kafka, 5)
    kafka.delete_records(TOPIC, 0, before=10)
    read_all(kafka, ledger, 15)
    assert stored_offsets(ledger) == list(range(15))


def test_records_lost_ahead_of_a_running_role_stop_it(
    kafka: KafkaCluster, ledger: Database
) -> None:
    """Retention overtakes the role while it is paused."""
    with running(kafka, ledger, StoringHandler(ledger=ledger)) as loop:
        until(lambda: position(ledger) == 10)
        set_pause(ledger, "paused")
        time.sleep(LOOKED_SECONDS)
        publish(kafka, 10)
        kafka.delete_records(TOPIC, 0, before=18)
        set_pause(ledger, "running")
        ended = loop.end()
    assert isinstance(ended, OffsetsLost)
    assert waiting(ledger) == [(0, 10, 18, 20)]
    assert stored_offsets(ledger) == list(range(10))


def beyond_the_end(kafka: KafkaCluster, ledger: Database) -> None:
    """Set positions beyond the end, as after the broker lost its newest records."""
    log = PartitionId(
        cluster_id=kafka.cluster_id, topic=TOPIC, topic_id=kafka.topic_id(TOPIC), partition=0
    )
    with ledger.transaction() as connection:
        offsets.advance_offsets(connection, ROLE, [OffsetAdvance(log=log, expected=None, next=12)])


def test_a_position_beyond_the_end_stops_the_role(kafka: KafkaCluster, ledger: Database) -> None:
    """The log was truncated: new messages at these offsets are not those that were read."""
    beyond_the_end(kafka, ledger)
    lost(kafka, ledger)
    assert waiting(ledger) == [(0, 12, 0, 10)]


def test_a_truncated_log_that_has_grown_past_the_offset_still_waits(
    kafka: KafkaCluster, ledger: Database
) -> None:
    """Otherwise a role that restarts often enough would skip what was written in between."""
    beyond_the_end(kafka, ledger)
    lost(kafka, ledger)
    publish(kafka, 5)
    lost(kafka, ledger)
    assert waiting(ledger) == [(0, 12, 0, 15)]
    accept(ledger)
    read_all(kafka, ledger, 15)
    assert stored_offsets(ledger) == list(range(15))


def recreate(kafka: KafkaCluster, count: int) -> None:
    """Delete the topic and make it again, with other messages."""
    kafka.delete_topics([TOPIC])
    kafka.create_topics({TOPIC: 2})
    publish(kafka, count)


def test_a_topic_recreated_while_the_role_was_stopped_stops_it(
    kafka: KafkaCluster, ledger: Database
) -> None:
    """Its offsets name other messages, even where the position is inside its log."""
    read_all(kafka, ledger, 10)
    recreate(kafka, 12)
    lost(kafka, ledger)
    accept(ledger)
    read_all(kafka, ledger, 12)
    assert stored_offsets(ledger) == [*range(10), *range(12)]


def test_a_topic_recreated_under_a_running_role_stops_it(
    kafka: KafkaCluster, ledger: Database
) -> None:
    """Kafka itself reports nothing; once accepted, the topic is read from its own beginning."""
    with running(kafka, ledger, StoringHandler(ledger=ledger)) as loop:
        until(lambda: position(ledger) == 10)
        set_pause(ledger, "paused")
        time.sleep(LOOKED_SECONDS)
        recreate(kafka, 12)
        ended = loop.end()
    assert isinstance(ended, OffsetsLost)
    assert waiting(ledger) == [(0, 10, 0, 12), (1, None, 0, 0)]
    set_pause(ledger, "running")
    assert [accept(ledger), accept(ledger, 1)] == [0, 0]
    read_all(kafka, ledger, 12)
    assert stored_offsets(ledger) == [*range(10), *range(12)]


def test_another_cluster_stops_the_role(kafka: KafkaCluster, ledger: Database) -> None:
    """The role was pointed at the wrong cluster, or the right one was lost."""
    log = PartitionId(cluster_id="another", topic=TOPIC, topic_id="t", partition=0)
    with ledger.transaction() as connection:
        offsets.advance_offsets(connection, ROLE, [OffsetAdvance(log=log, expected=None, next=5)])
    lost(kafka, ledger)
    assert stored_offsets(ledger) == []


def test_one_gap_is_found_with_all_others(kafka: KafkaCluster, ledger: Database) -> None:
    """The operator sees every gap at once."""
    publish(kafka, 10, partition=1)
    for partition in (0, 1):
        kafka.delete_records(TOPIC, partition, before=3)
    assert {gap.log.partition for gap in lost(kafka, ledger).gaps} == {0, 1}
    assert waiting(ledger) == [(0, None, 3, 10), (1, None, 3, 10)]


class Forgetful(Consumer):
    """A consumer that once skips the messages before partition 0's end, but reports the end."""

    left: ClassVar[int] = 10

    def consume(self, *args: Any, **fields: Any) -> list[Message]:
        delivered = []
        for message in super().consume(*args, **fields):
            if message.error() is None and message.partition() == 0 and Forgetful.left:
                Forgetful.left -= 1
            else:
                delivered.append(message)
        return delivered


def test_messages_that_librdkafka_withholds_are_read(
    kafka: KafkaCluster, ledger: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """librdkafka was seen to do so under load: its position passed events that no role had read."""
    monkeypatch.setattr(Forgetful, "left", 10)
    monkeypatch.setattr("services.kafka.client.Consumer", Forgetful)
    with running(kafka, ledger, StoringHandler(ledger=ledger)) as loop:
        until(lambda: position(ledger) == 10)
    assert stored_offsets(ledger) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert [why.partition(":")[0] for why in loop.observer.again] == ["KafkaUnavailable"]


@pytest.mark.parametrize("end", ["commit_transaction", "abort_transaction"])
def test_transactions_are_read_to_their_end(
    kafka: KafkaCluster, ledger: Database, end: str
) -> None:
    """Their markers are not gaps, aborted messages are skipped, and the position is the log's end."""
    producer = Producer(
        {"bootstrap.servers": kafka.bootstrap, "transactional.id": "t", "log_level": 0}
    )
    producer.init_transactions(PATIENCE_SECONDS)
    with running(kafka, ledger, StoringHandler(ledger=ledger)):
        until(lambda: position(ledger) == 10)
        for _ in range(2):
            producer.begin_transaction()
            producer.produce(TOPIC, value=b"x", partition=0)
            producer.flush(PATIENCE_SECONDS)
            getattr(producer, end)(PATIENCE_SECONDS)
        until(lambda: position(ledger) == 14)
    read = {"commit_transaction": [10, 12], "abort_transaction": []}[end]
    assert stored_offsets(ledger) == [*range(10), *read]


def test_a_paused_role_reads_nothing_and_then_everything(
    kafka: KafkaCluster, ledger: Database
) -> None:
    """It continues from where it was."""
    with running(kafka, ledger, StoringHandler(ledger=ledger)):
        until(lambda: position(ledger) == 10)
        set_pause(ledger, "paused")
        time.sleep(LOOKED_SECONDS)
        publish(kafka, 10)
        time.sleep(1)
        while_paused = stored_offsets(ledger)
        set_pause(ledger, "running")
        until(lambda: position(ledger) == 20)
    assert while_paused == list(range(10))
    assert stored_offsets(ledger) == list(range(20))


def test_a_role_that_starts_paused_reads_nothing(kafka: KafkaCluster, ledger: Database) -> None:
    """This includes partitions that the group assigns to it later."""
    set_pause(ledger, "paused")
    with running(kafka, ledger, StoringHandler(ledger=ledger)) as loop:
        until(lambda: len(loop.observer.lags) == 2)  # it has its partitions, for some while
    assert stored_offsets(ledger) == []


def test_lag_is_what_is_not_read_yet(kafka: KafkaCluster, ledger: Database) -> None:
    """The lag is 0 once everything is read."""
    with running(kafka, ledger, StoringHandler(ledger=ledger)) as loop:
        until(lambda: position(ledger) == 10)
        time.sleep(LOOKED_SECONDS)
        read = dict(loop.observer.lags)
    assert read == {(TOPIC, 0): 0, (TOPIC, 1): 0}


def test_a_role_that_is_asked_to_stop_stops_soon(kafka: KafkaCluster, ledger: Database) -> None:
    """It stops between two batches, and leaves its group."""
    with running(kafka, ledger, StoringHandler(ledger=ledger)) as loop:
        until(lambda: position(ledger) == 10)
        patience = Patience(5)
        loop.stop.set()
        ended = loop.end()
    assert ended is None
    assert not patience.is_over


def _killed(broker: KafkaBroker) -> None:
    broker.kill()
    time.sleep(2)
    broker.start()


def _frozen(broker: KafkaBroker) -> None:
    broker.suspend()
    time.sleep(5)
    broker.resume()


@pytest.mark.parametrize("happens", [_killed, _frozen])
def test_a_broker_that_goes_away_is_waited_for(
    kafka_broker: KafkaBroker, tmp_path: Path, happens: Callable[[KafkaBroker], None]
) -> None:
    """The role neither ends nor misses a message."""
    kafka_broker.create_topics({TOPIC: 2})
    publish(kafka_broker, 10)
    with closing(new_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")) as ledger:
        seen.metadata.create_all(ledger.engine)
        with running(kafka_broker, ledger, StoringHandler(ledger=ledger)) as loop:
            until(lambda: position(ledger) == 10)
            happens(kafka_broker)
            publish(kafka_broker, 10)
            until(lambda: position(ledger) == 20 or bool(loop.ended))
        assert loop.end() is None
        assert stored_offsets(ledger) == list(range(20))
