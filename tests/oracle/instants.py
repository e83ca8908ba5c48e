"""Instants, and the catalogue's calendar arithmetic in Europe/Amsterdam."""

import calendar
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

AMSTERDAM = ZoneInfo("Europe/Amsterdam")


def instant(value: str | datetime) -> datetime:
    """Return the instant, in UTC, that an RFC 3339 text or an aware datetime names."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    if moment.tzinfo is None:
        raise ValueError(f"not an instant, it names no offset: {value}")
    return moment.astimezone(UTC)


def written(moment: datetime | None) -> str | None:
    """Return an instant as the command line writes it, `2026-03-15T13:00:00Z`; None while open."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def earlier_reading(wall: datetime) -> datetime:
    """Return the instant of an Amsterdam wall-clock time: with both offsets, the earlier (ruling 15)."""
    first = wall.replace(tzinfo=AMSTERDAM, fold=0).astimezone(UTC)
    second = wall.replace(tzinfo=AMSTERDAM, fold=1).astimezone(UTC)
    return min(first, second)


def plus_months(anchor: datetime, months: int) -> datetime:
    """Return the anchor's local date and wall-clock time plus so many months, as an instant."""
    local = anchor.astimezone(AMSTERDAM)
    years, month_index = divmod(local.month - 1 + months, 12)
    year, month = local.year + years, month_index + 1
    day = min(local.day, calendar.monthrange(year, month)[1])
    wall_clock = local.time().replace(fold=0)
    return earlier_reading(datetime.combine(date(year, month, day), wall_clock))


def midnight_after(day: date) -> datetime:
    """Return the instant at which a local day has wholly passed."""
    return earlier_reading(datetime.combine(day + timedelta(days=1), time(0)))


def last_day_of_book_year(moment: datetime) -> date:
    """Return 31 December of the local year in which the instant falls."""
    return date(moment.astimezone(AMSTERDAM).year, 12, 31)
