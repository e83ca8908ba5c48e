"""Options that many commands share, and the parsers of instants and lengths of time."""

from __future__ import annotations

from contextlib import suppress
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import click

from schemas import cloudevents
from schemas.cloudevents import format_rfc3339
from schemas.errors import MalformedEvent
from services.app import settings_loader
from services.app.cli.output import show
from services.policy import calendar

__all__ = [
    "ACCEPTS_DASH_VALUES",
    "format_instant",
    "json_option",
    "operator_option",
    "parse_instant",
    "parse_instant_or_date",
    "parse_period",
    "reason_option",
    "show",
]

ACCEPTS_DASH_VALUES = {"ignore_unknown_options": True, "help_option_names": ["--help"]}
"""The settings of a command that takes ids of keys: one in 64 begins with a hyphen."""

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
reason_option = click.option("--reason", required=True, help="Why; it is logged.")
operator_option = click.option(
    "--operator",
    default=lambda: settings_loader.load().operating.operator,
    help="Who is responsible for it; by default TERMIJN_OPERATOR.",
)


def parse_instant(text: str) -> datetime:
    """Parse an option's value, an RFC 3339 instant with its offset, as UTC."""
    try:
        return cloudevents.parse_rfc3339(text)
    except MalformedEvent as cause:
        problem = f"{text!r} is not an instant such as 2026-03-15T13:00:00Z: {cause.why}"
        raise click.BadParameter(problem) from cause


def parse_instant_or_date(text: str) -> datetime | date:
    """Parse an option's value: an RFC 3339 instant, as UTC, or a date such as 2046-01-01."""
    with suppress(ValueError):
        if len(text) == len("2046-01-01"):
            return date.fromisoformat(text)
    return parse_instant(text)


def last_instant(until: datetime | date, zone: ZoneInfo) -> datetime:
    """Return an instant as it is, and for a date the last microsecond of that day in a time zone, UTC."""
    if isinstance(until, datetime):
        return until
    return calendar.start_of_day(until + calendar.DAY, zone) - timedelta.resolution


def parse_period(_: click.Context, __: click.Parameter, text: str) -> timedelta:
    """Parse an option's value, a length of time such as P7D or PT24H."""
    try:
        period = calendar.parse_period(text)
    except ValueError as cause:
        raise click.BadParameter(str(cause)) from cause
    if period.months:
        raise click.BadParameter(f"{text!r}: months have no fixed length")
    return timedelta(days=period.days) + period.exact


def format_instant(at: datetime | None) -> str | None:
    """Format an instant as RFC 3339 in UTC; None stays None."""
    return None if at is None else format_rfc3339(at)
