"""The system's database: its tables as they really are, and the values that its columns can hold."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Column,
    ColumnElement,
    Engine,
    MetaData,
    Table,
    and_,
    cast,
    collate,
    false,
    or_,
)
from sqlalchemy import types as sqltypes
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import NoSuchTableError

from services.agent.adapters.sql.declared import Change, Declared, Flag, Path_

Problem = tuple[Path_, str]
DIALECTS = ("postgresql", "sqlite")
PSEUDONYM = "pseudonym:"
PSEUDONYM_LENGTH = len(PSEUDONYM) + 32
_AT_ONCE = 100
"""Rows named in one statement; SQLite's expressions may not be deep."""


class NoSuchValue(ValueError):
    """No row of the table can have that value in that column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A declared table, bound to the real one, with the one by which it is read again."""

    name: str
    declared: Declared
    table: Table
    reading: Table


def bind(engine: Engine, tables: Mapping[str, Declared]) -> tuple[list[Bound], list[Problem]]:
    """The declared tables in the database, and what of them is not there; the path is below the tables."""
    metadata = MetaData()
    found: list[Bound] = []
    problems: list[Problem] = []
    for name, declared in tables.items():
        reading = declared.verify
        real, schema = declared.table or name, declared.schema
        table = _reflected(engine, metadata, real, schema)
        other = _reflected(engine, metadata, reading.table or real, reading.schema or schema)
        if table is None:
            problems.append(((name,), "there is no such table in the database"))
        elif other is None:
            problems.append(((name, "verify", "table"), "there is no such table in the database"))
        else:
            one = Bound(name=name, declared=declared, table=table, reading=other)
            problems += [((name, *path), why) for path, why in _misfits(one)]
            found.append(one)
    return found, problems


def _misfits(one: Bound) -> Iterator[Problem]:
    """What is declared of a table that is not so."""
    declared, table, other = one.declared, one.table, one.reading
    for path, column in _columns(declared):
        if column not in table.c:
            yield path, f"the table has no column {column!r}"
    for column in (*declared.verify.match, *declared.verify.holds):
        if column not in other.c:
            yield ("verify",), f"{other.name} has no column {column!r}"
    for where, match in ((table, declared.match), (other, declared.verify.match)):
        for column in match:
            if column in where.c and not can_match(where.c[column]):
                kind = where.c[column].type
                yield ("match", column), f"is of type {kind!r}, in which no key can be found"
    change = declared.pseudonymise
    for column in change.hash if isinstance(change, Change) else ():
        if column in table.c and not _has_room(table.c[column]):
            why = f"{column!r} has no room for a hash, which takes {PSEUDONYM_LENGTH} characters"
            yield ("pseudonymise", "hash"), why


def rows_of(
    table: Table, wanted: Sequence[Mapping[str, str]], dialect: str
) -> list[ColumnElement[bool]]:
    """Conditions that together are met by exactly the rows with one of these sets of values.

    What no row can have (letters in a number, NUL in PostgreSQL's text) meets none.
    """
    conditions = []
    for values in {tuple(sorted(one.items())): one for one in wanted}.values():
        try:
            equal = [
                _operand(table.c[name], dialect) == value_for(table.c[name], text, dialect)
                for name, text in values.items()
            ]
        except NoSuchValue:
            continue
        conditions.append(and_(*equal))
    return [
        or_(false(), *conditions[start : start + _AT_ONCE])
        for start in range(0, len(conditions), _AT_ONCE)
    ]


def is_text(column: Column[Any]) -> bool:
    """Whether a column holds text."""
    return isinstance(column.type, sqltypes.String)


def value_for(column: Column[Any], text: str, dialect: str) -> Any:
    """The value that a key's text is in a column.

    Raises:
        NoSuchValue: none that the column can hold is written exactly so.
    """
    if dialect == "postgresql" and "\0" in text:
        raise NoSuchValue
    kind = column.type
    if isinstance(kind, sqltypes.Enum):
        if text not in kind.enums:
            raise NoSuchValue
        return text
    if is_text(column):
        return text
    parse = next((parse for known, parse in _KINDS if isinstance(kind, known)), None)
    try:
        value = parse(text) if parse else None
    except ValueError as cause:
        raise NoSuchValue from cause
    # Python reads more than is meant: "4_2" and " 42" are no keys of row 42.
    if value is None or str(value) != text.lower():
        raise NoSuchValue
    if isinstance(kind, sqltypes.Integer) and not -(2**63) <= value < 2**63:
        raise NoSuchValue
    return value


def can_match(column: Column[Any]) -> bool:
    """Whether keys can be looked for in a column: else nothing would ever be found there."""
    if isinstance(column.type, sqltypes.Float):
        return False
    return is_text(column) or any(isinstance(column.type, known) for known, _ in _KINDS)


_KINDS: Sequence[tuple[type[Any], Callable[[str], Any]]] = (
    (sqltypes.Uuid, UUID),
    (sqltypes.Integer, int),
    (sqltypes.Numeric, int),
    (sqltypes.Date, dt.date.fromisoformat),
)


def _operand(column: Column[Any], dialect: str) -> ColumnElement[Any]:
    # A column may compare without case, or without blanks; a key that differs in these is another key.
    if dialect == "sqlite" and is_text(column):
        return collate(column, "BINARY")
    if isinstance(column.type, postgresql.CITEXT | sqltypes.CHAR):
        return cast(column, sqltypes.Text)
    return column


def _has_room(column: Column[Any]) -> bool:
    length = getattr(column.type, "length", None)
    return is_text(column) and (length is None or length >= PSEUDONYM_LENGTH)


def _reflected(engine: Engine, metadata: MetaData, name: str, schema: str | None) -> Table | None:
    try:
        return Table(name, metadata, schema=schema, autoload_with=engine, resolve_fks=False)
    except NoSuchTableError:
        return None


def _columns(declared: Declared) -> list[tuple[Path_, str]]:
    found: list[tuple[Path_, str]] = [(("match", name), name) for name in declared.match]
    for action in ("erase", "pseudonymise"):
        change = getattr(declared, action)
        if isinstance(change, Change):
            found += [((action,), name) for name in change.columns]
    if isinstance(declared.restrict, Flag):
        found.append((("restrict", "column"), declared.restrict.column))
    found += [(("disclose",), name) for name in declared.disclose or ()]
    found += [(("rectify", field), name) for field, name in (declared.rectify or {}).items()]
    return found
