"""The least that reading and writing a message costs in Python: bytes in, the same bytes out."""

from __future__ import annotations

import sys

from confluent_kafka import TopicPartition

from services.kafka.client import KafkaClient

_BATCH = 2_000
_BATCH_SECONDS = 0.2


def main() -> None:
    """Copy all named topics into the sink, from their beginning, after a line on stdin."""
    bootstrap, group, sink, *sources = sys.argv[1:]
    bus = KafkaClient(bootstrap)
    consumer, producer = bus.open_consumer(group), bus.open_raw_producer()
    consumer.assign([TopicPartition(*place, 0) for place in bus.end_offsets(sources)])
    consumer.pause(consumer.assignment())
    consumer.consume(_BATCH, _BATCH_SECONDS)
    print("ready", flush=True)
    sys.stdin.readline()
    consumer.resume(consumer.assignment())
    while True:
        for message in consumer.consume(_BATCH, _BATCH_SECONDS):
            if message.error() is None:
                producer.produce(sink, key=message.key(), value=message.value())
        producer.flush()


if __name__ == "__main__":
    main()
