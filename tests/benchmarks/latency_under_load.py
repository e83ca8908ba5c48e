"""Punctuality: how many rows a second may become due so that each command leaves within a second.

For comparison: DynamoDB erases within days (10 to 28 minutes were measured), MongoDB looks every 60
seconds, and neither notifies another system.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from statistics import quantiles
from time import sleep

from services.kafka.client import KafkaClient
from tests.benchmarks import deleter_driver, load_fixtures
from tests.benchmarks.deleter_driver import SweepStats
from tests.benchmarks.environment import Stage
from tests.benchmarks.figures import Figure, lower
from tests.benchmarks.load_fixtures import FEEDBACK, Load

_RUN_UP = timedelta(seconds=3)
"""Between the moment at which the rows are there and the first that is due."""
_LOADED_A_SECOND = 10_000
"""Rows that are there after a second at least, also on a slow disk."""
_STEP = 1.25
_LATEST = 1.0
"""The 99th percentile of lateness that still counts as on time, in seconds."""
_LOST = 3.0
"""Who is that late, in seconds, does not keep up: the rest is not waited for."""
_TRIES = 4
"""How many rates are held for long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencySizes:
    """How long to measure, and from which rate on."""

    first: int
    """Due rows a second of the first step."""
    step_seconds: int
    steps: int
    held_seconds: int
    """How long the highest rate is held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """The result of one rate."""

    p99: float
    """Seconds from the instant due until the command was known to be out."""
    earliest: float
    """Seconds from the instant due until the command was issued, at least; never negative."""

    @property
    def on_time(self) -> bool:
        """Return whether the rate counts as held."""
        return self.p99 < _LATEST and self.earliest >= 0


_QUICK = LatencySizes(first=1_000, step_seconds=3, steps=1, held_seconds=4)
_FULL = LatencySizes(first=2_500, step_seconds=12, steps=5, held_seconds=60)
_WHOLE = LatencySizes(first=2_500, step_seconds=12, steps=5, held_seconds=120)


def punctuality(stage: Stage) -> Iterator[Figure]:
    """Measure the highest rate that is held with a 99th percentile below a second."""
    yield from latency_under_load(
        stage, deleter_driver.open_bus(stage), stage.size(_QUICK, _FULL, _WHOLE)
    )


def latency_under_load(stage: Stage, bus: KafkaClient, sizes: LatencySizes) -> Iterator[Figure]:
    """Step up while a rate holds, else down; hold the best for a while, else go down.

    Only a rate that was held to the end is reported: 0 where none was.
    """
    rate, best = sizes.first, 0
    for _ in range(sizes.steps):
        if measure_rate(stage, bus, rate, sizes.step_seconds).on_time:
            best, rate = rate, int(rate * _STEP)
        elif best:
            break
        else:
            rate = int(rate / _STEP)
    rate = best or rate
    for _ in range(_TRIES):
        last = measure_rate(stage, bus, rate, sizes.held_seconds)
        if last.on_time:
            break
        rate = int(rate / _STEP)
    yield Figure(
        name="punctual",
        value=float(rate) if last.on_time else 0.0,
        unit=f"due rows/s, one a subject, held for {sizes.held_seconds} s, p99 late by under 1 s",
        reach=lower(10_000, subject="value"),
    )
    yield Figure(
        name="punctual.p99",
        value=last.p99,
        unit=f"s late at {rate:,} rows/s (peers' times to live: MongoDB 60 s, DynamoDB 10-28 min)",
    )


def measure_rate(stage: Stage, bus: KafkaClient, rate: int, seconds: int) -> LoadResult:
    """Measure how punctual the deleter is when so many rows become due every second."""
    rows = rate * seconds
    apart = timedelta(seconds=1) / rate
    with load_fixtures.fresh_ledger(stage) as ledger:
        loading = timedelta(seconds=rows / _LOADED_A_SECOND)
        first = load_fixtures.now(ledger) + _RUN_UP + loading
        at = load_fixtures.time_when_due(FEEDBACK, first, stage.policy)
        load = Load(kind=FEEDBACK, name="p", subjects=rows, each=1, time=at, apart=apart)
        load_fixtures.fill(ledger, load, stage.policy)
        if load_fixtures.now(ledger) > first:
            raise RuntimeError("the rows came too late to be measured")
        seen = SweepStats()
        deleter = deleter_driver.deleter(stage, ledger, bus, seen)
        last = first + apart * rows
        given_up = last + timedelta(seconds=_LATEST * 2)
        while seen.commands < rows and deleter_driver.current_time() < given_up:
            if seen.lateness and seen.lateness[-1] > _LOST:
                break
            if not deleter.run_once():
                sleep(deleter_driver.REST_SECONDS)
    if seen.commands < rows:
        return LoadResult(p99=float("inf"), earliest=seen.earliest)
    return LoadResult(p99=quantiles(seen.lateness, n=100)[98], earliest=seen.earliest)
