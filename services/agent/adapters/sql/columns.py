"""Columns: which values one can hold, how a value is written into it, and which rows hold exactly that one.

A text is the same only if its bytes are: a collation may take `O1` for `o1` and `e` for `é`, a key may not.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Column,
    ColumnElement,
    Index,
    PrimaryKeyConstraint,
    UniqueConstraint,
    and_,
    cast,
    collate,
    literal,
    null,
    type_coerce,
)
from sqlalchemy import types as sqltypes
from sqlalchemy.dialects import postgresql


class NoSuchValue(ValueError):
    """A column cannot hold a value: no row has it, and none can be given it. The text names the reason."""


def is_text(column: Column[Any]) -> bool:
    """Whether a column holds text of any wording."""
    kind = _kind(column)
    return isinstance(kind, sqltypes.String) and not isinstance(kind, sqltypes.Enum)


def can_match(column: Column[Any]) -> bool:
    """Whether keys can be looked for in a column: else nothing would ever be found there."""
    kind = _kind(column)
    if isinstance(kind, sqltypes.Float):
        return False
    return isinstance(kind, sqltypes.String) or any(
        isinstance(kind, key_type) for key_type, _ in _KEYS
    )


def same(column: Column[Any], key: str, dialect: str) -> ColumnElement[bool]:
    """The condition that a column holds a key, as it is written and no other way.

    Raises:
        NoSuchValue: none that the column can hold is written so.
    """
    value = _value_of_key(column, key, dialect)
    if is_text(column):
        exact: ColumnElement[bool] = in_bytes(column, dialect) == value
        # The plain comparison finds the rows by the column's own index; the other judges them.
        return and_(column == value, exact) if _plain(column) else exact
    if isinstance(column.type, postgresql.DOMAIN):
        condition: ColumnElement[bool] = cast(column, _kind(column)) == literal(
            value, _kind(column)
        )
        return condition
    equal: ColumnElement[bool] = column == value
    return equal


def in_bytes(column: Column[Any], dialect: str) -> ColumnElement[Any]:
    """A column of text, to be compared by its bytes whatever its collation says."""
    if dialect == "sqlite":
        return collate(column, "BINARY")
    return collate(column if _plain(column) else cast(column, sqltypes.Text), "C")


def written(column: Column[Any], value: Any, dialect: str) -> Any:
    """What a statement puts into a column for a value as YAML or JSON has it.

    Raises:
        NoSuchValue: the column cannot hold it. PostgreSQL's other types are converted by the database,
            which may refuse what was not refused here.
    """
    kind = _kind(column)
    if value is None:
        if not column.nullable or getattr(column.type, "not_null", False):
            raise NoSuchValue("is NOT NULL")
        return null()  # also where the column is JSON, which has a null of its own
    if is_text(column):
        return _text_in(column, value, dialect)
    if dialect == "sqlite":
        return literal(_on_sqlite(kind, value), kind)
    if isinstance(kind, postgresql.ARRAY) and isinstance(value, list):
        return literal(value, kind)
    text = _said(value)
    if "\0" in text:
        raise NoSuchValue("holds no NUL")
    if isinstance(kind, sqltypes.NullType):
        return literal(text, kind)  # a type that only the database knows: it reads the text itself
    return cast(literal(text, sqltypes.Text()), column.type)


def holds_other(
    reading: Column[Any], base: Column[Any], value: Any, dialect: str
) -> ColumnElement[bool]:
    """The condition that a column holds something else than what was written into `base` for a value."""
    put = written(base, value, dialect)
    if is_text(reading):
        return in_bytes(reading, dialect) != (put if is_text(base) else cast(put, sqltypes.Text))
    if dialect == "sqlite":
        differs: ColumnElement[bool] = reading != put
        return differs
    # As texts, since not every type of PostgreSQL knows what is equal: json does not.
    shown = collate(cast(reading, sqltypes.Text), "C")
    is_different: ColumnElement[bool] = shown != (
        literal(put) if is_text(base) else cast(put, sqltypes.Text)
    )
    return is_different


def holds_any(column: Column[Any]) -> ColumnElement[bool]:
    """The condition that a column is not empty; JSON's own null is empty too."""
    if isinstance(_kind(column), sqltypes.JSON):
        return and_(column.is_not(None), cast(column, sqltypes.Text) != "null")
    return column.is_not(None)


def why_not_written(column: Column[Any], *, alike: bool = False) -> str | None:
    """Why no value at all can be written into a column; `alike`: several rows get the same one."""
    if column.computed is not None:
        return "is generated by the database"
    if column.identity is not None and column.identity.always:
        return "is always numbered by the database"
    if alike and _alone_unique(column):
        return "is unique, so no two rows can hold the same value"
    return None


def as_json(column: Column[Any], value: Any, dialect: str) -> Any:
    """A column's value as JSON has it: what is no text, number or truth is told as text."""
    if dialect == "sqlite" and isinstance(column.type, sqltypes.Boolean) and value in (0, 1):
        return bool(value)
    if dialect == "sqlite" and isinstance(column.type, sqltypes.JSON) and isinstance(value, str):
        with suppress(ValueError):  # SQLite looks at nothing that it keeps
            return json.loads(value)
    return _to_json(value)


