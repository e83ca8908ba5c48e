"""Every benchmark, in the order in which `termijn bench all` runs them."""

from __future__ import annotations

from services.benchmarks.deleting import deleting
from services.benchmarks.figures import Benchmark
from services.benchmarks.parts import parts

SUITE = (
    Benchmark(name="parts", title="Tagging and recording in one process", measure=parts),
    Benchmark(name="deleter", title="The deleter against its statements alone", measure=deleting),
)
