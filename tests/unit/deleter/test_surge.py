"""What the surge guard expects of a rule in a system on a day, and what it takes for a surge."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime

from services.deleter.surge import expected_on, find_surge
from services.ledger.forecasts import Flow, FlowForecast, FlowHistory

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
D5 = Flow("D5", "website")


def day(number: int) -> date:
    """A day of March 2026."""
    return date(2026, 3, number)


def forecast(made_on: int, days: Mapping[int, int]) -> FlowForecast:
    """A forecast that was made in the morning of a day of March 2026."""
    made_at = datetime(2026, 3, made_on, 6, tzinfo=UTC)
    return FlowForecast(made_at=made_at, days={day(number): n for number, n in days.items()})


def history(
    *daily: FlowForecast,
    further: tuple[FlowForecast, ...] = (),
    claimed: Mapping[int, int] | None = None,
    released_at: datetime | None = None,
) -> FlowHistory:
    return FlowHistory(
        daily=daily,
        further=further,
        claimed={day(number): n for number, n in (claimed or {}).items()},
        released_at=released_at,
    )


def expected(known: FlowHistory, now: datetime = NOW) -> int | None:
    expectation = expected_on(known, now)
    return expectation.obligations if expectation else None


def test_the_newest_forecast_of_at_least_a_week_ago_counts() -> None:
    """What was changed within the week is not in it."""
    known = history(
        forecast(11, {20: 5}), forecast(13, {20: 70}), forecast(14, {20: 9_000}), forecast(20, {})
    )
    assert expected(known) == 70


def test_without_a_forecast_of_a_week_ago_the_oldest_counts() -> None:
    known = history(forecast(17, {20: 40}), forecast(19, {20: 9_000}))
    assert expected(known) == 40


def test_without_any_forecast_nothing_is_a_surge() -> None:
    known = history(claimed={19: 10})
    assert expected(known) is None
    assert find_surge(D5, 1_000_000, known, 3, NOW) is None


def test_a_forecast_from_the_future_does_not_count() -> None:
    """A clock that was ahead, and was set back, leaves such forecasts."""
    ahead = FlowForecast(
        made_at=datetime(2027, 3, 20, tzinfo=UTC), days={day(20): 1_000_000, day(19): 1_000_000}
    )
    assert expected(history(ahead)) is None
    assert expected(history(forecast(13, {20: 70}), ahead)) == 70


def test_what_was_forecast_and_not_claimed_is_still_expected() -> None:
    """The deleter was paused for three days: 100 a day wait, and 20 of the first were claimed."""
    known = history(
        forecast(13, dict.fromkeys(range(13, 29), 100)),
        claimed={**dict.fromkeys(range(13, 17), 100), 17: 20},
    )
    assert expected(known) == 100 + 80 + 100 + 100


def test_what_was_forecast_long_ago_is_not_expected() -> None:
    """A clock that is ahead by a year makes a year's data due: the forecast did not expect that today."""
    known = history(forecast(1, dict.fromkeys(range(1, 17), 100)))
    assert expected(known, datetime(2027, 3, 20, tzinfo=UTC)) == 0


def test_as_much_as_came_unforecast_on_any_day_of_the_last_week_is_expected() -> None:
    """Data that comes and goes within the week is in no forecast of a week ago."""
    known = history(forecast(11, {}), claimed={11: 9_000, 13: 500, 19: 700, 20: 8_000})
    assert expected(known) == 700
    both = history(forecast(13, {19: 300, 20: 40}), claimed={19: 700})
    assert expected(both) == 40 + 400


def test_a_day_that_was_forecast_is_not_expected_again() -> None:
    """The end of a book year makes a million due at once, and the days after it hardly any."""
    known = history(forecast(13, {18: 1_000_000, 20: 6}), claimed={18: 1_000_000})
    assert expected(known) == 6


def test_what_was_late_and_then_claimed_is_not_expected_again() -> None:
    """After two days without claims all of three days were claimed together."""
    known = history(forecast(13, dict.fromkeys(range(16, 21), 100)), claimed={16: 100, 19: 300})
    assert expected(known) == 100


def test_what_an_operator_released_or_accepted_is_expected_on_its_day_and_after() -> None:
    """The days after it are not measured by it."""
    accepted = forecast(18, {18: 20_000})
    known = history(forecast(12, {20: 7}), further=(accepted,), claimed={18: 15_000})
    assert expected(known) == 7 + 5_000
    assert expected(history(forecast(12, {20: 7}), further=(accepted,), claimed={18: 20_000})) == 7


def test_what_a_later_forecast_already_has_is_not_expected_twice() -> None:
    released = forecast(11, {11: 5_000, 20: 300})
    known = history(forecast(13, {20: 310}), further=(released,), claimed={11: 5_000})
    assert expected(known) == 310


def test_after_a_release_only_forecasts_from_then_on_count() -> None:
    """Until there is one the former still do."""
    released_at = datetime(2026, 3, 19, 9, tzinfo=UTC)
    old = forecast(12, {20: 7})
    assert expected(history(old, released_at=released_at)) == 7
    assert expected(history(old, forecast(20, {20: 9_000}), released_at=released_at)) == 9_000


def test_a_surge_is_more_than_the_factor_and_at_least_a_thousand() -> None:
    few, many = history(forecast(12, {20: 10})), history(forecast(12, {20: 1_000}))
    assert find_surge(D5, 999, few, 3, NOW) is None
    found = find_surge(D5, 1_000, few, 3, NOW)
    assert found is not None
    assert (found.flow, found.claimed, found.expectation.obligations) == (D5, 1_000, 10)
    assert found.expectation.forecast_at == datetime(2026, 3, 12, 6, tzinfo=UTC)
    assert find_surge(D5, 3_000, many, 3, NOW) is None
    assert find_surge(D5, 3_001, many, 3, NOW) is not None
    assert find_surge(D5, 3_001, many, 4, NOW) is None
