"""Forecasts of what becomes due by rule and system, and counts of what was claimed: the surge guard's data.

Days are UTC. Only obligations to destroy data are counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Literal, NamedTuple

from sqlalchemy import Connection, delete, exists, func, select, tuple_, update

from services.ledger import tables
from services.storage.bulk import insert, insert_or_add

Kind = Literal["daily", "released", "shown", "accepted"]
_KEPT = 40
"""So many daily forecasts are kept, whatever their age: a clock that was wrong must not cost the others."""
LATE_DAYS = 8
"""For so many days an obligation that a forecast expected is still expected."""


class Flow(NamedTuple):
    """The obligations of a rule in a system: what the surge guard counts apart."""

    rule: str
    system: str


class FlowDay(NamedTuple):
    """The obligations of a rule in a system on a day."""

    day: date
    flow: Flow


class Release(NamedTuple):
    """An operator's decision that what was due of a flow by an instant (UTC) goes on."""

    through: datetime
    policy_number: int


class OpenSurge(NamedTuple):
    """A surge that has stopped the deleters, and that no operator has released yet."""

    number: int
    rule: str
    system: str
    claimed: int
    expected: int
    forecast_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowForecast:
    """What a forecast of an instant, UTC, expects of one flow, by day."""

    made_at: datetime
    days: Mapping[date, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowHistory:
    """What is known of one flow."""

    daily: tuple[FlowForecast, ...] = ()
    """The deleter's own forecasts, also those that expect nothing of this flow."""
    further: tuple[FlowForecast, ...] = ()
    """What operators released or accepted."""
    claimed: Mapping[date, int] = field(default_factory=dict)
    released_at: datetime | None = None
    """When an operator last let a surge of it go on, UTC."""


def store_forecast(
    connection: Connection,
    kind: Kind,
    made_at: datetime,
    obligations: Mapping[FlowDay, int],
    digest: str | None = None,
) -> None:
    """Store a forecast made at an instant, UTC; one of no obligations is a forecast too."""
    header = tables.forecast.insert().values(kind=kind, made_at=made_at, digest=digest)
    key = connection.execute(header).inserted_primary_key
    assert key is not None
    lines = [
        {"forecast": key[0], "day": day, "rule": flow.rule, "system": flow.system, "obligations": n}
        for (day, flow), n in sorted(obligations.items())
        if n
    ]
    insert(connection, tables.forecast_line, lines)


def last_daily_at(connection: Connection) -> datetime | None:
    """Return when the deleter last made a forecast, UTC; None if it never did."""
    column = tables.forecast.c
    query = select(column.made_at).where(column.kind == "daily").order_by(column.number.desc())
    at: datetime | None = connection.execute(query.limit(1)).scalar_one_or_none()
    return at


def replace_shown(
    connection: Connection, digest: str, day: date, obligations: Mapping[Flow, int], at: datetime
) -> None:
    """Store what was shown to an operator with a digest, instead of what was shown with it before."""
    _delete_forecasts(connection, _shown(connection, digest))
    by_day = {FlowDay(day, flow): number for flow, number in obligations.items()}
    store_forecast(connection, "shown", at, by_day, digest)


def accept_shown(connection: Connection, digest: str, at: datetime) -> None:
    """Expect from an instant on, UTC, what was shown with the digest; nothing if it was not shown here."""
    numbers = _shown(connection, digest)
    if not numbers:
        return
    lines, header = tables.forecast_line, tables.forecast
    connection.execute(update(lines).where(lines.c.forecast.in_(numbers)).values(day=at.date()))
    connection.execute(update(header).where(header.c.number.in_(numbers)).values(kind="accepted"))


def delete_old_forecasts(connection: Connection, today: date) -> None:
    """Delete the forecasts and counts that no surge is compared with any more."""
    header, lines, claimed = tables.forecast.c, tables.forecast_line.c, tables.claimed_obligation
    daily = select(header.number).where(header.kind == "daily").order_by(header.number.desc())
    kept = connection.execute(daily.limit(_KEPT)).scalars().all()
    if len(kept) < _KEPT:
        return
    is_expected = exists().where(
        lines.forecast == header.number, lines.day >= today - timedelta(days=LATE_DAYS)
    )
    old = select(header.number).where(header.number < kept[-1])
    numbers = connection.execute(old.where((header.kind == "daily") | ~is_expected)).scalars().all()
    _delete_forecasts(connection, numbers)
    connection.execute(delete(claimed).where(claimed.c.day < today - timedelta(days=_KEPT)))


def add_claimed(
    connection: Connection, day: date, counts: Mapping[Flow, int]
) -> Mapping[Flow, int]:
    """Add to the day's counts, which are locked until the transaction ends; return the new counts."""
    table = tables.claimed_obligation
    rows = [
        {"day": day, "rule": flow.rule, "system": flow.system, "obligations": number}
        for flow, number in sorted(counts.items())
    ]
    insert_or_add(connection, table, rows, "obligations")
    query = select(table.c.rule, table.c.system, table.c.obligations).where(table.c.day == day)
    totals = {Flow(row.rule, row.system): row.obligations for row in connection.execute(query)}
    return {flow: totals[flow] for flow in counts}


def claimed_on(connection: Connection, day: date) -> Mapping[Flow, int]:
    """Return what was claimed on a day."""
    column = tables.claimed_obligation.c
    query = select(column.rule, column.system, column.obligations).where(column.day == day)
    return {Flow(row.rule, row.system): row.obligations for row in connection.execute(query)}


def load_releases(connection: Connection) -> Mapping[Flow, Release]:
    """Return the last release of each flow that has had a surge."""
    column = tables.surge.c
    query = (
        select(column.rule, column.system, column.released_at, column.policy_number)
        .where(column.released_at.is_not(None))
        .order_by(column.number)
    )
    return {
        Flow(row.rule, row.system): Release(row.released_at, row.policy_number)
        for row in connection.execute(query)
    }


def load_open_surges(connection: Connection) -> list[OpenSurge]:
    """Return the surges that no operator has released yet."""
    column = tables.surge.c
    query = select(*(column[name] for name in OpenSurge._fields))
    query = query.where(column.released_at.is_(None)).order_by(column.number)
    return [OpenSurge._make(row) for row in connection.execute(query)]


def load_history(
    connection: Connection, flows: Collection[Flow], now: datetime
) -> Mapping[Flow, FlowHistory]:
    """Return what is known of each flow: forecasts made by `now`, UTC, and claims of the last days."""
    header, lines, claimed = tables.forecast.c, tables.forecast_line.c, tables.claimed_obligation.c
    made = connection.execute(
        select(header.number, header.kind, header.made_at)
        .where(header.kind != "shown", header.made_at <= now)
        .order_by(header.number)
    ).all()
    days: defaultdict[tuple[int, Flow], dict[date, int]] = defaultdict(dict)
    query = select(lines.forecast, lines.day, lines.rule, lines.system, lines.obligations)
    for row in connection.execute(query.where(tuple_(lines.rule, lines.system).in_(list(flows)))):
        days[row.forecast, Flow(row.rule, row.system)][row.day] = row.obligations
    counts: defaultdict[Flow, dict[date, int]] = defaultdict(dict)
    recent = select(claimed.day, claimed.rule, claimed.system, claimed.obligations).where(
        claimed.day.between(now.date() - timedelta(days=_KEPT), now.date()),
        tuple_(claimed.rule, claimed.system).in_(list(flows)),
    )
    for day, rule, system, obligations in connection.execute(recent):
        counts[Flow(rule, system)][day] = obligations
    releases = load_releases(connection)

    def forecasts_of(flow: Flow, *, daily: bool) -> tuple[FlowForecast, ...]:
        return tuple(
            FlowForecast(made_at=row.made_at, days=days.get((row.number, flow), {}))
            for row in made
            if (row.kind == "daily") is daily
        )

    return {
        flow: FlowHistory(
            daily=forecasts_of(flow, daily=True),
            further=forecasts_of(flow, daily=False),
            claimed=counts.get(flow, {}),
            released_at=release.through if (release := releases.get(flow)) else None,
        )
        for flow in flows
    }


def active_policy_number(connection: Connection) -> int:
    """Return the number of the active policy."""
    return int(connection.execute(select(func.max(tables.active_policy.c.number))).scalar_one())


def _shown(connection: Connection, digest: str) -> list[int]:
    column = tables.forecast.c
    query = select(column.number).where(column.kind == "shown", column.digest == digest)
    return list(connection.execute(query).scalars())


def _delete_forecasts(connection: Connection, numbers: Collection[int]) -> None:
    lines, header = tables.forecast_line, tables.forecast
    connection.execute(delete(lines).where(lines.c.forecast.in_(numbers)))
    connection.execute(delete(header).where(header.c.number.in_(numbers)))
