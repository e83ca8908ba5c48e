"""The tagger's job as a Faust agent."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from faust import App
from faust.types import EventT, StreamT

from services.kafka.record_metadata import RecordMetadata
from tests.benchmarks.engines.job import Job


def main() -> None:
    """Run the agent until it is ended."""
    job = Job.from_arguments()
    app = App(
        job.group,
        broker=f"kafka://{job.bootstrap}",
        store="memory://",
        consumer_auto_offset_reset="earliest",
        producer_compression_type="lz4",
        producer_linger=0.005,
        topic_disable_leader=True,
    )
    source = app.topic(*job.sources, key_serializer="raw", value_serializer="raw")
    sink = app.topic(job.sink, key_serializer="raw", value_serializer="raw")

    @app.agent(source)
    async def tagger(messages: StreamT[bytes]) -> None:
        async for event in messages.events():
            key, value = _tag_event(job, event)
            await sink.send(key=key, value=value)

    # Only so is its web server off: with `web_enabled=False` it listens on every address.
    sys.argv[1:] = ["--datadir", f".{job.group}", "worker", "--without-web", "-l", "warn"]
    app.main()


def _tag_event(job: Job, event: EventT[bytes]) -> tuple[bytes, bytes]:
    message = event.message
    place = RecordMetadata(message.topic, message.partition, message.offset)
    headers = message.headers or ()
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    passed = job.passed(place, list(pairs), message.value)
    return passed.key, passed.value


if __name__ == "__main__":
    main()