def as_stored(column: Column[Any], dialect: str) -> ColumnElement[Any]:
    """A column as it is to be read: of SQLite as it lies there, since nobody has checked its form."""
    return type_coerce(column, sqltypes.NullType()) if dialect == "sqlite" else column


def _to_json(value: Any) -> Any:
    match value:
        case None | bool() | int() | str():
            json_value: Any = value
        case float():
            json_value = value if math.isfinite(value) else str(value)
        case bytes() | memoryview():
            json_value = base64.b64encode(bytes(value)).decode()
        case dt.date() | dt.time():  # an instant is a date too
            json_value = value.isoformat()
        case Mapping():
            json_value = {str(name): _to_json(item) for name, item in value.items()}
        case list() | tuple():
            json_value = [_to_json(item) for item in value]
        case _:
            json_value = str(value)
    return json_value


def _value_of_key(column: Column[Any], key: str, dialect: str) -> Any:
    if dialect == "postgresql" and "\0" in key:
        raise NoSuchValue("holds no NUL")
    kind = _kind(column)
    if isinstance(kind, sqltypes.Enum):
        if key not in kind.enums:
            raise NoSuchValue("knows no such value")
        return key
    if is_text(column):
        _check_length(column, key, dialect)
        return key
    parse = next((parse for key_type, parse in _KEYS if isinstance(kind, key_type)), None)
    try:
        value = parse(key) if parse else None
    except ValueError as cause:
        raise NoSuchValue("is of another type") from cause
    # Python reads more than is meant: "4_2" and " 42" are no keys of row 42.
    if value is None or str(value) != key.lower():
        raise NoSuchValue("is of another type")
    if isinstance(value, int) and not -_bound(kind, dialect) <= value < _bound(kind, dialect):
        raise NoSuchValue("holds no number so large")
    return value


_KEYS: Sequence[tuple[type[Any], Callable[[str], Any]]] = (
    (sqltypes.Uuid, UUID),
    (sqltypes.Integer, int),
    (sqltypes.Numeric, int),
    (sqltypes.Date, dt.date.fromisoformat),
)


def _bound(kind: Any, dialect: str) -> float:
    """The first whole number above what a type holds: another cannot be in any row."""
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


def _kind(column: Column[Any]) -> Any:
    """A column's type; of a domain the one below it."""
    kind: Any = column.type
    while isinstance(kind, postgresql.DOMAIN):
        kind = kind.data_type
    return kind


def _plain(column: Column[Any]) -> bool:
    return not isinstance(column.type, postgresql.CITEXT | sqltypes.CHAR | postgresql.DOMAIN)


def _alone_unique(column: Column[Any]) -> bool:
    table = column.table
    sets = [
        *(
            constraint.columns
            for constraint in table.constraints
            if isinstance(constraint, PrimaryKeyConstraint)
        ),
        *(
            constraint.columns
            for constraint in table.constraints
            if isinstance(constraint, UniqueConstraint)
        ),
        *(
            constraint.columns
            for constraint in table.indexes
            if constraint.unique and not _partial(constraint)
        ),
    ]
    return any(list(constraint) == [column] for constraint in sets)


def _partial(index: Index) -> bool:
    return any(options.get("where") is not None for options in index.dialect_options.values())


def _text_in(column: Column[Any], value: Any, dialect: str) -> str:
    if isinstance(value, dict | list):
        raise NoSuchValue("holds text")
    text = _said(value)
    if dialect == "postgresql" and "\0" in text:
        raise NoSuchValue("holds no NUL")
    _check_length(column, text, dialect)
    return text


def _check_length(column: Column[Any], text: str, dialect: str) -> None:
    length = getattr(_kind(column), "length", None)
    if dialect == "postgresql" and length is not None and len(text) > length:
        raise NoSuchValue(f"holds at most {length} characters")


def _said(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _on_sqlite(kind: Any, value: Any) -> Any:
    """The value as SQLAlchemy writes it there, so that it looks as others do: SQLite converts nothing."""
    parse = next(
        (parse for sqlite_type, parse in _ON_SQLITE if isinstance(kind, sqlite_type)), None
    )
    try:
        return value if parse is None else parse(value)
    except (ValueError, TypeError, AttributeError, OverflowError) as cause:
        raise NoSuchValue("is of another type") from cause


def _truth(value: Any) -> bool:
    if value not in (True, False):  # 0 and 1 among them
        raise ValueError
    return bool(value)


def _whole(value: Any) -> int:
    number = int(_said(value))
    if not -(2**63) <= number < 2**63:
        raise ValueError
    return number


def _finite(value: Any) -> float:
    number = float(_said(value))
    if not math.isfinite(number):
        raise ValueError
    return number


_ON_SQLITE: Sequence[tuple[type[Any], Callable[[Any], Any]]] = (
    (sqltypes.Boolean, _truth),
    (sqltypes.JSON, lambda value: json.loads(value) if isinstance(value, str) else value),
    (sqltypes.DateTime, dt.datetime.fromisoformat),
    (sqltypes.Date, dt.date.fromisoformat),
    (sqltypes.Time, dt.time.fromisoformat),
    (sqltypes.LargeBinary, str.encode),
    (sqltypes.Integer, _whole),
    (sqltypes.Float, _finite),
    (sqltypes.Numeric, _finite),
)
