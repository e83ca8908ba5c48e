"""The deleter's benchmarks at tiny sizes: each yields its figures, and both sides do the same work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from schemas.codec import Codec
from schemas.schema_files import load
from services.kafka.client import KafkaClient
from services.policy.loader import load as load_policy
from tests.benchmarks import (
    deleter_driver,
    deleting,
    fairness,
    gdprbench,
    latency_under_load,
    termination_latency,
)
from tests.benchmarks.deleting import DeletingSizes
from tests.benchmarks.environment import Stage, environment
from tests.servers.kafka import KafkaCluster

_TINY = DeletingSizes(chunked=2, singles=20, growth=(50, 500), due=20)


@dataclass(frozen=True, slots=True)
class _Server:
    fresh_database: Callable[[], str]


@pytest.fixture
def small(
    kafka: KafkaCluster, postgres: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    """A stage on the servers that the tests share."""
    stages: dict[str, Any] = {"kafka": lambda _: kafka, "postgres": lambda _: _Server(postgres)}
    for name, server in stages.items():
        monkeypatch.setattr(Stage, name, server)
    with environment(load_policy(), Codec(load()), sizes="quick") as stage:
        yield stage


@pytest.fixture
def bus(small: Stage) -> KafkaClient:
    """The bus with every topic that the deleter needs."""
    return deleter_driver.open_bus(small)


def test_the_deleter_and_its_statements_alone_write_the_same(
    small: Stage, bus: KafkaClient
) -> None:
    """The benchmark itself compares members, commands and attempts, and raises where they differ."""
    figures = [
        deleting.measure_chunks(small, bus, _TINY),
        deleting.measure_singles(small, bus, _TINY),
    ]
    assert [figure.name for figure in figures] == ["deleter.chunks", "deleter.singles"]
    assert all(figure.value > 0 and figure.baseline for figure in figures)


def test_growth_compares_a_large_ledger_with_a_small_one(small: Stage, bus: KafkaClient) -> None:
    """Every due row is commanded in both ledgers; the benchmark itself counts them."""
    figure = deleting.growth(small, bus, _TINY)
    assert figure.name == "deleter.growth"
    assert figure.ratio


def test_one_row_among_a_backlog_is_commanded(small: Stage, bus: KafkaClient) -> None:
    """The result is one figure, in seconds."""
    figure = fairness.measure_fairness(small, bus, backlog=50)
    assert figure.name == "fair"
    assert figure.value > 0


def test_a_rate_is_held_when_every_row_left_within_a_second(small: Stage, bus: KafkaClient) -> None:
    """There are forty rows in two seconds, and none leaves before its time."""
    punctuality = latency_under_load.measure_rate(small, bus, rate=20, seconds=2)
    assert punctuality.on_time
    assert 0 <= punctuality.earliest < 1


def test_a_customers_end_is_one_clock_change_and_its_return_stops_the_deleter(small: Stage) -> None:
    """There are five figures; the benchmark itself checks that nothing left after the return."""
    figures = {
        figure.name: figure for figure in termination_latency.terminate(small, records=20_000)
    }
    assert list(figures) == [
        "terminate.move",
        "terminate.first",
        "terminate.rss",
        "terminate.others",
        "terminate.stopped",
    ]
    assert figures["terminate.stopped"].value == 0


def test_the_ledger_and_the_plain_table_answer_every_operation_alike(small: Stage) -> None:
    """There are four mixes; a different answer or term would raise."""
    sizes = gdprbench.GdprBenchSizes(customers=5, each=4, prospects=5, doomed=200, operations=100)
    assert [figure.name for figure in gdprbench.mixes(small, sizes)] == [
        "gdprbench.controller",
        "gdprbench.customer",
        "gdprbench.processor",
        "gdprbench.regulator",
    ]


@pytest.mark.parametrize("mix", gdprbench.MIXES.values(), ids=list(gdprbench.MIXES))
def test_the_shares_of_a_mix_are_complete(mix: dict[str, float]) -> None:
    """Its shares add up to all operations."""
    assert sum(mix.values()) == pytest.approx(1)
