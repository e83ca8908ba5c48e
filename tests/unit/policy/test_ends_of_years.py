"""Terms that start once a year, a quarter or a month is over."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.policy.calendar import end_of_month, end_of_quarter
from services.policy.lint import lint
from services.policy.loader import InvalidPolicy, hash_policy, load_text
from services.policy.retention_windows import check_times
from tests.effort import SLOW, examples
from tests.unit.policy.constructs import (
    check_plans,
    event,
    instant,
    policy_text,
    policy_with,
    window,
)
from tests.unit.policy.random_facts import INSTANTS

ON_EVENT = "anchor: {kind: event, end_of: %s}"
ON_CLOCK = "anchor: {kind: clock, clock: membership, end_of: %s}"


@pytest.mark.parametrize(
    ("day", "quarter", "month"),
    [
        ("2024-01-01", "2024-03-31", "2024-01-31"),
        ("2024-02-29", "2024-03-31", "2024-02-29"),
        ("2023-02-01", "2023-03-31", "2023-02-28"),
        ("2024-06-30", "2024-06-30", "2024-06-30"),
        ("2024-07-01", "2024-09-30", "2024-07-31"),
        ("2024-12-31", "2024-12-31", "2024-12-31"),
    ],
)
def test_quarters_and_months_end_on_their_last_day(day: str, quarter: str, month: str) -> None:
    assert end_of_quarter(date.fromisoformat(day)) == date.fromisoformat(quarter)
    assert end_of_month(date.fromisoformat(day)) == date.fromisoformat(month)


@pytest.mark.parametrize(
    ("end_of", "time", "anchor_at", "not_before"),
    [
        # The fiscal year 2023/24 ends on 31 August 2024 in Amsterdam.
        ("fiscal", "2024-08-31T21:59:59Z", "2024-09-01T00:00+02:00", "2029-09-01T00:00+02:00"),
        ("fiscal", "2024-08-31T22:00:00Z", "2025-09-01T00:00+02:00", "2030-09-01T00:00+02:00"),
        ("academic", "2024-08-01T12:00:00Z", "2025-08-01T00:00+02:00", "2030-08-01T00:00+02:00"),
        ("calendar", "2023-12-31T23:30:00Z", "2025-01-01T00:00+01:00", "2030-01-01T00:00+01:00"),
        ("book-year", "2023-12-31T22:30:00Z", "2024-01-01T00:00+01:00", "2029-01-01T00:00+01:00"),
        ("quarter", "2024-03-31T21:59:59Z", "2024-04-01T00:00+02:00", "2029-04-01T00:00+02:00"),
        ("month", "2024-02-29T12:00:00Z", "2024-03-01T00:00+01:00", "2029-03-01T00:00+01:00"),
    ],
)
def test_a_minimum_starts_once_the_year_of_the_event_is_over(
    end_of: str, time: str, anchor_at: str, not_before: str
) -> None:
    """The year is that of the local date; five whole years follow its last day."""
    policy = policy_with({"five": f"kind: at_least, term: P5Y, {ON_EVENT % end_of}"})
    found = window(policy, time)
    assert (found.anchor_at, found.not_before) == (instant(anchor_at), instant(not_before))
    assert found.due_at == {"app": instant(not_before)}


def test_a_maximum_is_counted_from_the_first_instant_after_the_year() -> None:
    """A copy of an identity document goes five years after the year in which employment ended."""
    policy = policy_with({"copy": f"kind: at_most, term: P5Y, {ON_CLOCK % 'calendar'}"})
    found = window(policy, "2020-01-01T00:00Z", {"membership": "2024-06-30T22:00Z"})
    assert found.anchor_at == instant("2025-01-01T00:00+01:00")
    assert found.erase_by == instant("2030-01-01T00:00+01:00")
    assert found.due_at == {"app": instant("2029-12-31T00:00+01:00")}


def test_a_term_of_zero_ends_with_the_year() -> None:
    """Not at the clock's end, whatever the lead time."""
    policy = policy_with({"none": f"kind: at_most, term: P0D, {ON_CLOCK % 'quarter'}"})
    found = window(policy, "2020-01-01T00:00Z", {"membership": "2024-05-05T10:00Z"})
    assert found.erase_by == instant("2024-07-01T00:00+02:00")
    assert found.due_at == {"app": instant("2024-07-01T00:00+02:00")}


