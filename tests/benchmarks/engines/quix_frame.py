"""The tagger's job as streaming dataframes of Quix Streams."""

from __future__ import annotations

from typing import Any

from quixstreams import (  # type: ignore[import-not-found]  # has its own environment
    Application,
    message_context,
)
from quixstreams.models import Serializer  # type: ignore[import-not-found]  # as above

from services.events.tagged_message import TaggedMessage
from services.kafka.record_metadata import RecordMetadata
from tests.benchmarks.engines.job import Job


def main() -> None:
    """Run the dataframes, one a topic, until they are ended."""
    job = Job.from_arguments()
    app = Application(
        broker_address=job.bootstrap,
        consumer_group=job.group,
        auto_offset_reset="earliest",
        auto_create_topics=False,
        loglevel="WARNING",
        producer_extra_config={
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 5,
            "compression.type": "lz4",
        },
    )

    class Value(Serializer):  # type: ignore[misc]  # mypy does not see Quix Streams
        """Serializes only the value of a published message; the key is set apart from it."""

        def __call__(self, value: TaggedMessage, ctx: Any) -> bytes:
            return value.value

    def passed(value: bytes, _key: bytes, _timestamp: int, headers: Any) -> TaggedMessage:
        at = message_context()
        return job.passed(RecordMetadata(at.topic, at.partition, at.offset), headers or (), value)

    sink = app.topic(job.sink, value_serializer=Value(), key_serializer="bytes")
    for name in job.sources:
        source = app.topic(name, key_deserializer="bytes", value_deserializer="bytes")
        app.dataframe(source).apply(passed, metadata=True).to_topic(
            sink, key=lambda record: record.key
        )
    app.run()


if __name__ == "__main__":
    main()
