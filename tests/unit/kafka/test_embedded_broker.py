"""The embedded broker: what trying out and the fast tests may count on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from services.kafka.embedded_broker import PARTITIONS, EmbeddedBroker

SOON = 10.0


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """A running broker with the topic `notes`."""
    with EmbeddedBroker() as embedded:
        embedded.create_topics(["notes"])
        yield embedded


def publish(broker: EmbeddedBroker, values: list[bytes]) -> None:
    """Append records to partition 0 of `notes`."""
    producer = Producer({"bootstrap.servers": broker.bootstrap, "log_level": 0})
    for value in values:
        producer.produce("notes", value=value, partition=0)
        producer.poll(0)
    assert producer.flush(SOON) == 0


def a_consumer(broker: EmbeddedBroker) -> Consumer:
    """A consumer with the settings that every role has."""
    return Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": "test",
            "auto.offset.reset": "error",
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )


def first(broker: EmbeddedBroker, offset: int) -> Message:
    """Return what a consumer gets first at an offset in partition 0 of `notes`."""
    consumer = a_consumer(broker)
    consumer.assign([TopicPartition("notes", 0, offset)])
    message = consumer.poll(SOON)
    consumer.close()
    assert message is not None
    return message


def test_a_consumer_reads_from_the_position_that_it_assigns(broker: EmbeddedBroker) -> None:
    """Offsets work as on a real broker."""
    publish(broker, [b"zero", b"one", b"two"])
    assert first(broker, 1).value() == b"one"


def test_another_process_can_publish(broker: EmbeddedBroker) -> None:
    """The address is one that other processes can connect to."""
    program = (
        "import sys; from confluent_kafka import Producer;"
        "p = Producer({'bootstrap.servers': sys.argv[1]});"
        "p.produce('notes', value=b'from afar', partition=0); sys.exit(p.flush(10))"
    )
    subprocess.run([sys.executable, "-c", program, broker.bootstrap], check=True, timeout=600)
    assert first(broker, 0).value() == b"from afar"


def test_the_embedded_broker_listens_on_loopback_only(broker: EmbeddedBroker) -> None:
    """Nothing outside this machine reaches it."""
    assert broker.bootstrap.startswith("127.0.0.1:")


def test_topics_have_the_partitions_that_are_documented(broker: EmbeddedBroker) -> None:
    """Making a topic twice changes nothing."""
    broker.create_topics(["notes", "other"])
    topics = a_consumer(broker).list_topics(timeout=SOON).topics
    assert {name: len(topic.partitions) for name, topic in topics.items()} == {
        "notes": PARTITIONS,
        "other": PARTITIONS,
    }


def test_an_offset_beyond_the_end_is_an_error(broker: EmbeddedBroker) -> None:
    """Gap detection depends on it."""
    error = first(broker, 7).error()
    assert error is not None
    assert error.name() == "_AUTO_OFFSET_RESET"


def test_records_dropped_past_five_mebibytes_raise_the_low_watermark(
    broker: EmbeddedBroker,
) -> None:
    """Reading at 0 is then an error, and not an empty result."""
    publish(broker, [bytes(1000)] * 6000)
    low, high = a_consumer(broker).get_watermark_offsets(TopicPartition("notes", 0), timeout=SOON)
    assert low > 0
    assert high == 6000
    error = first(broker, 0).error()
    assert error is not None
    assert error.name() == "_AUTO_OFFSET_RESET"


def test_each_start_is_a_cluster_of_its_own() -> None:
    """Positions that were stored before a restart are recognised as those of another cluster."""
    with EmbeddedBroker() as broker, EmbeddedBroker() as other:
        assert broker.cluster_id.startswith("embedded-")
        assert broker.cluster_id != other.cluster_id


def test_the_embedded_broker_ends_with_its_block() -> None:
    """Nothing listens any more after the block."""
    with EmbeddedBroker() as embedded:
        address = embedded.bootstrap
    consumer = Consumer({"bootstrap.servers": address, "group.id": "test", "log_level": 0})
    with pytest.raises(KafkaException):
        consumer.list_topics(timeout=1)
