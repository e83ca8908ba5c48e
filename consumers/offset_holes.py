"""Read Kafka offsets again, with a second consumer, for which the first one returned no message.

Offsets without a message are normal: markers of transactions, aborted messages, compacted messages. But
librdkafka was observed to report the end of a partition without having returned the messages before it,
while topics were being created and groups joined. No offset is skipped because one consumer returned
nothing: a skipped message is lost, and may be a legal hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import monotonic

from confluent_kafka import Consumer, KafkaError, TopicPartition

from services.kafka.errors import KafkaUnavailable
from services.kafka.topic_state import Partition

_TIMEOUT_SECONDS = 15.0
_POLL_SECONDS = 0.2
_BATCH_SIZE = 1_000


def read_skipped(consumer: Consumer, skipped: Mapping[Partition, Sequence[range]]) -> None:
    """Read ranges of skipped offsets again, in ascending order, with a separate consumer.

    Raises:
        KafkaUnavailable: they do contain messages, or could not be read again.
    """
    consumer.assign([TopicPartition(*place, ranges[0].start) for place, ranges in skipped.items()])
    ends = {place: ranges[-1].stop for place, ranges in skipped.items()}
    deadline = monotonic() + _TIMEOUT_SECONDS
    while ends:
        if monotonic() > deadline:
            topic, number = next(iter(ends))
            raise KafkaUnavailable(f"read {topic}[{number}] again", "no response in time")
        for message in consumer.consume(_BATCH_SIZE, _POLL_SECONDS):
            partition, offset, error = message.partition(), message.offset(), message.error()
            place = (str(message.topic()), -1 if partition is None else partition)
            if place not in ends or offset is None:
                continue
            name = f"{place[0]}[{place[1]}]"
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise KafkaUnavailable(f"read {name} again", error.str())
            if error is None and any(offset in range_ for range_ in skipped[place]):
                raise KafkaUnavailable(f"read {name}", f"offset {offset} was skipped")
            if offset >= ends[place]:
                del ends[place]
    consumer.unassign()  # else it would go on reading
