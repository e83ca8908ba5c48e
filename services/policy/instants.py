"""Instants in a policy file, as RFC 3339 with a zone, converted to UTC; and dates, such as 2026-07-01."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator
from pydantic_core import PydanticCustomError

_starts_like_rfc3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:", re.ASCII).match


def _require_rfc3339(value: object) -> object:
    """Refuse numbers, which pydantic would read as seconds since 1970, and `true`, which it reads as 1."""
    if isinstance(value, datetime) or (isinstance(value, str) and _starts_like_rfc3339(value)):
        return value
    raise _not_an_instant()


def _to_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError as cause:
        raise _not_an_instant() from cause


def _not_an_instant() -> PydanticCustomError:
    return PydanticCustomError("datetime_type", "is not an instant")


Instant = Annotated[AwareDatetime, BeforeValidator(_require_rfc3339), AfterValidator(_to_utc)]
"""An instant, UTC."""


_is_date = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII).fullmatch


def _require_date(value: object) -> object:
    """Refuse times, and numbers, which pydantic would read as days since 1970."""
    is_date = isinstance(value, date) and not isinstance(value, datetime)
    if is_date or (isinstance(value, str) and _is_date(value)):
        return value
    raise PydanticCustomError("date_type", "is not a date")


Date = Annotated[date, BeforeValidator(_require_date)]
"""A day on the controller's calendar."""
