"""Instants as a policy file writes them: RFC 3339 with a zone; kept in UTC, so that each has one form."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator
from pydantic_core import PydanticCustomError

_written = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:", re.ASCII).match


def _as_written(value: object) -> object:
    """A number is no instant: it would be taken for seconds since 1970, and `true` for the first."""
    if isinstance(value, datetime) or (isinstance(value, str) and _written(value)):
        return value
    raise _no_instant()


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError as cause:
        raise _no_instant() from cause


def _no_instant() -> PydanticCustomError:
    return PydanticCustomError("datetime_type", "is no instant")


Instant = Annotated[AwareDatetime, BeforeValidator(_as_written), AfterValidator(_in_utc)]
"""An instant, UTC."""
