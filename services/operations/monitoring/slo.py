"""The service level objective (SLO): the share of commands that may be sent late, over several windows.

A burn rate of 1 uses up the month's error budget in exactly thirty days. An alert needs a long window, so
that one late command does not raise it, and a short one, so that it ends soon after its cause.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.operations.metric_catalogue import LATENESS_BUCKETS
from services.operations.monitoring.rules import Alert, Recording
from services.operations.monitoring.time_scale import DAY, HOUR, MINUTE, PRODUCTION, TimeScale

OBJECTIVE = 0.999
"""The share of commands that must be sent in time."""
IN_TIME_SECONDS = 5 * MINUTE
"""Seconds after a command is due until it is late. Lead times are hours, so no promise is broken yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BurnRate:
    """How fast the error budget may burn, over a long and a short window, in seconds."""

    rate: float
    long: float
    short: float


FAST = (
    BurnRate(rate=14.4, long=HOUR, short=5 * MINUTE),
    BurnRate(rate=6, long=6 * HOUR, short=30 * MINUTE),
)
"""2 % of the month's error budget in an hour, or 5 % in six hours."""
SLOW = (
    BurnRate(rate=3, long=DAY, short=2 * HOUR),
    BurnRate(rate=1, long=3 * DAY, short=6 * HOUR),
)
"""10 % of the budget in a day, or in three days."""


def recording_rules(scale: TimeScale) -> list[Recording]:
    """Return the share of late commands over each window; names contain the window of production."""
    windows = sorted({window for burn in (*FAST, *SLOW) for window in (burn.long, burn.short)})
    return [_late_share(window, scale) for window in windows]


def alerts(scale: TimeScale) -> list[Alert]:
    """Return the alerts on a fast and on a slow burn."""
    return [
        Alert(
            name="TermijnPunctualityBurnsFast",
            expr=_burn_condition(FAST),
            for_="0s",
            severity="critical",
            summary="{{ $value | humanizePercentage }} of the commands are sent more than 5 minutes late",
            description="At this rate the month's error budget is used up within days; erase_by is next.",
        ),
        Alert(
            name="TermijnPunctualityBurnsSlowly",
            expr=_burn_condition(SLOW),
            for_="0s",
            severity="warning",
            summary="{{ $value | humanizePercentage }} of the commands are sent more than 5 minutes late",
            description="Over days more commands are late than the objective of 99.9 % allows.",
        ),
    ]


def _name(window: float) -> str:
    return f"termijn:commands_late:ratio_rate{PRODUCTION.range_window(window)}"


def _late_share(window: float, scale: TimeScale) -> Recording:
    bound = scale.seconds(IN_TIME_SECONDS)
    bucket = min(bucket for bucket in LATENESS_BUCKETS if bucket >= bound)
    range_ = scale.range_window(window)
    in_time = f'sum(rate(termijn_lateness_seconds_bucket{{le="{bucket}"}}[{range_}]))'
    return Recording(
        record=_name(window),
        expr=f"1 - {in_time} / sum(rate(termijn_lateness_seconds_count[{range_}]))",
    )


def _burn_condition(burns: tuple[BurnRate, ...]) -> str:
    return " or ".join(
        f"({_name(burn.long)} > {burn.rate} * {1 - OBJECTIVE:.3f}"
        f" and {_name(burn.short)} > {burn.rate} * {1 - OBJECTIVE:.3f})"
        for burn in burns
    )
