"""Benchmarks say what they measured; how fast it was is nobody's promise."""

from __future__ import annotations

from schemas.codec import Codec, load
from services.benchmarks import benchmarks
from services.policy.loader import load as load_policy


def test_each_figure_is_a_ratio_to_the_least_that_it_can_cost() -> None:
    """Two figures, each with what it is measured against."""
    figures = list(benchmarks(load_policy(), Codec(load()), companies=1, runs=1))
    assert [one.name for one in figures] == ["tagging.cpu", "recording.cpu"]
    assert all(one.ratio == one.value / one.baseline > 0 for one in figures)
