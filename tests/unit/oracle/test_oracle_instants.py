"""The oracle's calendar, against instants worked out by hand from the catalogue."""

from datetime import date

import pytest

from tests.oracle.instants import (
    instant,
    last_day_of_book_year,
    midnight_after,
    plus_months,
    written,
)


@pytest.mark.parametrize(
    ("anchor", "months", "end"),
    [
        # The catalogue's example: 2024-03-15T14:00 + P2Y = 2026-03-15T14:00, both in winter time.
        ("2024-03-15T14:00:00+01:00", 24, "2026-03-15T13:00:00Z"),
        # Its other two: 31 January + P1M, and 29 February + P2Y.
        ("2023-01-31T10:00:00+01:00", 1, "2023-02-28T09:00:00Z"),
        ("2024-01-31T10:00:00+01:00", 1, "2024-02-29T09:00:00Z"),
        ("2024-02-29T10:00:00+01:00", 24, "2026-02-28T09:00:00Z"),
        # Six months after 30 and 31 August; twenty years after a leap day is one.
        ("2023-08-31T10:00:00+02:00", 6, "2024-02-29T09:00:00Z"),
        ("2022-08-30T10:00:00+02:00", 6, "2023-02-28T09:00:00Z"),
        ("2024-02-29T10:00:00+01:00", 240, "2044-02-29T09:00:00Z"),
        # December and January: the month after December is the next year's first.
        ("2023-12-31T10:00:00+01:00", 1, "2024-01-31T09:00:00Z"),
        ("2023-12-31T10:00:00+01:00", 12, "2024-12-31T09:00:00Z"),
        ("2023-06-30T10:00:00+02:00", 6, "2023-12-30T09:00:00Z"),
        # The wall clock counts, so from summer to winter time it is an hour more.
        ("2024-06-15T14:00:00+02:00", 6, "2024-12-15T13:00:00Z"),
        # The local date counts: 31 January 23:30Z is 1 February 00:30 in Amsterdam.
        ("2024-01-31T23:30:00Z", 1, "2024-02-29T23:30:00Z"),
    ],
)
def test_a_term_ends_at_the_same_wall_clock_time(anchor: str, months: int, end: str) -> None:
    assert written(plus_months(instant(anchor), months)) == end


@pytest.mark.parametrize(
    ("anchor", "months", "end"),
    [
        # 30 March 2025: 02:00 becomes 03:00 at 01:00Z. 02:30 is 01:30Z at +1 and 00:30Z at +2.
        ("2024-03-30T02:30:00+01:00", 12, "2025-03-30T00:30:00Z"),
        ("2024-03-30T02:00:00+01:00", 12, "2025-03-30T00:00:00Z"),
        ("2024-03-30T02:59:59+01:00", 12, "2025-03-30T00:59:59Z"),
        # The edges exist: 01:59:59 is still +1, 03:00 is already +2.
        ("2024-03-30T01:59:59+01:00", 12, "2025-03-30T00:59:59Z"),
        ("2024-03-30T03:00:00+01:00", 12, "2025-03-30T01:00:00Z"),
        # A leap day plus a month: 29 March 2020 was a change of the clock too.
        ("2020-02-29T02:30:00+01:00", 1, "2020-03-29T00:30:00Z"),
    ],
)
def test_a_time_that_does_not_exist_is_the_earlier_instant(
    anchor: str, months: int, end: str
) -> None:
    assert written(plus_months(instant(anchor), months)) == end


@pytest.mark.parametrize(
    ("anchor", "months", "end"),
    [
        # 27 October 2024: 03:00 becomes 02:00 at 01:00Z. 02:30 is 00:30Z, and again 01:30Z.
        ("2023-10-27T02:30:00+02:00", 12, "2024-10-27T00:30:00Z"),
        ("2023-10-27T02:59:59+02:00", 12, "2024-10-27T00:59:59Z"),
        ("2023-10-27T03:00:00+02:00", 12, "2024-10-27T02:00:00Z"),
        ("2023-10-27T01:59:59+02:00", 12, "2024-10-26T23:59:59Z"),
        # From winter time as well.
        ("2024-04-27T02:30:00+02:00", 6, "2024-10-27T00:30:00Z"),
    ],
)
def test_a_time_that_exists_twice_is_the_earlier_instant(
    anchor: str, months: int, end: str
) -> None:
    assert written(plus_months(instant(anchor), months)) == end


@pytest.mark.parametrize("anchor", ["2024-10-27T00:30:00Z", "2024-10-27T01:30:00Z"])
def test_both_readings_of_an_anchor_that_exists_twice_end_together(anchor: str) -> None:
    assert written(plus_months(instant(anchor), 12)) == "2025-10-27T01:30:00Z"


@pytest.mark.parametrize(
    ("moment", "year"),
    [
        ("2023-12-31T23:30:00Z", 2024),
        ("2023-12-31T23:00:00Z", 2024),
        ("2023-12-31T22:59:59Z", 2023),
    ],
)
def test_the_book_year_is_the_local_year(moment: str, year: int) -> None:
    assert last_day_of_book_year(instant(moment)) == date(year, 12, 31)


def test_a_day_is_kept_whole() -> None:
    assert written(midnight_after(date(2031, 12, 31))) == "2031-12-31T23:00:00Z"
    assert written(midnight_after(date(2024, 6, 30))) == "2024-06-30T22:00:00Z"


def test_a_time_without_an_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="names no offset"):
        instant("2024-03-15T14:00:00")
