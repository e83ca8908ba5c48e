"""The list of all benchmarks, in the order in which `python -m tests.benchmarks all` runs them."""

from __future__ import annotations

from tests.benchmarks.acknowledging import acknowledging
from tests.benchmarks.agent_erasing import agent_erasing
from tests.benchmarks.competitors import competitors, kafka_streams
from tests.benchmarks.components import components
from tests.benchmarks.deleting import deleting
from tests.benchmarks.fairness import fairness
from tests.benchmarks.figures import Benchmark
from tests.benchmarks.gdprbench import gdprbench
from tests.benchmarks.growth import growth
from tests.benchmarks.idle import idle
from tests.benchmarks.latency_under_load import punctuality
from tests.benchmarks.life import life
from tests.benchmarks.memory import memory
from tests.benchmarks.recording import recording
from tests.benchmarks.scale import scale
from tests.benchmarks.signing import signing
from tests.benchmarks.tagging import tagging
from tests.benchmarks.termination_latency import termination_latency

SUITE = (
    Benchmark(name="parts", title="Tagging and recording in one process", measure=components),
    Benchmark(name="tagger", title="The tagger against a copier of bytes", measure=tagging),
    Benchmark(name="rivals", title="The tagger against other frameworks", measure=competitors),
    Benchmark(name="streams", title="The tagger against Kafka Streams", measure=kafka_streams),
    Benchmark(name="growth", title="Cost while the ledger grows", measure=growth),
    Benchmark(name="idle", title="Roles with nothing to do", measure=idle),
    Benchmark(name="life", title="What an erasure costs, from due to proven", measure=life),
    Benchmark(name="memory", title="Memory while events go by", measure=memory),
    Benchmark(name="scale", title="More processes of a role", measure=scale),
    Benchmark(name="deleter", title="The deleter against its statements alone", measure=deleting),
    Benchmark(name="punctual", title="Due rows a second, on time", measure=punctuality),
    Benchmark(name="fair", title="One row among a backlog", measure=fairness),
    Benchmark(name="terminate", title="The end of a large customer", measure=termination_latency),
    Benchmark(name="gdprbench", title="GDPRBench against a plain table", measure=gdprbench),
    Benchmark(
        name="recorder", title="The recorder against its statements alone", measure=recording
    ),
    Benchmark(
        name="acknowledgements", title="Answers against the same rows bare", measure=acknowledging
    ),
    Benchmark(
        name="agent", title="The agent against the same statements alone", measure=agent_erasing
    ),
    Benchmark(name="signing", title="Signatures against Ed25519 alone", measure=signing),
)
