"""Growth: the cost of an event and of a due row in ledgers of different sizes, which should be flat."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from statistics import median
from time import perf_counter

from services.deleter.claim import claim_due
from services.events.sample_events import sample_events
from services.ledger.recording import record
from services.storage.database import Database, database_now
from tests.benchmarks import load_fixtures
from tests.benchmarks.components import arrival_of
from tests.benchmarks.environment import Stage
from tests.benchmarks.figures import Figure, upper
from tests.benchmarks.load_fixtures import FEEDBACK, Load

_QUICK = {"1k": 1_000, "10k": 10_000}
_FULL = {"10k": 10_000, "100k": 100_000, "1M": 1_000_000}
_WHOLE = {**_FULL, "10M": 10_000_000}
_FLAT = 1.25
_BATCH = 2_000
_COMPANIES = 300
"""Each makes some thirty events."""
_DUE = 5_000
"""Rows that are due, for each measurement."""


def growth(stage: Stage) -> Iterator[Figure]:
    """Measure recording and claiming while the ledger grows from one size to the next."""
    sizes = stage.size(_QUICK, _FULL, _WHOLE)
    smallest: dict[str, float] = {}
    with load_fixtures.fresh_ledger(stage) as ledger:
        there = 0
        for number, (name, size) in enumerate(sizes.items()):
            _grow(ledger, stage, f"g{number}", size - there)
            there = size
            measured = {
                "event": _measure_event_microseconds(ledger, stage, seed=number),
                "due": _measure_due_row_microseconds(ledger, stage, f"d{number}"),
            }
            for what, value in measured.items():
                smallest.setdefault(what, value)
                yield Figure(
                    name=f"growth.{what}.{name}",
                    value=value,
                    unit=f"µs {'an event recorded' if what == 'event' else 'a due row claimed'}",
                    baseline=smallest[what],
                    reach=upper(_FLAT) if number else None,
                )


def _grow(ledger: Database, stage: Stage, name: str, records: int) -> None:
    """Insert records that are due in a year."""
    due = load_fixtures.now(ledger) + timedelta(days=365)
    time = load_fixtures.time_when_due(FEEDBACK, due, stage.policy)
    load = Load(kind=FEEDBACK, name=name, subjects=records, each=1, time=time)
    load_fixtures.fill(ledger, load, stage.policy)


def _measure_event_microseconds(ledger: Database, stage: Stage, *, seed: int) -> float:
    at = load_fixtures.now(ledger)
    events = sample_events(stage.policy, at, seed=1_000 + seed, companies=_COMPANIES)
    arrivals = [arrival_of(event, stage.policy) for event in events]
    spent = []
    for start in range(0, len(arrivals) - _BATCH + 1, _BATCH):
        batch = arrivals[start : start + _BATCH]
        started = perf_counter()
        ledger.run_in_transaction(partial(record, arrivals=batch, policy=stage.policy, now=at))
        spent.append((perf_counter() - started) / len(batch) * 1e6)
    return median(spent)


def _measure_due_row_microseconds(ledger: Database, stage: Stage, name: str) -> float:
    """Measure claiming rows, one subject each, after claiming what the recorded events left due."""
    _claim_all(ledger, stage)
    due = load_fixtures.now(ledger) - timedelta(seconds=1)
    time = load_fixtures.time_when_due(FEEDBACK, due, stage.policy)
    load = Load(kind=FEEDBACK, name=name, subjects=_DUE, each=1, time=time)
    load_fixtures.fill(ledger, load, stage.policy)
    started = perf_counter()
    _claim_all(ledger, stage)
    return (perf_counter() - started) / _DUE * 1e6


def _claim_all(ledger: Database, stage: Stage) -> None:
    has_more = True
    while has_more:
        has_more = ledger.run_in_transaction(
            lambda connection: (
                claim_due(connection, stage.policy, database_now(connection), limit=_BATCH).more
            )
        )
