"""Benchmarks report what they measured; no speed is promised."""

from __future__ import annotations

import pytest

from schemas.codec import Codec
from schemas.schema_files import load
from services.policy.loader import load as load_policy
from tests.benchmarks.components import components
from tests.benchmarks.environment import environment
from tests.benchmarks.figures import Figure, lower, upper


def test_each_part_is_a_ratio_to_the_least_that_it_can_cost() -> None:
    """Two figures, each with what it is measured against."""
    with environment(load_policy(), Codec(load()), sizes="quick") as small:
        figures = list(components(small))
    assert [figure.name for figure in figures] == ["tagging.cpu", "recording.cpu"]
    assert all(
        figure.baseline and figure.ratio == figure.value / figure.baseline > 0 for figure in figures
    )


@pytest.mark.parametrize(
    ("value", "baseline", "reach", "met"),
    [
        (30.0, 10.0, upper(3), True),
        (31.0, 10.0, upper(3), False),
        (5.0, 10.0, lower(0.5), True),
        (4.9, 10.0, lower(0.5), False),
        (6_000.0, None, lower(5_000, subject="value"), True),
        (4_000.0, None, lower(5_000, subject="value"), False),
        (30.0, None, upper(3), False),
        (30.0, 10.0, None, None),
    ],
)
def test_a_missed_target_is_reported_as_missed(
    value: float, baseline: float | None, reach: object, met: bool | None
) -> None:
    """A ratio, or a value, on the right side of its bound; what could not be compared is missed."""
    figure = Figure(name="x", value=value, unit="s", baseline=baseline, reach=reach)  # type: ignore[arg-type]
    assert figure.met is met
