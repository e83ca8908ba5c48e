"""Instants in a policy file: RFC 3339 with a zone, converted to UTC so that equal instants look equal."""

from __future__ import annotations

import re
from datetime import UTC, datetime
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
