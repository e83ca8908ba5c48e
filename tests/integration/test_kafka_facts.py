"""The behaviour of Apache Kafka and librdkafka on which gap detection relies, proven on a broker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from tests.patience import Patience
from tests.servers.kafka import KafkaBroker, KafkaCluster

TOPIC = "facts"
SOON = 20.0
A_WHILE = 2.0


@contextmanager
def a_consumer(kafka: KafkaCluster) -> Iterator[Consumer]:
    """Return a consumer with the settings that every role has."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap,
            "group.id": "facts",
            "auto.offset.reset": "error",
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    try:
        yield consumer
    finally:
        consumer.close()


def publish(kafka: KafkaCluster, count: int, *, partition: int = 0) -> None:
    """Append that many records to a partition of TOPIC."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    for _ in range(count):
        producer.produce(TOPIC, value=b"x", partition=partition)
    assert producer.flush(SOON) == 0


def poll_results(consumer: Consumer, *, count: int, seconds: float = SOON) -> list[int | str]:
    """Return what poll gives, offsets and names of errors, up to a count or a time."""
    events: list[int | str] = []
    patience = Patience(seconds)
    while len(events) < count and not patience.is_over:
        message = consumer.poll(0.1)
        if message is None:
            continue
        error = message.error()
        events.append(message.offset() if error is None else error.name())  # type: ignore[arg-type]  # a record has an offset
    return events


def at(offset: int, *, partition: int = 0) -> TopicPartition:
    """Return a position in TOPIC."""
    return TopicPartition(TOPIC, partition, offset)


@pytest.fixture
def topic(fresh_kafka: KafkaCluster) -> KafkaCluster:
    """A cluster with TOPIC, of two partitions; partition 0 holds the offsets 0 to 9."""
    fresh_kafka.create_topics({TOPIC: 2})
    publish(fresh_kafka, 10)
    return fresh_kafka


@pytest.mark.parametrize(
    "offset", [pytest.param(4, id="below the low watermark"), pytest.param(11, id="beyond the end")]
)
def test_a_position_outside_the_log_is_one_error_that_names_it(
    topic: KafkaCluster, offset: int
) -> None:
    """Reading at an offset that the log does not have is an error with topic, partition and offset."""
    topic.delete_records(TOPIC, 0, before=5)
    with a_consumer(topic) as consumer:
        consumer.assign([at(offset)])
        message = consumer.poll(SOON)
    assert message is not None
    error = message.error()
    assert error is not None
    assert error.code() == KafkaError._AUTO_OFFSET_RESET
    assert (message.topic(), message.partition(), message.offset()) == (TOPIC, 0, offset)
    assert not error.fatal()
    assert not error.retriable()


def test_the_error_comes_once_and_then_there_is_silence(topic: KafkaCluster) -> None:
    """A client that ignores the error reads nothing more of that partition and gets no other error."""
    topic.delete_records(TOPIC, 0, before=5)
    with a_consumer(topic) as consumer:
        consumer.assign([at(0)])
        events = poll_results(consumer, count=1) + poll_results(consumer, count=1, seconds=A_WHILE)
    assert events == ["_AUTO_OFFSET_RESET"]


def test_other_partitions_go_on_beside_the_error(topic: KafkaCluster) -> None:
    """A gap in one partition does not hold back the messages of another, in the same batch."""
    publish(topic, 3, partition=1)
    topic.delete_records(TOPIC, 0, before=5)
    with a_consumer(topic) as consumer:
        consumer.assign([at(0), at(0, partition=1)])
        events = poll_results(consumer, count=4)
    assert sorted(events, key=str) == [0, 1, 2, "_AUTO_OFFSET_RESET"]


def test_no_position_is_an_error_too(topic: KafkaCluster) -> None:
    """An assignment without an offset, in a group that committed none, is not guessed."""
    with a_consumer(topic) as consumer:
        consumer.assign([TopicPartition(TOPIC, 0)])
        events = poll_results(consumer, count=1)
    assert events == ["_AUTO_OFFSET_RESET"]


def test_a_running_consumer_that_is_overtaken_by_retention_gets_the_error(
    topic: KafkaCluster,
) -> None:
    """Records lost ahead of a consumer that has read all so far are an error, not a jump."""
    with a_consumer(topic) as consumer:
        consumer.assign([at(0)])
        read = poll_results(consumer, count=10)
        consumer.pause([at(10)])
        publish(topic, 10)
        topic.delete_records(TOPIC, 0, before=18)
        consumer.resume([at(10)])
        after = poll_results(consumer, count=1)
    assert read == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert after == ["_AUTO_OFFSET_RESET"]


def test_the_end_is_a_position_inside_the_log(topic: KafkaCluster) -> None:
    """Waiting at the end for the next message is not an error."""
    with a_consumer(topic) as consumer:
        consumer.assign([at(10)])
        waiting = poll_results(consumer, count=1, seconds=A_WHILE)
        publish(topic, 1)
        then = poll_results(consumer, count=1)
    assert waiting == []
    assert then == [10]


def test_watermarks_show_what_the_log_still_contains(topic: KafkaCluster) -> None:
    """The low watermark follows DeleteRecords; the high one is the next offset to be written."""
    assert topic.delete_records(TOPIC, 0, before=5) == 5
    with a_consumer(topic) as consumer:
        assert consumer.get_watermark_offsets(at(0), timeout=SOON) == (5, 10)
        assert consumer.get_watermark_offsets(at(0, partition=1), timeout=SOON) == (0, 0)


def test_positions_given_to_assign_in_the_callback_are_kept(topic: KafkaCluster) -> None:
    """A member starts at the offsets that on_assign gives, whatever the group committed."""
    publish(topic, 10, partition=1)
    positions = {0: 8, 1: 3}
    with a_consumer(topic) as consumer:
        consumer.commit(offsets=[at(2), at(2, partition=1)], asynchronous=False)
        consumer.subscribe(
            [TOPIC],
            on_assign=lambda consumer, assigned: consumer.assign(
                [at(positions[each.partition], partition=each.partition) for each in assigned]
            ),
        )
        events = poll_results(consumer, count=9)
    assert sorted(events, key=int) == [3, 4, 5, 6, 7, 8, 8, 9, 9]


def test_offsets_jump_inside_a_log_with_transactions(fresh_kafka: KafkaCluster) -> None:
    """A committed transaction takes an offset for its end, so a jump alone is not a gap."""
    fresh_kafka.create_topics({TOPIC: 1})
    producer = Producer(
        {"bootstrap.servers": fresh_kafka.bootstrap, "transactional.id": "facts", "log_level": 0}
    )
    producer.init_transactions(SOON)
    for _ in range(2):
        producer.begin_transaction()
        producer.produce(TOPIC, value=b"x", partition=0)
        producer.commit_transaction(SOON)
    with a_consumer(fresh_kafka) as consumer:
        consumer.assign([at(0)])
        events = poll_results(consumer, count=2)
        assert consumer.get_watermark_offsets(at(0), timeout=SOON) == (0, 4)
    assert events == [0, 2]


def test_a_recreated_topic_has_another_id(topic: KafkaCluster) -> None:
    """The id distinguishes a topic from its successor of the same name."""
    before = topic.topic_id(TOPIC)
    assert topic.topic_id(TOPIC) == before
    topic.delete_topics([TOPIC])
    topic.create_topics({TOPIC: 2})
    assert topic.topic_id(TOPIC) != before


def test_a_recreated_and_refilled_topic_is_read_on_without_any_error(topic: KafkaCluster) -> None:
    """A running consumer misses the start of the new topic without an error: only the topic id differs.

    This is why a role compares the id again while it runs, not only when it starts.
    """
    with a_consumer(topic) as consumer:
        consumer.assign([at(0)])
        poll_results(consumer, count=10)
        consumer.pause([at(10)])
        topic.delete_topics([TOPIC])
        topic.create_topics({TOPIC: 2})
        publish(topic, 12)
        consumer.resume([at(10)])
        events = poll_results(consumer, count=2)
    assert events == [10, 11]


def test_the_cluster_id_outlives_a_crash_of_the_broker(kafka_broker: KafkaBroker) -> None:
    """After SIGKILL the same cluster comes back, with the same topic and what it acknowledged."""
    kafka_broker.create_topics({TOPIC: 1})
    publish(kafka_broker, 10)
    before = (kafka_broker.cluster_id, kafka_broker.topic_id(TOPIC))
    kafka_broker.kill()
    kafka_broker.start()
    assert (kafka_broker.cluster_id, kafka_broker.topic_id(TOPIC)) == before
    with a_consumer(kafka_broker) as consumer:
        consumer.assign([at(0)])
        assert poll_results(consumer, count=10) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_two_clusters_have_different_ids(kafka: KafkaCluster, kafka_broker: KafkaBroker) -> None:
    """A position from one cluster can be distinguished from one in another."""
    assert kafka.cluster_id != kafka_broker.cluster_id
