"""A surge: far more of a rule is due in a system than the deleter's own forecast of a week ago expected.

Pure: what is known of a flow comes in, what is expected of it on a day comes out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from services.ledger.forecasts import LATE_DAYS, Flow, FlowForecast, FlowHistory

MIN_OBLIGATIONS = 1_000
"""Fewer obligations of a day are never a surge."""
_FORECAST_AGE = timedelta(days=7)
"""The forecast is at least so old, if there is one: a mistake of this week is not in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """How many obligations of a flow are expected on a day, and when that forecast was made, UTC."""

    obligations: int
    forecast_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Surge:
    """A flow of which more was about to be claimed on a day than may be without a person's word."""

    flow: Flow
    claimed: int
    """The obligations of the day, with those of the claim that was not carried out."""
    expectation: Expectation


def find_surge(
    flow: Flow, claimed: int, history: FlowHistory, factor: float, now: datetime
) -> Surge | None:
    """Return the surge if so many obligations of today are one; None also without a forecast."""
    expectation = expected_on(history, now)
    if expectation is None or claimed < MIN_OBLIGATIONS:
        return None
    if claimed <= factor * expectation.obligations:
        return None
    return Surge(flow=flow, claimed=claimed, expectation=expectation)


def expected_on(history: FlowHistory, now: datetime) -> Expectation | None:
    """Return what is expected on the day of `now`, UTC; None without a forecast.

    1. What was forecast for the day.
    2. What was forecast for the days before, and not claimed until now.
    3. As much as was claimed beyond that on any day of the last week: data that comes and goes within the
       week is in no forecast of a week ago.
    """
    reference = _reference(history, now)
    if reference is None:
        return None
    today = now.date()
    since = max(reference.made_at.date(), today - timedelta(days=LATE_DAYS))
    later = [f for f in history.further if f.made_at > reference.made_at]
    late, beyond = 0, 0
    for day in (today - timedelta(days=number) for number in range(LATE_DAYS, 0, -1)):
        claimed = history.claimed.get(day, 0)
        known = [reference, *later] if day >= since else history.further
        expected = late + sum(_on(forecast, day) for forecast in known)
        if day >= since:
            late = max(0, expected - claimed)
        beyond = max(beyond, claimed - expected)
    forecast = sum(_on(part, today) for part in (reference, *later))
    return Expectation(obligations=forecast + late + beyond, forecast_at=reference.made_at)


def _reference(history: FlowHistory, now: datetime) -> FlowForecast | None:
    """Return the newest forecast of at least a week ago, else the oldest there is.

    After a release only forecasts from then on count, once there is one.
    """
    made = [forecast for forecast in history.daily if forecast.made_at <= now]
    if history.released_at is not None:
        made = [f for f in made if f.made_at >= history.released_at] or made
    old = [forecast for forecast in made if forecast.made_at <= now - _FORECAST_AGE]
    if old:
        return max(old, key=lambda forecast: forecast.made_at)
    return min(made, key=lambda forecast: forecast.made_at, default=None)


def _on(forecast: FlowForecast, day: date) -> int:
    return forecast.days.get(day, 0)
