"""Binds declared tables to the real ones, and checks that the database fits the declaration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Engine, MetaData, Table, and_, false, or_, select
from sqlalchemy.exc import DBAPIError, NoSuchTableError

from services.agent.adapters.sql.column_values import (
    ValueNotStorable,
    is_text,
    supports_equality,
    to_column_value,
)
from services.agent.adapters.sql.columns import equals_key, write_problem
from services.agent.adapters.sql.config import (
    ArchiveTable,
    ColumnChange,
    NoticeColumn,
    RestrictionFlag,
    TableConfig,
)
from services.policy.yaml_source import DocumentPath

Problem = tuple[DocumentPath, str]
PSEUDONYM = "pseudonym:"
PSEUDONYM_LENGTH = len(PSEUDONYM) + 32
_CHUNK_SIZE = 100
_SAMPLE_END = "2026-01-01T00:00:00Z"
"""An end of which notice is given, to check that a column can hold it."""
"""Rows that one statement names; SQLite limits the depth of expressions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundTable:
    """A declared table with the real one, the one that verifies erasures, and that of the archive."""

    name: str
    declared: TableConfig
    table: Table
    reading: Table
    archive: Table | None = None


def bind_tables(
    engine: Engine, tables: Mapping[str, TableConfig]
) -> tuple[list[BoundTable], list[Problem]]:
    """Return the bound tables, and the problems with their paths below `tables`."""
    metadata = MetaData()
    bounds: list[BoundTable] = []
    problems: list[Problem] = []
    for name, declared in tables.items():
        reading = declared.verify
        real, schema = declared.table or name, declared.schema
        table = _reflect_table(engine, metadata, real, schema)
        reading_table = _reflect_table(
            engine, metadata, reading.table or real, reading.schema or schema
        )
        archive = declared.transfer if isinstance(declared.transfer, ArchiveTable) else None
        archive_table = None
        if archive:
            place = archive.schema or schema
            archive_table = _reflect_table(engine, metadata, archive.into, place)
        if table is None:
            problems.append(((name,), "does not exist in the database"))
        elif reading_table is None:
            problems.append(((name, "verify", "table"), "does not exist in the database"))
        elif archive and archive_table is None:
            problems.append(((name, "transfer", "into"), "does not exist in the database"))
        else:
            bound = BoundTable(
                name=name,
                declared=declared,
                table=table,
                reading=reading_table,
                archive=archive_table,
            )
            problems += [((name, *path), problem) for path, problem in _binding_problems(bound)]
            problems += [
                ((name, *path), problem) for path, problem in _write_problems(engine, bound)
            ]
            bounds.append(bound)
    return bounds, problems


def archived_columns(declared: TableConfig) -> tuple[str, ...]:
    """Return the columns that a transfer copies."""
    if not isinstance(declared.transfer, ArchiveTable):
        return ()
    return tuple(dict.fromkeys((*declared.match, *declared.transfer.columns)))


def _binding_problems(bound: BoundTable) -> Iterator[Problem]:
    """Yield what is declared of a table and is different in the database."""
    declared, table, reading_table = bound.declared, bound.table, bound.reading
    for path, column in _columns(declared):
        if column not in table.c:
            yield path, f"the table has no column of that name, got {column!r}"
    if bound.archive is not None:
        for column in archived_columns(declared):
            if column not in bound.archive.c:
                yield ("transfer", "into"), f"{bound.archive.name} has no column {column!r}"
    for column in (*declared.verify.match, *declared.verify.holds):
        if column not in reading_table.c:
            yield ("verify",), f"{reading_table.name} has no column {column!r}"
    for matched, match in ((table, declared.match), (reading_table, declared.verify.match)):
        for column in match:
            if column in matched.c and not supports_equality(matched.c[column]):
                kind = matched.c[column].type
                yield ("match", column), f"has type {kind!r}, which cannot be compared with a key"
    for column in declared.verify.holds:
        if column not in table.c and any(change.replaces for change in _changes(declared).values()):
            yield (
                ("verify", "holds"),
                f"{table.name} has no column {column!r}, so its replacement could not be distinguished"
                f" from the original; let {reading_table.name} show it under the same name",
            )


