"""Fairness: a record that is due last does not wait for the backlog before it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from statistics import median

from services.kafka.client import KafkaClient
from tests.benchmarks import deleter_driver, load_fixtures
from tests.benchmarks.deleter_driver import SweepStats
from tests.benchmarks.environment import Stage
from tests.benchmarks.figures import Figure, upper
from tests.benchmarks.load_fixtures import FEEDBACK, Load

_QUICK = 50_000
_FULL = 1_000_000
_UNDER_WAY = 5
"""Rounds after which the backlog is being drained in earnest."""
_PATIENCE = timedelta(seconds=30)
"""A row that has waited for longer is not waited for any more."""


def fairness(stage: Stage) -> Iterator[Figure]:
    """Measure one due row of another subject among a large backlog."""
    yield measure_fairness(stage, deleter_driver.open_bus(stage), backlog=stage.size(_QUICK, _FULL))


def measure_fairness(stage: Stage, bus: KafkaClient, *, backlog: int) -> Figure:
    """Return the seconds from a due row's arrival until its command is sent, during the backlog."""
    with load_fixtures.fresh_ledger(stage) as ledger:
        due = load_fixtures.now(ledger) - timedelta(seconds=1)
        at = load_fixtures.time_when_due(FEEDBACK, due, stage.policy)
        many = Load(kind=FEEDBACK, name="many", subjects=backlog, each=1, time=at)
        load_fixtures.fill(ledger, many, stage.policy)
        seen = SweepStats()
        deleter = deleter_driver.deleter(stage, ledger, bus, seen)
        waits = []
        for run in range(stage.runs):
            for _ in range(_UNDER_WAY):
                deleter.run_once()
            due = load_fixtures.now(ledger)
            at = load_fixtures.time_when_due(FEEDBACK, due, stage.policy)
            load = Load(kind=FEEDBACK, name=f"one{run}", subjects=1, each=1, time=at)
            load_fixtures.insert(ledger, load, stage.policy)
            given_up = due + _PATIENCE
            while due not in seen.out_at and deleter_driver.current_time() < given_up:
                deleter.run_once()
            waits.append((seen.out_at.get(due, given_up) - due).total_seconds())
    return Figure(
        name="fair",
        value=median(waits),
        unit=f"s until one row's command is out while {backlog:,} others drain",
        reach=upper(5, subject="value"),
        runs=stage.runs,
    )
