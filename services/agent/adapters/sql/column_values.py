"""Values of SQL columns: which values a column can hold, and how each is written and read."""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from sqlalchemy import Column, cast, literal, null
from sqlalchemy import types as sqltypes
from sqlalchemy.dialects import postgresql


class ValueNotStorable(ValueError):
    """A column cannot hold a value, so no row has it and none can get it. The text is the reason."""


def is_text(column: Column[Any]) -> bool:
    """Return whether a column holds free text."""
    kind = column_type(column)
    return isinstance(kind, sqltypes.String) and not isinstance(kind, sqltypes.Enum)


def to_column_value(column: Column[Any], value: Any, dialect: str) -> Any:
    """Return what a statement writes into a column for a value from YAML or JSON.

    Raises:
        ValueNotStorable: the column cannot hold it. Other types of PostgreSQL are converted by the
        database, which may reject values that pass here.
    """
    kind = column_type(column)
    if value is None:
        if not column.nullable or getattr(column.type, "not_null", False):
            raise ValueNotStorable("is NOT NULL")
        return null()  # for JSON columns too, which have a null of their own
    if is_text(column):
        return _text_value(column, value, dialect)
    if dialect == "sqlite":
        return literal(_sqlite_value(kind, value), kind)
    if isinstance(kind, postgresql.ARRAY) and isinstance(value, list):
        return literal(value, kind)
    text = _to_text(value)
    if "\0" in text:
        raise ValueNotStorable("holds no NUL")
    if isinstance(kind, sqltypes.NullType):
        return literal(text, kind)  # a type of the database only: it parses the text itself
    return cast(literal(text, sqltypes.Text()), column.type)


def as_json(column: Column[Any], value: Any, dialect: str) -> Any:
    """Return a column's value for JSON: texts, numbers and booleans as they are, others as text."""
    if dialect == "sqlite" and isinstance(column.type, sqltypes.Boolean) and value in (0, 1):
        return bool(value)
    if dialect == "sqlite" and isinstance(column.type, sqltypes.JSON) and isinstance(value, str):
        with suppress(ValueError):  # SQLite does not check what it stores
            return json.loads(value)
    return _to_json(value)


def _to_json(value: Any) -> Any:
    match value:
        case None | bool() | int() | str():
            json_value: Any = value
        case float():
            json_value = value if math.isfinite(value) else str(value)
        case bytes() | memoryview():
            json_value = base64.b64encode(bytes(value)).decode()
        case dt.date() | dt.time():  # a datetime is a date too
            json_value = value.isoformat()
        case Mapping():
            json_value = {str(name): _to_json(item) for name, item in value.items()}
        case list() | tuple():
            json_value = [_to_json(item) for item in value]
        case _:
            json_value = str(value)
    return json_value


def key_value(column: Column[Any], key: str, dialect: str) -> Any:
    if dialect == "postgresql" and "\0" in key:
        raise ValueNotStorable("holds no NUL")
    kind = column_type(column)
    if isinstance(kind, sqltypes.Enum):
        if key not in kind.enums:
            raise ValueNotStorable("has no such value")
        return key
    if is_text(column):
        _check_length(column, key, dialect)
        return key
    parse = next((parse for key_type, parse in _KEY_PARSERS if isinstance(kind, key_type)), None)
    try:
        value = parse(key) if parse else None
    except ValueError as cause:
        raise ValueNotStorable("is of another type") from cause
    # Python accepts too much: "4_2" and " 42" are not keys of row 42.
    if value is None or str(value) != key.lower():
        raise ValueNotStorable("is of another type")
    if isinstance(value, int) and not -_bound(kind, dialect) <= value < _bound(kind, dialect):
        raise ValueNotStorable("cannot hold a number so large")
    return value


_KEY_PARSERS: Sequence[tuple[type[Any], Callable[[str], Any]]] = (
    (sqltypes.Uuid, UUID),
    (sqltypes.Integer, int),
    (sqltypes.Numeric, int),
    (sqltypes.Date, dt.date.fromisoformat),
)


def _bound(kind: Any, dialect: str) -> float:
    """Return the first whole number that is too large for a type."""
    match kind:
        case _ if dialect == "sqlite":
            return 2**63
        case sqltypes.SmallInteger():
            return 2**15
        case sqltypes.BigInteger():
            return 2**63
        case sqltypes.Integer():
            return 2**31
        case sqltypes.Numeric(precision=int() as digits):
            return int(10 ** max(0, digits - (kind.scale or 0)))
    return math.inf


def column_type(column: Column[Any]) -> Any:
    """Return a column's type; for a domain, its base type."""
    kind: Any = column.type
    while isinstance(kind, postgresql.DOMAIN):
        kind = kind.data_type
    return kind


def _text_value(column: Column[Any], value: Any, dialect: str) -> str:
    if isinstance(value, dict | list):
        raise ValueNotStorable("holds text")
    text = _to_text(value)
    if dialect == "postgresql" and "\0" in text:
        raise ValueNotStorable("holds no NUL")
    _check_length(column, text, dialect)
    return text


def _check_length(column: Column[Any], text: str, dialect: str) -> None:
    length = getattr(column_type(column), "length", None)
    if dialect == "postgresql" and length is not None and len(text) > length:
        raise ValueNotStorable(f"holds at most {length} characters")


def _to_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _sqlite_value(kind: Any, value: Any) -> Any:
    """Return the value in the form that SQLAlchemy writes: SQLite converts nothing."""
    parse = next(
        (parse for sqlite_type, parse in _SQLITE_PARSERS if isinstance(kind, sqlite_type)), None
    )
    try:
        return value if parse is None else parse(value)
    except (ValueError, TypeError, AttributeError, OverflowError) as cause:
        raise ValueNotStorable("is of another type") from cause


def _parse_bool(value: Any) -> bool:
    if value not in (True, False):  # 0 and 1 among them
        raise ValueError
    return bool(value)


def _parse_integer(value: Any) -> int:
    number = int(_to_text(value))
    if not -(2**63) <= number < 2**63:
        raise ValueError
    return number


def _parse_float(value: Any) -> float:
    number = float(_to_text(value))
    if not math.isfinite(number):
        raise ValueError
    return number


_SQLITE_PARSERS: Sequence[tuple[type[Any], Callable[[Any], Any]]] = (
    (sqltypes.Boolean, _parse_bool),
    (sqltypes.JSON, lambda value: json.loads(value) if isinstance(value, str) else value),
    (sqltypes.DateTime, dt.datetime.fromisoformat),
    (sqltypes.Date, dt.date.fromisoformat),
    (sqltypes.Time, dt.time.fromisoformat),
    (sqltypes.LargeBinary, str.encode),
    (sqltypes.Integer, _parse_integer),
    (sqltypes.Float, _parse_float),
    (sqltypes.Numeric, _parse_float),
)


def supports_equality(column: Column[Any]) -> bool:
    """Return whether keys can be looked up in a column; in other types no row would be found."""
    kind = column_type(column)
    if isinstance(kind, sqltypes.Float):
        return False
    return isinstance(kind, sqltypes.String) or any(
        isinstance(kind, key_type) for key_type, _ in _KEY_PARSERS
    )
