"""Convert single JSON values to Avro's, by type and logical type."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from schemas import limits
from schemas.cloudevents import parse_rfc3339
from schemas.errors import MalformedEvent

Coercer = Callable[[Any], Any]
"""Takes a JSON value and returns it as Avro's, or raises `CoercionError`."""
_DECIMAL = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class CoercionError(Exception):
    """A value does not fit its schema; `path` grows from the inside out, `why` never contains the value."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
        self.path = ""

    def prefixed(self, name: str) -> CoercionError:
        """Put a name before the path, and return the error."""
        dot = "." if self.path and not self.path.startswith("[") else ""
        self.path = f"{name}{dot}{self.path}"
        return self


def _null(value: Any) -> None:
    if value is not None:
        raise CoercionError("is not null")


def _boolean(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    raise CoercionError("is not a boolean")


def _integer(bits: int) -> Coercer:
    low, high = -(1 << bits - 1), 1 << bits - 1

    def fit(value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool) and low <= value < high:
            return value
        raise CoercionError(f"is not a whole number of {bits} bits")

    return fit


def _number(value: Any) -> Any:
    if isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise CoercionError("is not a number")


def _bytes(value: Any) -> Any:
    if isinstance(value, bytes):
        return value
    raise CoercionError("is not bytes")


def _string(value: Any) -> Any:
    if not isinstance(value, str):
        raise CoercionError("is not a string")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise CoercionError("has a lone surrogate") from None
    return value


def _date(value: Any) -> Any:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str) and _DAY.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise CoercionError("is not a date such as 2026-03-15")


def _instant(value: Any) -> Any:
    if isinstance(value, datetime) and value.utcoffset() is not None:
        return value.astimezone(UTC)
    if isinstance(value, str):
        try:
            return parse_rfc3339(value)
        except MalformedEvent:
            pass
    raise CoercionError("is not an instant such as 2026-03-15T13:00:00Z")


def _decimal(value: Any) -> Any:
    """Accept canonical text and whole numbers; a JSON number with a fraction may have lost digits."""
    if isinstance(value, str):
        if len(value) <= limits.MAX_DECIMAL and _DECIMAL.fullmatch(value):
            return Decimal(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        if value.bit_length() <= 3 * limits.MAX_DECIMAL:
            return Decimal(value)
    elif isinstance(value, Decimal):
        exponent = value.as_tuple().exponent
        if isinstance(exponent, int) and abs(exponent) <= limits.MAX_DECIMAL:
            return value
    raise CoercionError("is not a decimal number")


def _uuid(value: Any) -> Any:
    try:
        return value if isinstance(value, UUID) else UUID(_string(value))
    except (CoercionError, ValueError):
        raise CoercionError("is not a UUID") from None


PLAIN: Mapping[str, Coercer] = {
    "null": _null,
    "boolean": _boolean,
    "int": _integer(32),
    "long": _integer(64),
    "float": _number,
    "double": _number,
    "bytes": _bytes,
    "string": _string,
}
# A value of any other logical type is one of the plain type.
LOGICAL: Mapping[tuple[str, str | None], Coercer] = {
    ("int", "date"): _date,
    ("long", "timestamp-millis"): _instant,
    ("long", "timestamp-micros"): _instant,
    ("bytes", "decimal"): _decimal,
    ("fixed", "decimal"): _decimal,
    ("string", "uuid"): _uuid,
}
