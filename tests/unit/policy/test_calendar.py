"""The catalogue's calendar, to the second, against instants worked out by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.policy.calendar import (
    Period,
    earliest_erasure,
    end_of_year,
    latest_erasure,
    parse_period,
    require_utc,
    start_of_day,
)

AMSTERDAM = ZoneInfo("Europe/Amsterdam")


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("anchor", "term", "ends"),
    [
        pytest.param("2024-03-15T14:00+01:00", "P2Y", "2026-03-15T14:00+01:00", id="catalogue"),
        pytest.param("2023-01-31T10:00+01:00", "P1M", "2023-02-28T10:00+01:00", id="january-31"),
        pytest.param("2024-01-31T10:00+01:00", "P1M", "2024-02-29T10:00+01:00", id="leap-january"),
        pytest.param("2024-02-29T12:00+01:00", "P2Y", "2026-02-28T12:00+01:00", id="leap-day"),
        pytest.param("2024-02-29T12:00+01:00", "P1Y", "2025-02-28T12:00+01:00", id="leap-day-1"),
        pytest.param("2024-02-29T12:00+01:00", "P20Y", "2044-02-29T12:00+01:00", id="leap-to-leap"),
        pytest.param("2023-02-28T12:00+01:00", "P1Y", "2024-02-28T12:00+01:00", id="no-growth"),
        pytest.param("2024-08-31T12:00+02:00", "P6M", "2025-02-28T12:00+01:00", id="august-31"),
        pytest.param("2023-08-29T12:00+02:00", "P6M", "2024-02-29T12:00+01:00", id="august-29"),
        pytest.param("2024-10-31T12:00+01:00", "P1M", "2024-11-30T12:00+01:00", id="october-31"),
        pytest.param("2024-11-30T12:00+01:00", "P13M", "2025-12-30T12:00+01:00", id="13-months"),
        pytest.param("2024-07-01T12:00+02:00", "P6M", "2025-01-01T12:00+01:00", id="wall-clock"),
        pytest.param("2024-01-30T23:30+00:00", "P1M", "2024-02-29T00:30+01:00", id="local-date"),
        pytest.param(
            "2024-02-28T23:30+00:00", "P2Y", "2026-02-28T00:30+01:00", id="local-leap-day"
        ),
        # 30 March 2025, 02:30: no such time; 01:30Z by winter's offset, 00:30Z by summer's.
        pytest.param("2024-03-30T02:30+01:00", "P1Y", "2025-03-30T00:30Z", id="gap"),
        pytest.param("2024-03-30T02:00+01:00", "P1Y", "2025-03-30T00:00Z", id="gap-first"),
        pytest.param("2024-03-30T02:59:59+01:00", "P1Y", "2025-03-30T00:59:59Z", id="gap-last"),
        pytest.param("2024-03-30T01:59:59+01:00", "P1Y", "2025-03-30T00:59:59Z", id="before-gap"),
        pytest.param("2024-03-30T03:00+01:00", "P1Y", "2025-03-30T01:00Z", id="after-gap"),
        # 26 October 2025, 02:30: twice; 00:30Z in summer time, 01:30Z in winter time.
        pytest.param("2024-10-26T02:30+02:00", "P1Y", "2025-10-26T00:30Z", id="fold"),
        pytest.param("2024-10-26T02:00+02:00", "P1Y", "2025-10-26T00:00Z", id="fold-first"),
        pytest.param("2024-10-26T02:59:59+02:00", "P1Y", "2025-10-26T00:59:59Z", id="fold-last"),
        pytest.param("2024-10-26T03:00+02:00", "P1Y", "2025-10-26T02:00Z", id="after-fold"),
        pytest.param("2024-10-27T02:30+01:00", "P1Y", "2025-10-27T01:30Z", id="from-second-fold"),
        pytest.param("2019-10-27T02:30+01:00", "P5Y", "2024-10-27T00:30Z", id="fold-to-fold"),
        pytest.param("2024-10-27T01:30Z", "P0D", "2024-10-27T01:30Z", id="zero-in-second-fold"),
        pytest.param("2024-10-27T00:30Z", "P0D", "2024-10-27T00:30Z", id="zero-in-first-fold"),
        pytest.param("2024-03-30T12:00+01:00", "P1D", "2024-03-31T12:00+02:00", id="a-day-of-23-h"),
        pytest.param("2024-03-30T12:00+01:00", "PT24H", "2024-03-31T13:00+02:00", id="24-hours"),
        pytest.param("2024-10-26T12:00+02:00", "P1W", "2024-11-02T12:00+01:00", id="a-week"),
        pytest.param(
            "2024-01-31T12:00+01:00", "P1M1D", "2024-03-01T12:00+01:00", id="months-first"
        ),
        pytest.param("2024-01-31T12:00+01:00", "P1MT1H", "2024-02-29T13:00+01:00", id="hours-last"),
        pytest.param(
            "2024-03-15T14:00:00.123456+01:00",
            "P2Y",
            "2026-03-15T14:00:00.123456+01:00",
            id="microseconds",
        ),
    ],
)
def test_a_maximum_ends_at_the_local_time_of_its_anchor_at_the_latest(
    anchor: str, term: str, ends: str
) -> None:
    """It never ends late: shorter months, gaps and folds take the earlier time."""
    assert latest_erasure(instant(anchor), parse_period(term), AMSTERDAM) == instant(ends)


def test_the_end_of_a_maximum_is_in_utc() -> None:
    """The anchor may be written in any zone."""
    ends = latest_erasure(
        datetime.fromisoformat("2024-03-15T14:00+01:00"), parse_period("P2Y"), AMSTERDAM
    )
    assert ends.isoformat() == "2026-03-15T13:00:00+00:00"


@pytest.mark.parametrize(
    ("day", "term", "zone", "ends"),
    [
        pytest.param("2024-12-31", "P7Y", "Europe/Amsterdam", "2031-12-31T23:00Z", id="catalogue"),
        pytest.param("2024-06-30", "P7Y", "Europe/Amsterdam", "2031-06-30T22:00Z", id="june"),
        pytest.param(
            "2024-02-29", "P7Y", "Europe/Amsterdam", "2031-02-28T23:00Z", id="february-29"
        ),
        pytest.param(
            "2021-02-28", "P7Y", "Europe/Amsterdam", "2028-02-28T23:00Z", id="february-28"
        ),
        pytest.param("2024-03-30", "P1Y", "Europe/Amsterdam", "2025-03-30T22:00Z", id="a-23-h-day"),
        pytest.param("2024-10-26", "P1Y", "Europe/Amsterdam", "2025-10-26T23:00Z", id="a-25-h-day"),
        pytest.param("2024-12-31", "P0D", "Europe/Amsterdam", "2024-12-31T23:00Z", id="zero"),
        pytest.param("2024-12-31", "P7Y", "UTC", "2032-01-01T00:00Z", id="utc"),
        pytest.param("2024-12-31", "P7Y", "Asia/Tokyo", "2031-12-31T15:00Z", id="tokyo"),
        # Midnight is skipped, 00:00 is 01:00: the day after starts when clocks jump.
        pytest.param("2018-11-03", "P0D", "America/Sao_Paulo", "2018-11-04T03:00Z", id="sao-paulo"),
        pytest.param("2025-03-29", "P0D", "Atlantic/Azores", "2025-03-30T01:00Z", id="azores"),
        pytest.param("2022-03-26", "P0D", "Asia/Beirut", "2022-03-26T22:00Z", id="beirut"),
        # Midnight is there twice: the last day is over when the first comes.
        pytest.param("2024-11-02", "P0D", "America/Havana", "2024-11-03T04:00Z", id="havana"),
        # 30 December 2011 was skipped as a whole.
        pytest.param("2011-12-29", "P0D", "Pacific/Apia", "2011-12-30T10:00Z", id="apia"),
    ],
)
def test_a_minimum_includes_its_last_local_day(day: str, term: str, zone: str, ends: str) -> None:
    """It never ends early: it lasts until the start of the next local day."""
    starts = start_of_day(date.fromisoformat(day), ZoneInfo(zone))
    assert earliest_erasure(starts, parse_period(term), ZoneInfo(zone)) == instant(ends)


@pytest.mark.parametrize(
    ("at", "end", "last_day"),
    [
        pytest.param("2023-12-31T23:30Z", (12, 31), "2024-12-31", id="catalogue"),
        pytest.param("2023-12-31T22:59:59Z", (12, 31), "2023-12-31", id="last-second"),
        pytest.param("2023-12-31T23:00Z", (12, 31), "2024-12-31", id="first-instant"),
        pytest.param("2024-03-15T13:00Z", (12, 31), "2024-12-31", id="spring"),
        pytest.param("2024-06-30T21:59:59Z", (6, 30), "2024-06-30", id="june-last-second"),
        pytest.param("2024-06-30T22:00Z", (6, 30), "2025-06-30", id="june-first-instant"),
        pytest.param("2024-12-31T23:30Z", (6, 30), "2025-06-30", id="june-over-new-year"),
        pytest.param("2024-02-29T22:59:59Z", (2, 29), "2024-02-29", id="leap-day-last-second"),
        pytest.param("2024-02-29T23:00Z", (2, 29), "2025-02-28", id="leap-day-over"),
        pytest.param("2023-02-28T22:59:59Z", (2, 29), "2023-02-28", id="february-28"),
        pytest.param("2023-02-28T23:00Z", (2, 29), "2024-02-29", id="february-28-over"),
        pytest.param("2024-02-28T12:00Z", (2, 28), "2024-02-28", id="february-28-of-leap-year"),
        pytest.param("2024-02-29T12:00Z", (2, 28), "2025-02-28", id="after-february-28"),
    ],
)
def test_the_book_year_is_that_of_the_local_date(
    at: str, end: tuple[int, int], last_day: str
) -> None:
    """An event late on 31 December UTC belongs to the next local year."""
    day = instant(at).astimezone(AMSTERDAM).date()
    assert end_of_year(day, end) == date.fromisoformat(last_day)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("P2Y", Period(months=24)),
        ("P1M", Period(months=1)),
        ("P1Y6M", Period(months=18)),
        ("P2W", Period(days=14)),
        ("P0D", Period()),
        ("P90D", Period(days=90)),
        ("PT24H", Period(exact=timedelta(hours=24))),
        ("PT1M", Period(exact=timedelta(minutes=1))),
        ("PT90S", Period(exact=timedelta(seconds=90))),
        (
            "P1Y2M3W4DT5H6M7S",
            Period(months=14, days=25, exact=timedelta(hours=5, minutes=6, seconds=7)),
        ),
    ],
)
def test_an_iso_8601_period_is_parsed(text: str, expected: Period) -> None:
    """A month before the T, a minute after it."""
    assert parse_period(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "P",
        "PT",
        "P1",
        "2Y",
        "P-1Y",
        "-P1Y",
        "P1.5Y",
        "P1H",
        "PT1D",
        "P1YT",
        "P1M1Y",
        "p1y",
        " P1Y",
    ],
)
def test_an_invalid_period_is_refused(text: str) -> None:
    """The error quotes the text."""
    with pytest.raises(ValueError, match="is not an ISO 8601 period"):
        parse_period(text)


def test_a_time_without_an_offset_is_refused() -> None:
    """No instant without its offset."""
    with pytest.raises(ValueError, match="naive"):
        require_utc(datetime(2024, 1, 1))


INSTANTS = st.datetimes(
    min_value=datetime(2000, 1, 1), max_value=datetime(2150, 1, 1), timezones=st.just(UTC)
)
TERMS = st.sampled_from(["P0D", "P1M", "P6M", "P1Y", "P2Y", "P7Y", "P20Y"])


@given(INSTANTS, TERMS)
def test_a_maximum_never_ends_later_than_the_promised_local_date(
    anchor: datetime, term: str
) -> None:
    """Its local time is never past the anchor's, and a gap moves it by an hour at most."""
    ends = latest_erasure(anchor, parse_period(term), AMSTERDAM).astimezone(AMSTERDAM)
    started = anchor.astimezone(AMSTERDAM)
    months = (ends.year - started.year) * 12 + ends.month - started.month
    assert months == parse_period(term).months
    assert ends.day <= started.day
    promised = datetime.combine(ends.date(), started.time())
    assert timedelta() <= promised - ends.replace(tzinfo=None, fold=0) <= timedelta(hours=1)


