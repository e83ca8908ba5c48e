"""Every benchmark, in the order in which `termijn bench all` runs them."""

from __future__ import annotations

from services.benchmarks.acknowledging import acknowledging
from services.benchmarks.deleting import deleting
from services.benchmarks.fairness import fairness
from services.benchmarks.figures import Benchmark
from services.benchmarks.gdprbench import gdprbench
from services.benchmarks.growth import growth
from services.benchmarks.memory import memory
from services.benchmarks.parts import parts
from services.benchmarks.punctual import punctuality
from services.benchmarks.recording import recording
from services.benchmarks.rivals import kafka_streams, rivals
from services.benchmarks.scale import scale
from services.benchmarks.signing import signing
from services.benchmarks.tagging import tagging
from services.benchmarks.terminating import terminating

SUITE = (
    Benchmark(name="parts", title="Tagging and recording in one process", measure=parts),
    Benchmark(name="tagger", title="The tagger against a copier of bytes", measure=tagging),
    Benchmark(name="rivals", title="The tagger against other frameworks", measure=rivals),
    Benchmark(name="streams", title="The tagger against Kafka Streams", measure=kafka_streams),
    Benchmark(name="growth", title="Cost while the ledger grows", measure=growth),
    Benchmark(name="memory", title="Memory while events go by", measure=memory),
    Benchmark(name="scale", title="More processes of a role", measure=scale),
    Benchmark(name="deleter", title="The deleter against its statements alone", measure=deleting),
    Benchmark(name="punctual", title="Due rows a second, on time", measure=punctuality),
    Benchmark(name="fair", title="One row among a backlog", measure=fairness),
    Benchmark(name="terminate", title="The end of a large customer", measure=terminating),
    Benchmark(name="gdprbench", title="GDPRBench against a plain table", measure=gdprbench),
    Benchmark(
        name="recorder", title="The recorder against its statements alone", measure=recording
    ),
    Benchmark(
        name="acknowledgements", title="Answers against the same rows bare", measure=acknowledging
    ),
    Benchmark(name="signing", title="Signatures against Ed25519 alone", measure=signing),
)
