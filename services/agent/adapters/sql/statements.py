"""The SQL statements of each action in one table. Names and values are never put into text."""

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
    Insert,
    Select,
    Table,
    Update,
    and_,
    case,
    delete,
    exists,
    false,
    func,
    not_,
    or_,
    select,
    update,
)

from services.agent.adapters.sql.binding import (
    PSEUDONYM,
    PSEUDONYM_LENGTH,
    BoundTable,
    archived_columns,
    matching_rows,
)
from services.agent.adapters.sql.column_values import is_text, to_column_value
from services.agent.adapters.sql.columns import (
    as_stored,
    equals_column,
    holds_any,
    holds_other,
    in_bytes,
)
from services.agent.adapters.sql.config import ColumnChange, values_of
from services.agent.command import Command


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSelection:
    """The rows of a command in one table: those that have any of the sets of values."""

    bound: BoundTable
    table: Table
    """The bound table, or the one that verifies erasures."""
    value_sets: tuple[Mapping[str, str], ...]
    """Sets of values by column."""
    dialect: str

    @property
    def conditions(self) -> list[ColumnElement[bool]]:
        """The conditions of which each row matches one."""
        return matching_rows(self.table, self.value_sets, self.dialect)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSelection:
    """The selections of a command in all tables, and the records that cannot be looked up."""

    parts: tuple[TableSelection, ...]
    problems: tuple[str, ...]
    """The problems, in words without personal data."""


def select_records(
    command: Command,
    bounds: tuple[BoundTable, ...],
    without_rows: frozenset[str],
    dialect: str,
    *,
    rereads: bool = False,
) -> CommandSelection:
    """Return the selections of a command; with `rereads` by the way that verifies erasures.

    A record of a type without a declared table, or without a key that a table is selected by, is a problem:
    ignoring it would report data as erased that is still there.
    """
    parts: list[TableSelection] = []
    problems: dict[str, None] = {}
    types = {record.type for record in command.records}
    served = {kind for bound in bounds for kind in bound.declared.events} | without_rows
    for kind in sorted(types - served):
        problems[f"no table is declared for {kind}"] = None
    for bound in bounds:
        declared = bound.declared
        table, match = (
            (bound.reading, declared.verify.match) if rereads else (bound.table, declared.match)
        )
        value_sets = []
        for record in command.records:
            if record.type not in declared.events:
                continue
            values = values_of(match, record, command)
            if values is None:
                problems[f"{bound.name}: a {record.type} came without a key to find its rows"] = (
                    None
                )
            else:
                value_sets.append(values)
        if value_sets:
            parts.append(
                TableSelection(
                    bound=bound, table=table, value_sets=tuple(value_sets), dialect=dialect
                )
            )
    return CommandSelection(parts=tuple(parts), problems=tuple(problems))


def count_statement(part: TableSelection) -> Iterator[Select[Any]]:
    """Return the statement that counts the rows of the command."""
    for condition in part.conditions:
        yield select(func.count()).select_from(part.bound.table).where(condition)


def verify_statement(part: TableSelection, verifies: str, dialect: str) -> Iterator[Select[Any]]:
    """Return the statement that counts, by the other way, the rows that still have the data."""
    reading, remaining = part.bound.reading, still_has_data(part.bound, verifies, dialect)
    for condition in part.conditions:
        query = select(func.count()).select_from(reading).where(condition)
        yield query if remaining is None else query.where(remaining)


def still_has_data(bound: BoundTable, verifies: str, dialect: str) -> ColumnElement[bool] | None:
    """Return the condition that a row still has what an action replaces; None if any row counts."""
    declared = bound.declared
    change = declared.pseudonymise if verifies == "pseudonymise" else declared.erase
    holds = declared.verify.holds if isinstance(change, ColumnChange) else ()
    if not holds or not isinstance(change, ColumnChange):
        return None
    return or_(*(_still_holds(bound, change, column, dialect) for column in holds))


def erase_statement(part: TableSelection, dialect: str) -> Iterator[Delete | Update]:
    """Return the statement that erases the rows, or the personal data in them."""
    table, change = part.bound.table, part.bound.declared.erase
    for condition in part.conditions:
        if isinstance(change, ColumnChange):
            yield update(table).where(condition).values(assignments(table, change, dialect))
        else:
            yield delete(table).where(condition)


def pseudonymise_statement(
    connection: Connection, part: TableSelection, change: ColumnChange, key: bytes
) -> Iterator[Update]:
    """Return the statement that replaces values by keyed hashes; equal values stay equal."""
    table, dialect = part.bound.table, connection.dialect.name
    for condition in part.conditions:
        values = assignments(table, change, dialect)
        for name in change.hash:
            exact = in_bytes(table.c[name], dialect)
            query = (
                select(exact).distinct().where(condition, _is_not_pseudonym(table.c[name], dialect))
            )
            hashed = {value: pseudonym(value, key) for value in connection.execute(query).scalars()}
            if hashed:
                values[name] = case(hashed, value=exact, else_=table.c[name])
        if values:
            yield update(table).where(condition).values(values)