@given(INSTANTS, INSTANTS, TERMS)
def test_a_later_day_never_has_an_earlier_end(start: datetime, other: datetime, term: str) -> None:
    """Ends come in the order of their anchors' days."""
    first, second = sorted((start, other))
    days = [at.astimezone(AMSTERDAM).date() for at in (first, second)]
    earlier, later = (
        earliest_erasure(start_of_day(day, AMSTERDAM), parse_period(term), AMSTERDAM)
        for day in days
    )
    assert earlier <= later


@given(
    st.dates(min_value=date(2000, 1, 1), max_value=date(2037, 12, 31)),
    st.sampled_from(
        [
            "Europe/Amsterdam",
            "America/Sao_Paulo",
            "Atlantic/Azores",
            "Asia/Beirut",
            "America/Havana",
            "Africa/Cairo",
            "America/Santiago",
            "America/Asuncion",
            "Australia/Lord_Howe",
        ]
    ),
)
def test_a_local_day_starts_at_its_first_instant(day: date, name: str) -> None:
    """A microsecond earlier it is still the day before."""
    zone = ZoneInfo(name)
    starts = start_of_day(day, zone)
    assert starts.astimezone(zone).date() == day
    assert (starts - timedelta(microseconds=1)).astimezone(zone).date() == day - timedelta(days=1)
