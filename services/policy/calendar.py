"""Calendar arithmetic: when a retention term ends that started at a given instant.

Instants are aware and in UTC. Days, months and years are counted on the controller's local calendar, as
the GDPR does, and not in seconds. Rounding is always to the safe side: an `at_most` term never ends
late, and an `at_least` term never ends early.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_ISO_8601 = re.compile(
    r"P(?!$)(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?)?",
    re.ASCII,
)
MAX_YEARS = 200
"""The longest period: the calendar ends with the year 9999, and no law requires a longer retention."""
_SECONDS = {  # a year of 365.25 days, so that 200 years are as long as 2,400 months
    "years": 31_557_600,
    "months": 2_629_800,
    "weeks": 604_800,
    "days": 86_400,
    "hours": 3_600,
    "minutes": 60,
    "seconds": 1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """An ISO 8601 period, as a calendar part (months and days) and an exact part (`exact`)."""

    months: int = 0
    days: int = 0
    exact: timedelta = timedelta()

    @property
    def is_zero(self) -> bool:
        """Whether the period is P0D, so that it ends at the instant at which it starts."""
        return not (self.months or self.days or self.exact)

    @property
    def is_exact(self) -> bool:
        """Whether the period has no calendar part, so that its length does not depend on date and zone."""
        return not (self.months or self.days)


DAY = timedelta(days=1)
_MAX_DIGITS = 12  # 200 years have fewer seconds; a longer number cut to 12 digits is still too long
_CACHE_SIZE = 16_384  # several systems and rules need the same end of the same term


@lru_cache(maxsize=1024)
def parse_period(text: str) -> Period:
    """Read an ISO 8601 period such as `P2Y`, `P1M`, `P0D` or `PT24H`.

    Raises:
        ValueError: the text is not a period, has a fraction or a sign, or is longer than 200 years.
    """
    match = _ISO_8601.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an ISO 8601 period such as P2Y, P1M or PT24H")
    digits = {name: value.lstrip("0") for name, value in match.groupdict("").items()}
    parts = {name: int(value[:_MAX_DIGITS] or 0) for name, value in digits.items()}
    seconds = sum(count * _SECONDS[name] for name, count in parts.items())
    if seconds > MAX_YEARS * _SECONDS["years"]:
        raise ValueError(f"{text[:32]!r} is longer than {MAX_YEARS} years")
    return Period(
        months=12 * parts["years"] + parts["months"],
        days=7 * parts["weeks"] + parts["days"],
        exact=timedelta(hours=parts["hours"], minutes=parts["minutes"], seconds=parts["seconds"]),
    )


def require_utc(instant: datetime) -> datetime:
    """Return the instant in UTC.

    Raises:
        ValueError: the instant is naive.
    """
    if instant.tzinfo is None:
        raise ValueError("a naive datetime has no place in time")
    return instant.astimezone(UTC)


@lru_cache(maxsize=_CACHE_SIZE)
def latest_erasure(
    anchor: datetime, term: Period, zone: ZoneInfo, *, after_period: bool = False
) -> datetime:
    """Return the instant, UTC, by which data under an `at_most` term must be erased.

    The term is added to the anchor's local date and wall-clock time. A day that the target month lacks
    becomes its last day. A wall-clock time that does not exist, or exists twice, is the earlier instant.
    `after_period`: the anchor is the first instant after a year, a quarter or a month, whose last day may
    give an earlier end.
    """
    if term.is_exact:
        return require_utc(anchor) + term.exact
    local = require_utc(anchor).astimezone(zone)
    day, wall = local.date(), local.time()
    last_day = _add_term(day, term)
    if after_period:
        last_day = min(last_day, _add_term(day - DAY, term) + DAY)
    if start_of_day(day, zone) == anchor:
        wall = time()  # also where the clocks skip midnight on that day
    return first_valid_offset(datetime.combine(last_day, wall), zone) + term.exact


@lru_cache(maxsize=_CACHE_SIZE)
def earliest_erasure(
    anchor: datetime, term: Period, zone: ZoneInfo, *, after_period: bool = False
) -> datetime:
    """Return the instant, UTC, from which data under an `at_least` term may be erased.

    The data is kept to the end of its last local day, so this is the first instant of the next day. Where
    the clocks skip that midnight, the day starts after the gap: an hour early would break the duty.
    `after_period`: the anchor is the first instant after a year, a quarter or a month. Data is then kept
    as long from its last day, and as long from that instant.
    """
    local = require_utc(anchor).astimezone(zone)
    day = local.date()
    last_day = _add_term(day, term)
    if term.exact:
        wall = datetime.combine(last_day, local.time(), tzinfo=zone)
        return start_of_day((wall.astimezone(UTC) + term.exact).astimezone(zone).date() + DAY, zone)
    if after_period:
        return start_of_day(max(last_day, _add_term(day - DAY, term) + DAY), zone)
    return start_of_day(last_day + DAY, zone)


@lru_cache(maxsize=_CACHE_SIZE)
def time_of_notice(end: datetime, before: Period, zone: ZoneInfo) -> datetime:
    """Return the latest instant, UTC, from which a period has not passed before an end.

    The period is subtracted from the end's local date and wall-clock time. A day that the month lacks
    becomes its last day; a wall-clock time that does not exist, or exists twice, is the earlier instant.
    """
    if before.is_exact:
        return require_utc(end) - before.exact
    local = (require_utc(end) - before.exact).astimezone(zone)
    day = _add_term(local.date(), Period(months=-before.months, days=-before.days))
    return first_valid_offset(datetime.combine(day, local.time()), zone)


@lru_cache(maxsize=_CACHE_SIZE)
def start_of_date(text: str, zone: ZoneInfo) -> datetime:
    """Return the first instant, UTC, of a local day that is written as 2026-03-15."""
    return start_of_day(date.fromisoformat(text), zone)


def start_of_day(day: date, zone: ZoneInfo) -> datetime:
    """Return the first instant of a local day, UTC."""
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)


def end_of_year(day: date, month_day: tuple[int, int]) -> date:
    """Return the last day of the year of a day, where years end on `month_day`.

    29 February means the last day of February.
    """
    end = _clamp_to_month(day.year, *month_day)
    return end if day <= end else _clamp_to_month(day.year + 1, *month_day)


def end_of_quarter(day: date) -> date:
    """Return the last day of the calendar quarter of a day."""
    return _clamp_to_month(day.year, (day.month + 2) // 3 * 3, 31)


def end_of_month(day: date) -> date:
    """Return the last day of the month of a day."""
    return _clamp_to_month(day.year, day.month, 31)


def _add_term(day: date, term: Period) -> date:
    months = day.year * 12 + day.month - 1 + term.months
    return _clamp_to_month(months // 12, months % 12 + 1, day.day) + timedelta(days=term.days)


def _clamp_to_month(year: int, month: int, day: int) -> date:
    return date(year, month, min(day, monthrange(year, month)[1]))


def first_valid_offset(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant of a local time, UTC; of a time that exists twice, or not at all, the earlier."""
    return min(wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
