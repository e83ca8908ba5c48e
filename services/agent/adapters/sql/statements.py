"""Statements: what each action means in a table. Names and values never become text here."""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Delete,
    Select,
    Update,
    and_,
    case,
    delete,
    func,
    not_,
    or_,
    select,
    update,
)

from services.agent.adapters.sql.database import (
    PSEUDONYM,
    Bound,
    NoSuchValue,
    is_text,
    rows_of,
    value_for,
)
from services.agent.adapters.sql.declared import Change, values_of
from services.agent.commands import Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a command is about in one table: conditions that its rows meet, one or the other."""

    bound: Bound
    conditions: tuple[ColumnElement[bool], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where the records of a command are, and which of them cannot be looked for anywhere."""

    parts: tuple[Part, ...]
    problems: tuple[str, ...]
    """In words without personal data."""


def plan(
    command: Command,
    bounds: tuple[Bound, ...],
    without_rows: frozenset[str],
    dialect: str,
    *,
    rereads: bool = False,
) -> Plan:
    """Where the records of a command are; `rereads` looks by the other way.

    A record of a type that no table is declared for, or without a key that a table is searched by, is a
    problem: to pass over it in silence would be to call erased what is still there.
    """
    parts: list[Part] = []
    problems: dict[str, None] = {}
    types = {one.type for one in command.records}
    served = {kind for bound in bounds for kind in bound.declared.events} | without_rows
    for kind in sorted(types - served):
        problems[f"no table is declared for {kind}"] = None
    for bound in bounds:
        declared = bound.declared
        table, match = (
            (bound.reading, declared.verify.match) if rereads else (bound.table, declared.match)
        )
        wanted = []
        for record in command.records:
            if record.type not in declared.events:
                continue
            values = values_of(match, record, command)
            if values is None:
                problems[f"{bound.name}: a {record.type} came without a key to find its rows"] = (
                    None
                )
            else:
                wanted.append(values)
        if wanted:
            parts.append(Part(bound=bound, conditions=tuple(rows_of(table, wanted, dialect))))
    return Plan(parts=tuple(parts), problems=tuple(problems))


def counting(part: Part) -> Iterator[Select[Any]]:
    """Counts the rows that the command is about."""
    for condition in part.conditions:
        yield select(func.count()).select_from(part.bound.table).where(condition)


def rereading(part: Part, verifies: str) -> Iterator[Select[Any]]:
    """Counts, by the other way, the rows in which what the action should have ended is still there."""
    declared, reading = part.bound.declared, part.bound.reading
    change = declared.pseudonymise if verifies == "pseudonymise" else declared.erase
    holds = declared.verify.holds if isinstance(change, Change) else ()
    for condition in part.conditions:
        query = select(func.count()).select_from(reading).where(condition)
        if holds and isinstance(change, Change):
            replaced = {value for value in (change.set or {}).values() if value is not None}
            query = query.where(or_(*(_still_holds(reading.c[one], replaced) for one in holds)))
        yield query


def erasing(part: Part) -> Iterator[Delete | Update]:
    """Erases the rows, or what is personal in them."""
    table, change = part.bound.table, part.bound.declared.erase
    for condition in part.conditions:
        if isinstance(change, Change):
            yield update(table).where(condition).values(dict(change.set or {}))
        else:
            yield delete(table).where(condition)


def pseudonymising(
    connection: Connection, part: Part, change: Change, key: bytes
) -> Iterator[Update]:
    """Replaces what names a person; each value by its keyed hash, so that equals stay equal."""
    table = part.bound.table
    for condition in part.conditions:
        values: dict[str, Any] = dict(change.set or {})
        for name in change.hash:
            column = table.c[name]
            query = select(column).distinct().where(condition, _named(column))
            hashed = {old: pseudonym(old, key) for old in connection.execute(query).scalars()}
            if hashed:
                values[name] = case(hashed, value=column, else_=column)
        if values:
            yield update(table).where(condition).values(values)


def pseudonym(value: str, key: bytes) -> str:
    """What stands for a value: the same for the same value, and of no use without the key."""
    return PSEUDONYM + hmac.digest(key, value.encode("utf-8", "surrogatepass"), "sha256").hex()[:32]


def flagging(part: Part, column: str, value: Any) -> Iterator[Update]:
    """Sets the column that says whether rows are restricted."""
    for condition in part.conditions:
        yield update(part.bound.table).where(condition).values({column: value})


def correcting(part: Part, corrections: Mapping[str, Any], dialect: str) -> Iterator[Update]:
    """Puts the right values in the place of the wrong ones.

    Raises:
        NoSuchValue: a column cannot hold what it should.
    """
    table, fields = part.bound.table, part.bound.declared.rectify or {}
    values = {
        column: _corrected(table.c[column], corrections[field], dialect)
        for field, column in fields.items()
        if field in corrections
    }
    for condition in part.conditions if values else ():
        yield update(table).where(condition).values(values)


def disclosing(part: Part, columns: tuple[str, ...]) -> Iterator[Select[Any]]:
    """Reads what is held."""
    for condition in part.conditions:
        yield select(*(part.bound.table.c[name] for name in columns)).where(condition)


def _corrected(column: Column[Any], value: Any, dialect: str) -> Any:
    if value is None or is_text(column):
        if isinstance(value, dict | list):
            raise NoSuchValue
        return value if value is None else str(value)
    return value_for(column, value, dialect) if isinstance(value, str) else value


def _still_holds(column: Column[Any], replaced: set[Any]) -> ColumnElement[bool]:
    return and_(
        column.is_not(None),
        *(column != value for value in replaced if isinstance(value, str) == is_text(column)),
        *((_named(column),) if is_text(column) else ()),
    )


def _named(column: Column[Any]) -> ColumnElement[bool]:
    return and_(column.is_not(None), not_(column.startswith(PSEUDONYM, autoescape=True)))