def pseudonym(value: str, key: bytes) -> str:
    """Return the keyed hash that replaces a value: the same for the same value."""
    return PSEUDONYM + hmac.digest(key, value.encode("utf-8", "surrogatepass"), "sha256").hex()[:32]


def set_column_statement(
    part: TableSelection, column: str, value: Any, dialect: str
) -> Iterator[Update]:
    """Return the statement that sets one column, such as that which marks rows as restricted."""
    table = part.bound.table
    for condition in part.conditions:
        column_value = to_column_value(table.c[column], value, dialect)
        yield update(table).where(condition).values({column: column_value})


def transfer_statement(part: TableSelection) -> Iterator[Insert]:
    """Return the statement that copies the rows to the archive, unless it has them.

    What is in the archive is never changed: of a row that was erased in place since, it has another
    content. Several rows may have the same keys.
    """
    if part.bound.archive is None:
        return
    for condition in part.conditions:
        yield copy_to_archive(part.bound, part.bound.archive, condition, part.dialect)


def copy_to_archive(
    bound: BoundTable, archive: Table, condition: ColumnElement[bool], dialect: str
) -> Insert:
    """Return the statement that copies the rows that meet a condition, unless the archive has them."""
    table, columns = bound.table, archived_columns(bound.declared)
    same_keys = (archive.c[name] == table.c[name] for name in bound.declared.match)
    same_content = and_(
        *(equals_column(archive.c[name], table.c[name], dialect) for name in columns)
    )
    is_same = or_(same_content, _is_erased(bound, dialect))
    is_archived = exists().where(*same_keys, is_same).correlate(table)
    rows = select(*(table.c[name] for name in columns)).where(condition, ~is_archived)
    return archive.insert().from_select(columns, rows)


def _is_erased(bound: BoundTable, dialect: str) -> ColumnElement[bool]:
    """Return the condition that a row has no data left that an erasure in place takes away."""
    change, columns = bound.declared.erase, bound.table.c
    if not isinstance(change, ColumnChange):
        return false()
    left = [_is_not_pseudonym(columns[name], dialect) for name in change.hash]
    for name, value in (change.set or {}).items():
        holds = [holds_any(columns[name])]
        if value is not None:
            holds.append(holds_other(columns[name], columns[name], value, dialect))
        left.append(and_(*holds))
    return not_(or_(*left))


def rectify_statement(
    part: TableSelection, corrections: Mapping[str, Any], dialect: str
) -> Iterator[Update]:
    """Return the statement that writes corrected values.

    Raises:
        ValueNotStorable: a column cannot hold its corrected value.
    """
    table, fields = part.bound.table, part.bound.declared.rectify or {}
    values = {
        column: to_column_value(table.c[column], corrections[field], dialect)
        for field, column in fields.items()
        if field in corrections
    }
    for condition in part.conditions if values else ():
        yield update(table).where(condition).values(values)


def disclose_statement(
    part: TableSelection, columns: tuple[str, ...], dialect: str
) -> Iterator[Select[Any]]:
    """Return the statement that reads the rows of the command."""
    for condition in part.conditions:
        stored_columns = (
            as_stored(part.bound.table.c[name], dialect).label(name) for name in columns
        )
        yield select(*stored_columns).where(condition)


def assignments(table: Table, change: ColumnChange, dialect: str) -> dict[str, Any]:
    """Return the values that a change writes, by column."""
    written = (change.set or {}).items()
    return {name: to_column_value(table.c[name], value, dialect) for name, value in written}


def _still_holds(
    bound: BoundTable, change: ColumnChange, name: str, dialect: str
) -> ColumnElement[bool]:
    """Return the condition that a column has a value other than its replacement or a pseudonym."""
    declared, column = bound.declared, bound.reading.c[name]
    conditions = [holds_any(column)]
    if (change.set or {}).get(name) is not None:
        base = bound.table.c[name]
        conditions.append(holds_other(column, base, (change.set or {})[name], dialect))
    hashed_columns = [
        declared_change.hash
        for declared_change in (declared.erase, declared.pseudonymise)
        if isinstance(declared_change, ColumnChange)
    ]
    if is_text(column) and any(name in columns for columns in hashed_columns):
        conditions.append(_is_not_pseudonym(column, dialect))
    return and_(*conditions)


def _is_not_pseudonym(column: Column[Any], dialect: str) -> ColumnElement[bool]:
    """Return the condition that a column has a value other than a pseudonym."""
    exact = in_bytes(column, dialect)
    named_otherwise = or_(
        func.length(exact) != PSEUDONYM_LENGTH,
        func.substr(exact, 1, len(PSEUDONYM)) != PSEUDONYM,
    )
    return and_(column.is_not(None), named_otherwise)
