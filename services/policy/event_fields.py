"""Read the decision fields of an event, as the policy defines them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any, Final

from schemas import limits
from services.policy.event_type import EventType, Field
from services.policy.gap_text import has_placeholder
from services.policy.tagged_event import DecisionValue
from services.policy.tagging_error import TaggingFailed

MIN_DATE: Final = date(1800, 1, 1)
"""The earliest date in an event: a person's birth may be long ago; an earlier date stands for none."""
MAX_DATE: Final = date(9500, 1, 1)
"""A date is before this: with a term of 200 years, windows end before 9999."""
_NOT_A_DATE = "is not a date such as 2026-03-15"
_is_date = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII).fullmatch


def read_decision_fields(
    kind: EventType, data: Mapping[str, Any]
) -> Iterator[tuple[str, DecisionValue]]:
    """Return the decision fields that an event's data has, or their defaults.

    Raises:
        TaggingFailed: a value does not fit its field.
    """
    for name, field in kind.fields.items():
        value = read_field(name, field, data)
        if value is not None:
            yield name, value


def read_field(name: str, field: Field, data: Mapping[str, Any]) -> DecisionValue | None:
    """Return the value of a decision field in an event's data, or its default.

    Raises:
        TaggingFailed: the value does not fit the field.
    """
    value = data.get(name)
    if value is None or value == "":
        return field.default
    return _parse_value(name, field, value)


def check_limits(deciding: Mapping[str, DecisionValue]) -> None:
    """Check that no decision field is longer than `schemas.limits` allows.

    Raises:
        TaggingFailed: one is.
    """
    for name, value in deciding.items():
        texts = value if isinstance(value, tuple) else (value,)
        problems = (limits.identifier_problem(text) for text in texts if isinstance(text, str))
        if problem := limits.count_problem(texts, limits.MAX_LIST) or next(
            filter(None, problems), None
        ):
            raise TaggingFailed("invalid-field", name, problem)


def _parse_value(name: str, field: Field, value: Any) -> DecisionValue:
    match field.type, value:
        case "string", str():
            if field.one_of and value not in field.one_of:
                allowed = ", ".join(field.one_of)
                raise TaggingFailed("invalid-field", name, f"is not one of {allowed}")
            return value
        case "boolean", bool():
            return value
        case "date", str() if has_placeholder(value):
            return value
        case "date", str() | date():
            try:
                return date_text(value)
            except ValueError as cause:
                raise TaggingFailed("invalid-field", name, str(cause)) from cause
        case "strings", str():
            return (value,)
        case "strings", list() | tuple() if all(isinstance(v, str) and v for v in value):
            return tuple(dict.fromkeys(value))
    raise TaggingFailed("invalid-field", name, _wrong_kind(field, value))


def _wrong_kind(field: Field, value: Any) -> str:
    problem = f"is not a value of type {field.type}"
    if field.type == "string" and isinstance(value, bool):
        return f"{problem}, got true or false; write text in quotes"
    if field.type == "boolean" and isinstance(value, str):
        return f"{problem}, got text; write true or false, without quotes"
    return problem


def date_text(value: str | date) -> str:
    """Return a date as 2026-03-15.

    Raises:
        ValueError: it is an instant, or no date that a record can have.
    """
    if isinstance(value, datetime):
        raise ValueError(_NOT_A_DATE)
    if isinstance(value, str):
        if not _is_date(value):
            raise ValueError(_NOT_A_DATE)
        try:
            value = date.fromisoformat(value)
        except ValueError as cause:
            raise ValueError(_NOT_A_DATE) from cause
    if not isinstance(value, date):
        raise ValueError(_NOT_A_DATE)
    if not MIN_DATE <= value < MAX_DATE:
        raise ValueError(f"is not a date from {MIN_DATE} to before {MAX_DATE}")
    return value.isoformat()


def text_field(deciding: Mapping[str, DecisionValue], name: str) -> str | None:
    """Return the value of a decision field that is a text; None if it is absent, or no text."""
    value = deciding.get(name)
    return value if isinstance(value, str) else None
