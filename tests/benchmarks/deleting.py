"""The deleter's speed: against the same statements alone, and in small and large ledgers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from sqlalchemy import func, select

from services.deleter.deleter import DeleterLimits
from services.kafka.client import KafkaClient
from services.ledger import tables
from services.storage.database import Database
from tests.benchmarks import deleter_driver, load_fixtures, statements
from tests.benchmarks.deleter_driver import SweepStats
from tests.benchmarks.environment import Stage
from tests.benchmarks.figures import Figure, lower, upper
from tests.benchmarks.load_fixtures import FEEDBACK, INVOICE, Load
from tests.members import MEMBERS

_LONG_AGO = timedelta(days=1_000)
_SECOND = timedelta(seconds=1)
_LIMITS = DeleterLimits(commands_per_hour=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletingSizes:
    """The number of records for each figure."""

    chunked: int
    """Subjects whose 500 records each come due together, with their clock."""
    singles: int
    """Subjects with one record each."""
    growth: tuple[int, int]
    """Other rows, in the small ledger and in the large one."""
    due: int
    """Rows that come due among the others."""


_QUICK = DeletingSizes(chunked=20, singles=5_000, growth=(20_000, 200_000), due=2_000)
_FULL = DeletingSizes(chunked=200, singles=30_000, growth=(100_000, 3_000_000), due=10_000)
_WHOLE = DeletingSizes(chunked=2_000, singles=1_000_000, growth=(100_000, 10_000_000), due=10_000)


def deleting(stage: Stage) -> Iterator[Figure]:
    """Measure records a second to Kafka against the statements alone, and in small and large ledgers."""
    sizes = stage.size(_QUICK, _FULL, _WHOLE)
    bus = deleter_driver.open_bus(stage)
    yield measure_chunks(stage, bus, sizes)
    yield measure_singles(stage, bus, sizes)
    yield growth(stage, bus, sizes)


def measure_chunks(stage: Stage, bus: KafkaClient, sizes: DeletingSizes) -> Figure:
    """Measure subjects with 500 records each, all due at one second through their clocks."""
    due = _recent_time(stage)
    load = Load(
        kind=INVOICE,
        name="c",
        subjects=sizes.chunked,
        each=500,
        time=due - _LONG_AGO,
        apart=timedelta(seconds=97),
    )
    return _compare_with_statements(
        stage,
        bus,
        load,
        due,
        name="deleter.chunks",
        unit=f"records/s: {sizes.chunked:,} subjects x 500, due at one second, to Kafka",
    )


def measure_singles(stage: Stage, bus: KafkaClient, sizes: DeletingSizes) -> Figure:
    """Measure subjects with one record each, all due at one second."""
    due = _recent_time(stage)
    at = load_fixtures.time_when_due(FEEDBACK, due, stage.policy)
    load = Load(
        kind=FEEDBACK,
        name="s",
        subjects=sizes.singles,
        each=1,
        time=at,
        apart=_SECOND / sizes.singles,
    )
    return _compare_with_statements(
        stage,
        bus,
        load,
        due,
        name="deleter.singles",
        unit=f"records/s: {sizes.singles:,} subjects x 1, due at one second, to Kafka",
    )


def _compare_with_statements(
    stage: Stage, bus: KafkaClient, load: Load, due: datetime, *, name: str, unit: str
) -> Figure:
    signed, alone = [], []
    for _ in range(stage.runs):
        with load_fixtures.fresh_ledger(stage) as ledger, load_fixtures.fresh_ledger(stage) as bare:
            _make_due(ledger, load, due, stage)
            seen = SweepStats()
            signed.append(
                deleter_driver.measure_drain(
                    deleter_driver.deleter(stage, ledger, bus, seen, _LIMITS)
                )
            )
            batches = statements.build_batches(
                ledger, records=_LIMITS.records_per_claim, by_clock=load.kind.clock is not None
            )
            _make_due(bare, load, due, stage)
            alone.append(statements.measure_statements(bare, batches))
            _check_equal(ledger, bare, load, seen)
    return Figure(
        name=name,
        value=load.records / median(signed),
        unit=unit,
        baseline=load.records / median(alone),
        reach=lower(0.5),
        runs=stage.runs,
    )


def growth(stage: Stage, bus: KafkaClient, sizes: DeletingSizes) -> Figure:
    """Measure the time per due row with many other rows against the time with few."""
    seconds: dict[int, list[float]] = {others: [] for others in sizes.growth}
    for others in sizes.growth:
        with load_fixtures.fresh_ledger(stage) as ledger:
            later = load_fixtures.now(ledger) + timedelta(days=30)
            at = load_fixtures.time_when_due(FEEDBACK, later, stage.policy)
            apart = timedelta(days=300) / others
            outside_load = Load(
                kind=FEEDBACK, name="k", subjects=others, each=1, time=at, apart=apart
            )
            load_fixtures.fill(ledger, outside_load, stage.policy)
            seen = SweepStats()
            deleter = deleter_driver.deleter(stage, ledger, bus, seen, _LIMITS)
            for run in range(stage.runs + 1):
                due = load_fixtures.now(ledger) - timedelta(seconds=1)
                at = load_fixtures.time_when_due(FEEDBACK, due, stage.policy)
                load = Load(kind=FEEDBACK, name=f"d{run}", subjects=sizes.due, each=1, time=at)
                load_fixtures.fill(ledger, load, stage.policy)
                seconds[others].append(deleter_driver.measure_drain(deleter))
            if seen.commands != sizes.due * (stage.runs + 1):
                raise RuntimeError(f"{seen.commands} commands went out")
    few, many = sizes.growth
    return Figure(
        name="deleter.growth",
        value=median(seconds[many][1:]) / sizes.due * 1e6,
        unit=f"µs a due row, with {many:,} other rows against {few:,}",
        baseline=median(seconds[few][1:]) / sizes.due * 1e6,
        reach=upper(1.25),
        runs=stage.runs,
    )


def _make_due(ledger: Database, load: Load, due: datetime, stage: Stage) -> None:
    load_fixtures.fill(ledger, load, stage.policy)
    if load.kind.clock:
        at = load_fixtures.end_when_due(load.kind.clock, due, stage.policy)
        load_fixtures.end(ledger, load, at, stage.policy)
        load_fixtures.settle(ledger)


def _recent_time(stage: Stage) -> datetime:
    return deleter_driver.current_time().replace(microsecond=0) - 2 * _SECOND


def _check_equal(ledger: Database, bare: Database, load: Load, seen: SweepStats) -> None:
    """Check that in both ledgers each record is in one command, and each command is sent."""
    expected = {
        "record": load.records,
        f"{MEMBERS} member": load.records,
        "command": -(-load.each // 500) * load.subjects,
    }
    for database in (ledger, bare):
        with database.transaction() as connection:
            counts = {table: load_fixtures.count(connection, table) for table in expected}
            sent = load_fixtures.count(connection, "command", "state = 'sent' AND attempt = 1")
            attempts = connection.execute(
                select(func.sum(func.length(tables.message.c.commands)) / 16)
            ).scalar_one()
        if counts != expected or not sent == attempts == expected["command"]:
            raise RuntimeError(f"{counts}, {sent} sent, {attempts} attempts; expected {expected}")
    if seen.commands != expected["command"]:
        raise RuntimeError(f"{seen.commands} commands went out")