def _write_problems(engine: Engine, bound: BoundTable) -> Iterator[Problem]:
    """Yield the declared values that cannot be written into a table."""
    declared, columns = bound.declared, bound.table.c
    for action, change in _changes(declared).items():
        for name, value in (change.set or {}).items():
            if name in columns:
                yield from _check_value(engine, (action, "set", name), columns[name], value)
        for name in change.hash:
            if name in columns and (problem := _hash_problem(columns[name])):
                yield (action, "hash"), f"{name!r} {problem}"
    if isinstance(declared.restrict, RestrictionFlag) and declared.restrict.column in columns:
        column = columns[declared.restrict.column]
        for key in ("restricted", "lifted"):
            value = getattr(declared.restrict, key)
            yield from _check_value(engine, ("restrict", key), column, value)
    if isinstance(declared.notify, NoticeColumn) and declared.notify.column in columns:
        column = columns[declared.notify.column]
        yield from _check_value(engine, ("notify", "column"), column, _SAMPLE_END)
    for field, name in (declared.rectify or {}).items():
        if name in columns and (problem := write_problem(columns[name])):
            yield ("rectify", field), f"{name!r} {problem}"


def _check_value(
    engine: Engine, path: DocumentPath, column: Column[Any], value: Any
) -> Iterator[Problem]:
    problem = write_problem(column, is_shared=value is not None) or _conversion_problem(
        engine, column, value
    )
    if problem:
        yield path, f"{column.name!r} {problem}"


def _conversion_problem(engine: Engine, column: Column[Any], value: Any) -> str | None:
    try:
        column_value = to_column_value(column, value, engine.dialect.name)
    except ValueNotStorable as cause:
        return f"{cause}, got {value!r}"
    if value is None or is_text(column):
        return None
    try:
        with (
            engine.connect() as connection
        ):  # the database converts it: find out now whether it can
            connection.execute(select(column_value))
    except DBAPIError as cause:
        if cause.connection_invalidated or getattr(cause.orig, "sqlstate", None) is None:
            raise
        return f"has type {column.type!r}, got {value!r}"
    return None


def _hash_problem(column: Column[Any]) -> str | None:
    length = getattr(column.type, "length", None)
    if not is_text(column) or (length is not None and length < PSEUDONYM_LENGTH):
        return f"has no room for a hash, which takes {PSEUDONYM_LENGTH} characters"
    return write_problem(column)


def _changes(declared: TableConfig) -> dict[str, ColumnChange]:
    declared_changes = {"erase": declared.erase, "pseudonymise": declared.pseudonymise}
    return {
        action: change
        for action, change in declared_changes.items()
        if isinstance(change, ColumnChange)
    }


def matching_rows(
    table: Table, value_sets: Sequence[Mapping[str, str]], dialect: str
) -> list[ColumnElement[bool]]:
    """Return conditions that match exactly the rows with one of these sets of values.

    Values that no row can have (letters in a number, NUL in PostgreSQL's text) match no row.
    """
    conditions = []
    for values in {tuple(sorted(values.items())): values for values in value_sets}.values():
        try:
            equal = [equals_key(table.c[name], text, dialect) for name, text in values.items()]
        except ValueNotStorable:
            continue
        conditions.append(and_(*equal))
    return [
        or_(false(), *conditions[start : start + _CHUNK_SIZE])
        for start in range(0, len(conditions), _CHUNK_SIZE)
    ]


def _reflect_table(
    engine: Engine, metadata: MetaData, name: str, schema: str | None
) -> Table | None:
    try:
        return Table(name, metadata, schema=schema, autoload_with=engine, resolve_fks=False)
    except NoSuchTableError:
        return None


def _columns(declared: TableConfig) -> list[tuple[DocumentPath, str]]:
    columns: list[tuple[DocumentPath, str]] = [(("match", name), name) for name in declared.match]
    for action, change in _changes(declared).items():
        columns += [((action,), name) for name in change.columns]
    if isinstance(declared.restrict, RestrictionFlag):
        columns.append((("restrict", "column"), declared.restrict.column))
    if isinstance(declared.notify, NoticeColumn):
        columns.append((("notify", "column"), declared.notify.column))
    if isinstance(declared.transfer, ArchiveTable):
        columns += [(("transfer", "columns"), name) for name in declared.transfer.columns]
    columns += [(("disclose",), name) for name in declared.disclose or ()]
    columns += [(("rectify", field), name) for field, name in (declared.rectify or {}).items()]
    return columns
