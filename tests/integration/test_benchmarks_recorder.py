"""Benchmarks of the recorder at tiny size, to show that both sides of each produce equal results."""

from __future__ import annotations

import pytest

from schemas.codec import Codec, load
from services.policy.loader import load as load_policy
from tests.benchmarks import acknowledging, recording
from tests.benchmarks.stage import environment


@pytest.mark.postgres
def test_recorded_rows_are_those_that_bare_statements_write() -> None:
    """There are two batches; a difference in any row would raise `Unequal`."""
    with environment(load_policy(), Codec(load()), sizes="quick") as small:
        messages = recording.tagged_messages(small.policy, small.codec, companies=2)
        figures = list(recording.measured(small, messages, batch=len(messages) // 2 + 1))
    assert [figure.name for figure in figures] == ["recorder", "recorder.copy"]


@pytest.mark.postgres
def test_settled_commands_are_those_that_bare_statements_write() -> None:
    """There are three batches; a difference in any row would raise `Unequal`."""
    with environment(load_policy(), Codec(load()), sizes="quick") as small:
        figure = acknowledging.measured(small, answers=25, batch=10)
    assert (figure.name, figure.reach) == ("acknowledgements", None)
