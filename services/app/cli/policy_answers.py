"""The answers to the questions of `termijn policy new`, as texts that are read and checked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from zoneinfo import ZoneInfo

from services.policy import calendar


def read_text(text: str) -> str:
    """Return a text that is not empty. Raises `ValueError`."""
    if not text:
        raise ValueError("is empty")
    return text


def read_period(text: str) -> str:
    """Return an ISO 8601 period. Raises `ValueError`."""
    calendar.parse_period(text)
    return text


def read_month_day(text: str) -> str:
    """Return a month and a day, such as 12-31. Raises `ValueError`."""
    try:
        date.fromisoformat(f"2024-{text}")  # a leap year
    except ValueError as cause:
        raise ValueError(f"{text!r} is not a month and a day such as 12-31") from cause
    return text


def read_zone(text: str) -> str:
    """Return the name of a time zone. Raises `ValueError`."""
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError) as cause:
        raise ValueError(f"{text!r} is not a time zone such as Europe/Amsterdam") from cause
    return text


def read_owners(text: str) -> tuple[tuple[str, str], ...]:
    """Return systems with their owners, from NAME=OWNER separated by commas. Raises `ValueError`."""
    return tuple(_pairs(text, "NAME=OWNER"))


def read_year_ends(text: str) -> tuple[tuple[str, str], ...]:
    """Return years with their last days, from NAME=MM-DD separated by commas. Raises `ValueError`."""
    return tuple((name, read_month_day(end)) for name, end in _pairs(text, "NAME=MM-DD"))


def _pairs(text: str, form: str) -> Iterator[tuple[str, str]]:
    for part in filter(None, map(str.strip, text.split(","))):
        name, _, value = (side.strip() for side in part.partition("="))
        if not name or not value:
            raise ValueError(f"is not {form}, got {part!r}")
        yield name, value
