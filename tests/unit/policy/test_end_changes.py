"""Another policy lets holdings end earlier, later or at once, by ranges of their anchors."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.policy.end_changes import AnchorRange, HoldingEnd, change_ranges
from services.policy.model import Policy
from services.policy.tagged_event import ClockKey, Holding
from tests.unit.policy.small import small

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def at(text: str) -> datetime:
    """An instant, UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)


def end(policy: Policy, rule: str, system: str = "app") -> HoldingEnd:
    """The end of a holding under a rule."""
    clock = policy.rules[rule].parts[0].anchor.clock
    holding = Holding(
        subject="client:1",
        purpose="care",
        basis="contract",
        rule=rule,
        systems=(system,),
        starts=(ClockKey(clock=clock, key="1") if clock else None,),
        own_consent=False,
        alternative=None,
    )
    return HoldingEnd(holding=holding, system=system, policy=policy)


def ranges(old: HoldingEnd, new: HoldingEnd) -> list[tuple[str, str]]:
    """The ranges of the anchors of 2020 up to now, each with its last instant."""
    found = change_ranges(old, new, at("2020-01-01T00:00:00Z"), NOW, NOW)
    return [(part.until.isoformat(), part.change) for part in found]


def test_a_shorter_term_ends_holdings_at_once_or_earlier() -> None:
    """A command leaves a day before the end, to the microsecond."""
    policy = small()
    assert ranges(end(policy, "two-years"), end(policy, "year")) == [
        ("2024-01-02T00:00:00.000001+00:00", "unchanged"),
        ("2025-01-02T00:00:00.000001+00:00", "at once"),
        ("2026-01-01T00:00:00.000001+00:00", "earlier"),
    ]


def test_a_longer_term_ends_holdings_later() -> None:
    """Also those that have ended: they live again, unless they are erased."""
    policy = small()
    assert ranges(end(policy, "year"), end(policy, "two-years")) == [
        ("2024-01-02T00:00:00.000001+00:00", "unchanged"),
        ("2026-01-01T00:00:00.000001+00:00", "later"),
    ]


def test_a_rule_that_becomes_active_ends_holdings_at_once_or_earlier() -> None:
    """And one that goes back to test keeps them: nothing is commanded because of it."""
    active = small()
    in_test = small(changed={"    title: A year\n": "    title: A year\n    status: test\n"})
    assert ranges(end(in_test, "year"), end(active, "year")) == [
        ("2025-01-02T00:00:00.000001+00:00", "at once"),
        ("2026-01-01T00:00:00.000001+00:00", "earlier"),
    ]
    assert ranges(end(active, "year"), end(in_test, "year")) == [
        ("2026-01-01T00:00:00.000001+00:00", "later"),
    ]


def test_a_month_and_thirty_days_differ_by_the_month() -> None:
    """29 January and 31 March, plus a month, are the last days of February and April: 30 days later."""
    monthly = small(changed={"term: P2Y": "term: P10Y1M"})
    daily = small(changed={"term: P2Y": "term: P10Y30D"})
    found = change_ranges(
        end(monthly, "two-years"),
        end(daily, "two-years"),
        at("2025-01-20T00:00:00+01:00"),
        at("2025-05-02T00:00:00+02:00"),
        NOW,
    )
    assert found == [
        AnchorRange(until=at("2025-01-29T00:00:00+01:00"), change="earlier"),
        AnchorRange(until=at("2025-01-30T00:00:00+01:00"), change="unchanged"),
        AnchorRange(until=at("2025-03-01T00:00:00+01:00"), change="later"),
        AnchorRange(until=at("2025-03-31T00:00:00+02:00"), change="earlier"),
        AnchorRange(until=at("2025-05-01T00:00:00+02:00"), change="unchanged"),
        AnchorRange(until=at("2025-05-02T00:00:00.000001+02:00"), change="earlier"),
    ]


@pytest.mark.parametrize("rule", ["membership", "books"])
def test_clocks_and_book_years_are_anchors_as_well(rule: str) -> None:
    """The same policy changes nothing."""
    policy = small()
    assert ranges(end(policy, rule), end(policy, rule)) == [
        ("2026-01-01T00:00:00.000001+00:00", "unchanged")
    ]


def test_a_book_year_counts_as_a_whole() -> None:
    """Eight years instead of seven: everything that is not erased is kept longer."""
    policy = small()
    longer = small(changed={"term: P7Y": "term: P8Y"})
    assert ranges(end(policy, "books"), end(longer, "books")) == [
        ("2026-01-01T00:00:00.000001+00:00", "later")
    ]


def test_a_longer_lead_time_ends_holdings_earlier() -> None:
    """The command leaves earlier, so that the system has the time."""
    policy = small()
    slower = small(changed={"lead_time: PT12H": "lead_time: PT36H"})
    assert ranges(end(policy, "year", "lab"), end(slower, "year", "lab"))[-1] == (
        "2026-01-01T00:00:00.000001+00:00",
        "earlier",
    )


def test_a_rule_that_is_no_longer_in_test_ends_holdings() -> None:
    """While it is in test nothing is commanded because of it."""
    active = small()
    in_test = small(changed={"title: Two years\n": "title: Two years\n    status: test\n"})
    assert ranges(end(in_test, "two-years"), end(active, "two-years")) == [
        ("2024-01-02T00:00:00.000001+00:00", "at once"),
        ("2026-01-01T00:00:00.000001+00:00", "earlier"),
    ]