def test_a_year_may_start_where_the_clocks_skip_midnight() -> None:
    """In Beirut 30 March 2024 ends at 31 March, 01:00: the minimum is not an hour short."""
    text = policy_text(
        {"short": f"kind: at_least, term: P1D, {ON_EVENT % 'odd'}"}, years='{odd: "03-29"}'
    )
    policy = load_text(text.replace("Europe/Amsterdam", "Asia/Beirut"), "small.yaml")
    found = window(policy, "2024-03-01T12:00Z")
    assert found.anchor_at == instant("2024-03-30T00:00+02:00")
    assert found.not_before == instant("2024-03-31T01:00+03:00")


def test_a_clock_is_checked_once_its_year_is_over() -> None:
    """Twelve, 24 and 48 hours before five years after the year of its end."""
    policy = policy_with({"copy": f"kind: at_most, term: P5Y, {ON_CLOCK % 'calendar'}"})
    times = check_times("membership", instant("2024-06-30T22:00Z"), policy)
    assert set(times) >= {
        instant("2029-12-30T00:00+01:00"),
        instant("2029-12-31T00:00+01:00"),
        instant("2029-12-31T12:00+01:00"),
    }


@settings(max_examples=examples(60), deadline=None, suppress_health_check=SLOW)
@given(data=st.data())
def test_a_plan_gives_what_each_event_alone_gives(data: st.DataObject) -> None:
    """With any such rules, alone or beside others."""
    rules = {}
    for name in ("a", "b", "c"):
        kind, term = data.draw(st.sampled_from([("at_most", "P1Y"), ("at_least", "P1M")]))
        end_of = data.draw(st.sampled_from(["fiscal", "book-year", "quarter", "month"]))
        anchor = data.draw(st.sampled_from([ON_EVENT, ON_CLOCK, "anchor: {kind: event}"]))
        rules[name] = f"kind: {kind}, term: {term}, {anchor % end_of if '%' in anchor else anchor}"
    events = [event(data.draw(INSTANTS), id=f"e{number}") for number in range(3)]
    check_plans(policy_with(rules), events, data)


@pytest.mark.parametrize(
    ("years", "anchor", "key", "why"),
    [
        (
            '{fiscal: "08-31"}',
            ON_EVENT % "academic",
            "rules.five.anchor.end_of",
            "is not one of fiscal, book-year, quarter, month, got 'academic';"
            " add it to controller.years",
        ),
        (
            "{}",
            "anchor: {kind: book-year, end_of: month}",
            "rules.five.anchor.end_of",
            "is not allowed for kind `book-year`, got month; use kind `event`",
        ),
        (
            '{fiscal: "31-08"}',
            ON_EVENT % "month",
            "controller.years.fiscal",
            "is not a month and a day such as 12-31, got '31-08'",
        ),
        (
            '{month: "08-31"}',
            ON_EVENT % "month",
            "controller.years.month",
            "'month' has a meaning of its own; give the year another name",
        ),
    ],
)
def test_an_impossible_year_is_refused(years: str, anchor: str, key: str, why: str) -> None:
    text = policy_text({"five": f"kind: at_least, term: P5Y, {anchor}"}, years=years)
    with pytest.raises(InvalidPolicy) as refused:
        load_text(text, "small.yaml")
    assert [(problem.key, problem.why) for problem in refused.value.problems] == [(key, why)]


def test_lint_names_a_year_that_no_rule_uses() -> None:
    policy = policy_with({"five": f"kind: at_least, term: P5Y, {ON_EVENT % 'fiscal'}"})
    unused = {warning.key for warning in lint(policy) if "never used" in warning.message}
    assert {"controller.years.calendar", "controller.years.academic"} <= unused
    assert "controller.years.fiscal" not in unused


def test_a_policy_without_years_keeps_its_hash() -> None:
    """Roles go on after an upgrade; a year or an `end_of` makes it another policy."""
    rule = "kind: at_least, term: P5Y, anchor: {kind: event}"
    without = policy_with({"five": rule}, years="{}")
    with_years = policy_with({"five": rule})
    with_end = policy_with({"five": f"kind: at_least, term: P5Y, {ON_EVENT % 'fiscal'}"})
    assert len({hash_policy(policy) for policy in (without, with_years, with_end)}) == 3
