"""The answers to the questions of `termijn policy new`, as texts that are read and checked."""

from __future__ import annotations

from collections.abc import Iterable
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
    return tuple(_pair(part) for part in _without_empty(text.split(",")))


def _without_empty(parts: Iterable[str]) -> list[str]:
    return [part.strip() for part in parts if part.strip()]


def read_year_ends(text: str) -> tuple[tuple[str, str], ...]:
    """Return years with their last days, from NAME=MM-DD separated by commas. Raises `ValueError`."""
    return tuple(_year_end(part) for part in _without_empty(text.split(",")))


def _year_end(text: str) -> tuple[str, str]:
    name, _, end = (part.strip() for part in text.partition("="))
    if not name or not end:
        raise ValueError(f"is not NAME=MM-DD, got {text!r}")
    return name, read_month_day(end)


def _pair(text: str) -> tuple[str, str]:
    name, _, owner = (part.strip() for part in text.partition("="))
    if not name or not owner:
        raise ValueError(f"is not NAME=OWNER, got {text!r}")
    return name, owner
