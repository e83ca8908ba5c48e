"""Calendar arithmetic in any time zone, on local dates and wall-clock times."""

import calendar
import re
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from tests.oracle.language.rules import MONTH, NEVER, QUARTER

_PERIOD = re.compile(r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?")


class Start(NamedTuple):
    """Where a term starts: a local date and wall-clock time, and the instant of both.

    After the end of a year, quarter or month it is the beginning of the next day; `last_day` is then
    the day that ended the period.
    """

    day: date
    wall: time
    at: datetime
    last_day: date | None = None


def of_instant(moment: datetime, zone: str) -> Start:
    local = moment.astimezone(ZoneInfo(zone))
    return Start(local.date(), local.time().replace(fold=0), moment.astimezone(UTC))


def of_date(day: date, zone: str) -> Start:
    """Return the beginning of a local day."""
    return Start(day, time(0), begins(day, zone))


def after_period(start: Start, last_day: date, zone: str) -> Start:
    """Return the beginning of the day after the last one of the period in which a term starts."""
    if last_day < start.day:
        raise ValueError(f"the period ends on {last_day}, before {start.day}")
    return of_date(last_day + timedelta(days=1), zone)._replace(last_day=last_day)


def begins(day: date, zone: str) -> datetime:
    """Return the first instant of a local day, also where its midnight does not exist or exists twice."""
    # Of a midnight that is skipped, the offset before the change gives the change itself.
    return datetime.combine(day, time(0), ZoneInfo(zone)).astimezone(UTC)


def earlier_reading(day: date, wall: time, zone: str) -> datetime:
    """Return the instant of a wall-clock time: with both offsets, the earlier (ruling 15)."""
    local = datetime.combine(day, wall, ZoneInfo(zone))
    return min(local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))


def parsed(term: str) -> tuple[int, int]:
    """Return the months and the days of a period."""
    match = _PERIOD.fullmatch(term)
    if match is None or term in ("P", NEVER):
        raise ValueError(f"not a period of years, months, weeks and days: {term}")
    years, months, weeks, days = (int(number or 0) for number in match.groups())
    return 12 * years + months, 7 * weeks + days


def plus(day: date, term: str) -> date:
    """Return the day plus the months of the term, in a shorter month its last day, then plus the days."""
    months, days = parsed(term)
    years, index = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, index + 1
    last = calendar.monthrange(year, month)[1]
    return date(year, month, min(day.day, last)) + timedelta(days=days)


def minus(day: date, term: str) -> date:
    """Return the day minus the months of the term, in a shorter month its last day, then minus the days."""
    months, days = parsed(term)
    years, index = divmod(day.month - 1 - months, 12)
    year, month = day.year + years, index + 1
    last = calendar.monthrange(year, month)[1]
    return date(year, month, min(day.day, last)) - timedelta(days=days)


def maximum(start: Start, term: str, zone: str) -> datetime:
    """Return when data must be erased: the same wall-clock time, rounded to the earlier side."""
    if parsed(term) == (0, 0):
        return start.at
    day = plus(start.day, term)
    if start.last_day is not None:
        day = min(day, plus(start.last_day, term) + timedelta(days=1))
    return earlier_reading(day, start.wall, zone)


def minimum(start: Start, term: str, zone: str) -> datetime:
    """Return until when data must be kept: the last day has wholly passed, rounded to the later side."""
    if start.last_day is None:
        return begins(plus(start.day, term) + timedelta(days=1), zone)
    # From the beginning of a day, a term ends at the beginning of a day.
    return begins(max(plus(start.day, term), plus(start.last_day, term) + timedelta(days=1)), zone)


def last_day_of(day: date, period: str, years: dict[str, str]) -> date:
    """Return the last day of the named year, the quarter or the month in which the day falls."""
    if period == MONTH:
        return _last_of_month(day.year, day.month)
    if period == QUARTER:
        return _last_of_month(day.year, day.month + (-day.month % 3))
    month, number = (int(part) for part in years[period].split("-"))
    ends = [
        date(year, month, min(number, calendar.monthrange(year, month)[1]))
        for year in (day.year, day.year + 1)
    ]
    return next(end for end in ends if end >= day)


def _last_of_month(year: int, month: int) -> date:
    return date(year, month, calendar.monthrange(year, month)[1])
