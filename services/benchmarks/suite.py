"""Every benchmark, in the order in which `termijn bench all` runs them."""

from __future__ import annotations

from services.benchmarks.figures import Benchmark
from services.benchmarks.parts import parts
from services.benchmarks.rivals import rivals
from services.benchmarks.tagging import tagging

SUITE = (
    Benchmark(name="parts", title="Tagging and recording in one process", measure=parts),
    Benchmark(name="tagger", title="The tagger against a copier of bytes", measure=tagging),
    Benchmark(name="rivals", title="The tagger against other frameworks", measure=rivals),
)
