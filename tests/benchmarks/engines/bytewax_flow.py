"""The tagger's job as a Bytewax dataflow."""

from __future__ import annotations

from bytewax import operators as op  # type: ignore[import-not-found]  # has its own environment
from bytewax.connectors.kafka import (  # type: ignore[import-not-found]  # as above
    KafkaSink,
    KafkaSinkMessage,
    KafkaSource,
    KafkaSourceMessage,
)
from bytewax.dataflow import Dataflow  # type: ignore[import-not-found]  # as above
from bytewax.testing import cluster_main  # type: ignore[import-not-found]  # as above

from services.kafka.record_metadata import RecordMetadata
from tests.benchmarks.engines.job import Job


def main() -> None:
    """Run the dataflow with one worker until it is ended."""
    job = Job.from_arguments()

    def pass_on(message: KafkaSourceMessage) -> KafkaSinkMessage:
        place = RecordMetadata(message.topic, message.partition, message.offset)
        passed = job.passed(place, message.headers, message.value)
        return KafkaSinkMessage(passed.key, passed.value)

    flow = Dataflow("tagger")
    source = KafkaSource([job.bootstrap], job.sources, batch_size=2_000)
    sink = KafkaSink(
        [job.bootstrap],
        job.sink,
        {
            "acks": "all",
            "enable.idempotence": "true",
            "linger.ms": "5",
            "compression.type": "lz4",
        },
    )
    op.output("sink", op.map("passed", op.input("source", flow, source), pass_on), sink)
    cluster_main(flow, [], 0)


if __name__ == "__main__":
    main()
