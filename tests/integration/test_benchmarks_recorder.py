"""Benchmarks of the recorder at tiny size, to show that both sides of each produce equal results."""

from __future__ import annotations

from contextlib import closing

import pytest
from sqlalchemy import insert

from schemas.codec import Codec
from schemas.schema_files import load
from services.ledger import tables
from services.policy.loader import load as load_policy
from tests.benchmarks import acknowledging, recording
from tests.benchmarks.environment import environment
from tests.benchmarks.figures import ResultsDiffer
from tests.benchmarks.plain_sql import PlainSqlWriter


@pytest.mark.postgres
def test_recorded_rows_are_those_that_bare_statements_write() -> None:
    """There are two batches; a difference in any row would raise `ResultsDiffer`."""
    with environment(load_policy(), Codec(load()), sizes="quick") as small:
        messages = recording.tagged_messages(small.policy, small.codec, companies=2)
        figures = list(recording.measure_recording(small, messages, batch=len(messages) // 2 + 1))
    assert [figure.name for figure in figures] == ["recorder", "recorder.copy"]


@pytest.mark.postgres
def test_settled_commands_are_those_that_bare_statements_write() -> None:
    """There are three batches; a difference in any row would raise `ResultsDiffer`."""
    with environment(load_policy(), Codec(load()), sizes="quick") as small:
        figure = acknowledging.measure_acknowledging(small, answers=25, batch=10)
    assert figure.name == "acknowledgements"


@pytest.mark.postgres
def test_a_row_that_differs_ends_the_benchmark() -> None:
    """Otherwise the two tests above would show nothing."""
    with (
        environment(load_policy(), Codec(load()), sizes="quick") as small,
        closing(recording.create_empty_ledger(small)) as ledger,
        closing(recording.create_empty_ledger(small)) as other,
    ):
        writer = PlainSqlWriter(ledger)
        writer.check_equal(other)
        with other.transaction() as connection:
            connection.execute(insert(tables.subject).values(subject="client:1"))
        with pytest.raises(ResultsDiffer, match="the rows of subject differ"):
            writer.check_equal(other)
