"""Forecast how many obligations to destroy data become due each day, by rule and system, from a sample.

The counts of rows are exact, and read from an index. What the rows require is found for a sample of each
day, so that a forecast costs the same however large the ledger is. Nothing is locked or changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from math import ceil
from operator import attrgetter
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Table, and_, func, literal, or_, select

from services.deleter.foreseen import ForeseenRecord, foreseen_obligations
from services.deleter.paused_systems import SCOPE
from services.deleter.surge_guard import Exemptions, flows_of
from services.ledger import active_policy, forecasts, tables
from services.ledger.clocks import ClockState
from services.ledger.forecasts import FlowDay
from services.ledger.rows import RECORD_COLUMNS, RecordRow, record_rows
from services.policy.ids import clock_id
from services.policy.model import Policy
from services.policy.rule_ends import ClockStanding
from services.storage import pause
from services.storage.bulk import select_in
from services.storage.database import Database, database_now

DAYS_AHEAD = 16
"""A forecast is at least a week old when it is used, and may have to do for another week."""
_DAILY_SAMPLE, _IMPORT_SAMPLE, _RECORDS_OF_CLOCK = 1_000, 10_000, 10
"""How many rows a forecast looks at: of each day, of an import, and of each clock among them."""
_RECORD_SHARE, _CLOCK_SHARE = 200, 20
"""Of a large part it looks at one record, and one clock, in so many: so a rule with a thousand is found."""
_MAX_RECORDS, _MAX_CLOCKS = 50_000, 5_000
_MAX_LATE = _MAX_RECORDS * _RECORD_SHARE
"""With more records due at once, as after an activation in a very large ledger, the forecast waits."""
_IDS, _PLACES = 1 << 128, 16


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A part of the ledger that is counted in one transaction: its records, and clocks with their records.

    Either may be all that is due on a day, or all that an import holds back.
    """

    records: ColumnElement[bool]
    clocks: ColumnElement[bool]
    counts_by_clock: Callable[[ClockState], bool]
    """Whether a record that depends on a clock is counted with the clock, in whatever part that is."""
    standing: Callable[[ClockState], ClockStanding]
    records_of_clocks: ColumnElement[bool]
    """Which records of the clocks count; an import holds the others back."""
    sample: int
    """How many records are looked at, at least, and a fifth as many clocks."""

    def record_sample(self, number: int) -> int:
        """Return how many of so many records are looked at."""
        return min(_MAX_RECORDS, max(self.sample, number // _RECORD_SHARE))

    def clock_sample(self, number: int) -> int:
        """Return how many of so many clocks are looked at."""
        return min(_MAX_CLOCKS, max(self.sample // 5, number // _CLOCK_SHARE))


def make_daily_forecast(ledger: Database, policy: Policy) -> bool:
    """Make and store the deleter's forecast if there is none of today, or none since a release.

    Days are counted in a transaction each, so that no role waits for long. Returns whether one was made.
    None is made while a very large ledger is being checked again after an activation, or while the deleter
    is stopped: a mistake that stays without effect for a week could become what is expected.

    Raises:
        PolicyMismatch: another policy has become the active one meanwhile.
    """
    with ledger.transaction() as connection:
        now = database_now(connection)
        if pause.pause_state(connection, SCOPE) != "running" or not _is_due(connection, now):
            return False
        if _has_too_many_due(connection, now):
            return False
        exemptions = Exemptions.load(connection)
        claimed = forecasts.claimed_on(connection, now.date())
    horizon = _midnight(now.date() + timedelta(days=DAYS_AHEAD))
    total: defaultdict[FlowDay, float] = defaultdict(float)
    for flow, number in claimed.items():
        total[FlowDay(now.date(), flow)] += number
    for part in _days(now, horizon):
        counts = ledger.run_in_transaction(
            partial(_count, part=part, policy=policy, now=now, until=horizon, exemptions=exemptions)
        )
        for flow_day, number_of_day in counts.items():
            total[flow_day] += number_of_day

    def store(connection: Connection) -> None:
        active_policy.require_active(connection, policy, now)
        forecasts.store_forecast(connection, "daily", now, _rounded(total))
        forecasts.delete_old_forecasts(connection, now.date())

    ledger.run_in_transaction(store)
    return True


def expect_released(connection: Connection, backfill: str, policy: Policy, now: datetime) -> None:
    """Store what an import will require, as forecast: call it before the import is released."""
    horizon = _midnight(now.date() + timedelta(days=DAYS_AHEAD))
    record, clock = tables.record.c, tables.clock.c
    part = _Part(
        records=record.backfill == backfill,
        clocks=clock.backfill == backfill,
        counts_by_clock=lambda state: state.backfill == backfill,
        standing=attrgetter("standing_if_released"),
        records_of_clocks=or_(record.backfill.is_(None), record.backfill == backfill),
        sample=_IMPORT_SAMPLE,
    )
    counts = _count(connection, part, policy, now, horizon, Exemptions({}, 0))
    forecasts.store_forecast(connection, "released", now, _rounded(counts))


def _is_due(connection: Connection, now: datetime) -> bool:
    last = forecasts.last_daily_at(connection)
    if last is None or last.date() != now.date():
        return True
    releases = forecasts.load_releases(connection).values()
    return any(last < release.through <= now for release in releases)


def _has_too_many_due(connection: Connection, now: datetime) -> bool:
    """Return whether so much is to be checked now that a sample of it would find no rare rule."""
    is_late = _is_due_between(tables.record, None, now)
    some = select(literal(1)).where(is_late).limit(_MAX_LATE + 1).subquery()
    return int(connection.execute(select(func.count()).select_from(some)).scalar_one()) > _MAX_LATE


def _days(now: datetime, horizon: datetime) -> Iterator[_Part]:
    """Yield what is due today or since before, then what is due on each day after it."""

    def is_due_within(state: ClockState) -> bool:
        return state.backfill is None and state.next_due is not None and state.next_due < horizon

    start: datetime | None = None
    while start is None or start < horizon:
        day = now.date() if start is None else start.date()
        end = _midnight(day + timedelta(days=1))
        yield _Part(
            records=_is_due_between(tables.record, start, end),
            clocks=_is_due_between(tables.clock, start, end),
            counts_by_clock=is_due_within,
            standing=attrgetter("standing"),
            records_of_clocks=tables.record.c.backfill.is_(None),
            sample=_DAILY_SAMPLE,
        )
        start = end


def _is_due_between(table: Table, start: datetime | None, end: datetime) -> ColumnElement[bool]:
    column = table.c.next_due
    within = and_(column < end, column.is_not(None), table.c.backfill.is_(None))
    return within if start is None else and_(column >= start, within)


def _count(
    connection: Connection,
    part: _Part,
    policy: Policy,
    now: datetime,
    until: datetime,
    exemptions: Exemptions,
) -> Mapping[FlowDay, float]:
    """Return how many obligations the part has until an instant, by day; what is late is of today."""
    counts: defaultdict[FlowDay, float] = defaultdict(float)

    def add(record: ForeseenRecord, weight: float, clock: UUID | None) -> None:
        for obligation in record.obligations:
            deciding = [
                state.clock_id
                for key in obligation.clocks
                if (state := record.clocks.get(clock_id(key))) and part.counts_by_clock(state)
            ]
            # A record that several such clocks have is counted with the first of them.
            if min(deciding, default=None) != clock:
                continue
            day = max(now, obligation.due).astimezone(UTC).date()
            for flow in flows_of(obligation):
                if not exemptions.covers(flow, obligation.due):
                    counts[FlowDay(day, flow)] += weight

    rows, weight = _sample_records(connection, part)
    for record in foreseen_obligations(connection, rows, policy, until, part.standing):
        add(record, weight, None)
    samples = _sample_clocks(connection, part)
    for record in _foreseen_by_clock(connection, samples, policy, until, part):
        for clock, clock_weight in samples[record.row.record_id]:
            add(record, clock_weight, clock)
    return counts


def _foreseen_by_clock(
    connection: Connection,
    samples: Mapping[UUID, object],
    policy: Policy,
    until: datetime,
    part: _Part,
) -> Iterator[ForeseenRecord]:
    """Yield the sampled records of clocks, without those that an import holds back beside the part."""
    column = tables.record.c
    query = select(*RECORD_COLUMNS).where(part.records_of_clocks)
    rows = record_rows(select_in(connection, query, column.record_id, samples.keys()))
    yield from foreseen_obligations(connection, rows, policy, until, part.standing)


def _sample_records(connection: Connection, part: _Part) -> tuple[Sequence[RecordRow], float]:
    """Return some records of a part, evenly by id, and how many of the part each speaks for."""
    number = _count_rows(connection, tables.record, part.records)
    size = part.record_sample(number)
    share = _share(tables.record.c.record_id, number, size)
    query = select(*RECORD_COLUMNS).where(part.records, *share)
    rows = record_rows(connection.execute(query.limit(size * 2)))
    return rows, number / len(rows) if rows else 0.0


def _sample_clocks(
    connection: Connection, part: _Part
) -> Mapping[UUID, Sequence[tuple[UUID, float]]]:
    """Return some records of some clocks of a part: their clocks, and how many each speaks for."""
    number = _count_rows(connection, tables.clock, part.clocks)
    if not number:
        return {}
    column, hanging, size = tables.clock.c.clock_id, tables.hanging.c, part.clock_sample(number)
    query = select(column).where(part.clocks, *_share(column, number, size))
    clocks = connection.execute(query.limit(size * 2)).scalars().all()
    if not clocks:
        return {}
    place = func.row_number().over(partition_by=hanging.clock_id, order_by=hanging.record_id)
    records = func.count().over(partition_by=hanging.clock_id)
    numbered = (
        select(hanging.clock_id, hanging.record_id, place.label("place"), records.label("records"))
        .where(hanging.clock_id.in_(clocks))
        .subquery()
    )
    samples: defaultdict[UUID, list[tuple[UUID, float]]] = defaultdict(list)
    for row in connection.execute(select(numbered).where(numbered.c.place <= _RECORDS_OF_CLOCK)):
        speaks_for = number / len(clocks) * row.records / min(row.records, _RECORDS_OF_CLOCK)
        samples[row.record_id].append((row.clock_id, speaks_for))
    return samples


def _count_rows(connection: Connection, table: Table, where: ColumnElement[bool]) -> int:
    query = select(func.count()).select_from(table).where(where)
    return int(connection.execute(query).scalar_one())


def _share(column: ColumnElement[UUID], number: int, size: int) -> list[ColumnElement[bool]]:
    """Return the condition that takes about `size` of `number` rows by their ids, which are hashes.

    Rows of one batch are stored, and often claimed, in the order of their ids: what is left of it is not
    even over all ids. So the sample is taken from many places.
    """
    if number <= size:
        return []
    width = _IDS * size // number // _PLACES
    starts = [_IDS // _PLACES * place for place in range(_PLACES)]
    return [or_(*(column.between(UUID(int=at), UUID(int=at + width)) for at in starts))]


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _rounded(counts: Mapping[FlowDay, float]) -> Mapping[FlowDay, int]:
    return {flow_day: ceil(number) for flow_day, number in counts.items()}
