"""Retention windows: not before, no later than, and when each system's command is sent."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from schemas.cloudevents import CloudEvent
from services.policy import loader
from services.policy.model import Policy
from services.policy.retention_windows import Window, check_times, compute_window
from services.policy.tagging import tag
from tests.unit.policy.small import Ended, joined, small

SHIPPED = loader.load()


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def view(
    policy: Policy, time: str, anchor: str | None = None, type_: str = "club.joined", **data: str
) -> Window:
    """The window of the event's first holding, when its clock has ended at `anchor`."""
    event = CloudEvent(
        id="e1", source="/club", type=type_, time=instant(time), data=data or joined()
    )
    holding = tag(event, policy).holdings[0]
    ended = {clock: instant(anchor) for clock in policy.clocks} if anchor else {}
    return compute_window(holding, event.time, Ended(ended), policy)


def only(rule: str, systems: str = "app") -> Policy:
    basis = "law" if rule == "books" else "contract"
    return small(f"purpose: care, basis: {basis}, rule: {rule}, systems: [{systems}]")


def test_a_window_on_an_open_clock_is_open() -> None:
    """Only the systems are known."""
    window_view = view(only("membership", "app, lab"), "2024-03-15T13:00Z")
    assert window_view == Window(
        holding=window_view.holding,
        anchor_at=None,
        not_before=None,
        erase_by=None,
        due_at={"app": None, "lab": None},
    )


def test_a_maximum_leaves_a_lead_time_before_its_end() -> None:
    """Each system has its own time."""
    window_view = view(only("membership", "app, books"), "2024-03-15T13:00Z", "2024-06-01T10:00Z")
    assert window_view == Window(
        holding=window_view.holding,
        anchor_at=instant("2024-06-01T10:00Z"),
        not_before=None,
        erase_by=instant("2025-06-01T10:00Z"),
        due_at={"app": instant("2025-05-31T10:00Z"), "books": instant("2025-05-30T10:00Z")},
    )
    assert window_view.ends_at == instant("2025-05-31T10:00Z")


def test_the_lead_time_is_counted_in_elapsed_hours() -> None:
    """Over the change to summer time 24 hours before 12:00 is 11:00 on the day before."""
    window_view = view(only("year"), "2023-03-31T10:00Z")
    assert window_view.erase_by == instant("2024-03-31T10:00Z")
    assert window_view.due_at == {"app": instant("2024-03-30T10:00Z")}


def test_a_minimum_is_due_at_the_next_midnight_with_its_lead_time_after_it() -> None:
    """The catalogue's invoice of 15 March 2024; `erase_by` is `not_before` plus the lead time."""
    window_view = view(only("books", "books"), "2024-03-15T13:00Z")
    assert window_view == Window(
        holding=window_view.holding,
        anchor_at=instant("2025-01-01T00:00+01:00"),
        not_before=instant("2032-01-01T00:00+01:00"),
        erase_by=instant("2032-01-03T00:00+01:00"),
        due_at={"books": instant("2032-01-01T00:00+01:00")},
    )


@pytest.mark.parametrize(
    ("book_year_end", "time", "not_before"),
    [
        pytest.param("12-31", "2023-12-31T23:30Z", "2032-01-01T00:00+01:00", id="local-year"),
        pytest.param("12-31", "2023-12-31T22:30Z", "2031-01-01T00:00+01:00", id="year-before"),
        pytest.param("06-30", "2024-06-30T21:59Z", "2031-07-01T00:00+02:00", id="june"),
        pytest.param("06-30", "2024-06-30T22:00Z", "2032-07-01T00:00+02:00", id="july"),
        pytest.param("02-29", "2024-02-29T12:00Z", "2031-03-01T00:00+01:00", id="leap-day"),
        # Seven years after 28 February 2025 end with February 2032, on the 29th.
        pytest.param("02-29", "2024-03-01T12:00Z", "2032-03-01T00:00+01:00", id="after-leap-day"),
    ],
)
def test_the_end_of_the_book_year_is_configurable(
    book_year_end: str, time: str, not_before: str
) -> None:
    """Seven years from the end of the book year of the local date."""
    policy = small(
        "purpose: tax, basis: law, rule: books, systems: [books]",
        changed={
            "  time_zone: Europe/Amsterdam\n": "  time_zone: Europe/Amsterdam\n"
            f"  book_year_end: {book_year_end}\n"
        },
    )
    assert view(policy, time).not_before == instant(not_before)


def test_the_catalogues_purchase_is_kept_by_the_customer_for_two_years_after_the_end() -> None:
    """R1: 2024-03-15T14:00 Amsterdam and P2Y is 2026-03-15T14:00 Amsterdam."""
    window_view = view(
        SHIPPED,
        "2020-01-01T12:00Z",
        "2024-03-15T14:00+01:00",
        "purchases.purchase-made",
        purchase_id="1",
        customer_id="1",
    )
    assert window_view.erase_by == instant("2026-03-15T14:00+01:00")
    assert window_view.due_at == {
        "crm": instant("2026-03-14T14:00+01:00"),
        "orders": instant("2026-03-14T14:00+01:00"),
        "printer": instant("2026-03-14T14:00+01:00"),
    }


@pytest.mark.parametrize(
    ("clock", "expected"),
    [
        pytest.param("relationship", ["2026-05-31T10:00Z"], id="R1"),
        pytest.param("application", ["2024-06-30T10:00Z", "2025-05-31T10:00Z"], id="R3a-R3b"),
        pytest.param("supplier-contact", ["2024-06-01T10:00Z"], id="R2"),
        pytest.param("message", ["2024-11-30T11:00Z"], id="D1"),
        pytest.param("ticket", ["2024-11-30T11:00Z"], id="D7"),
        pytest.param("last-contact", ["2025-05-31T10:00Z"], id="D2"),
        pytest.param("request", [], id="no-rule"),
    ],
)
def test_a_clock_has_a_check_time_for_each_time_its_records_can_be_due(
    clock: str, expected: list[str]
) -> None:
    """Every rule and every lead time counts."""
    times = check_times(clock, instant("2024-06-01T10:00Z"), SHIPPED)
    assert list(times) == [instant(text) for text in expected]


def test_a_clock_has_one_check_time_for_each_lead_time() -> None:
    """12, 24 and 48 hours before the year is over; P1M and P0D on the other clock."""
    policy = small()
    assert list(check_times("membership", instant("2024-06-01T10:00Z"), policy)) == [
        instant("2025-05-30T10:00Z"),
        instant("2025-05-31T10:00Z"),
        instant("2025-05-31T22:00Z"),
    ]
    assert list(check_times("stay", instant("2024-06-01T10:00Z"), policy)) == [
        instant("2024-06-01T10:00Z"),
        instant("2024-06-29T10:00Z"),
        instant("2024-06-30T10:00Z"),
        instant("2024-06-30T22:00Z"),
    ]
