"""Statements of PostgreSQL about many commands at once: their keys are a table that is joined.

Each command keeps its own count. All commands have the same action, and are about different people.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Enum,
    Executable,
    Integer,
    Select,
    String,
    Table,
    TableValuedAlias,
    Text,
    and_,
    bindparam,
    cast,
    column,
    delete,
    exists,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import TypeEngine

from services.agent.adapters.sql.binding import BoundTable
from services.agent.adapters.sql.column_values import (
    ValueNotStorable,
    column_type,
    key_value,
)
from services.agent.adapters.sql.columns import equals_value
from services.agent.adapters.sql.statements import CommandSelection, copy_to_archive

_COMMAND = "command_number"
DIALECT: Final = "postgresql"


Parameters = Mapping[str, list[Any]]
"""The arrays of a statement, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedTable:
    """The rows of all commands in one table, or in the one that verifies erasures."""

    bound: BoundTable
    table: Table
    value_sets: tuple[tuple[int, Mapping[str, str]], ...]
    """Sets of values by column, each with the number of its command, from 0."""

    def count_statements(
        self, condition: ColumnElement[bool] | None = None
    ) -> Iterator[tuple[Select[Any], Parameters]]:
        """Yield statements that count the rows of each command, or those that meet the condition."""
        keys = self._keys_table()
        joined = keys.join(self.table, self._equals(keys))
        query = select(keys.c[_COMMAND], func.count()).select_from(joined)
        query = query if condition is None else query.where(condition)
        for parameters in self._parameters():
            yield query.group_by(keys.c[_COMMAND]), parameters

    def change_statements(
        self, new_values: Mapping[str, Any] | None
    ) -> Iterator[tuple[Executable, Parameters]]:
        """Yield statements that give the rows' columns new values, or delete the rows where it is None."""
        equals = self._equals(self._keys_table())
        for parameters in self._parameters():
            if new_values is None:
                yield delete(self.table).where(equals), parameters
            else:
                yield update(self.table).where(equals).values(new_values), parameters

    def of_commands(self, numbers: Container[int]) -> SharedTable:
        """Return the rows of some of the commands only."""
        sets = tuple(pair for pair in self.value_sets if pair[0] in numbers)
        return replace(self, value_sets=sets)

    def transfer_statements(self) -> Iterator[tuple[Executable, Parameters]]:
        """Yield statements that copy the rows to the archive, unless it has them."""
        if self.bound.archive is None:
            return
        keys = self._keys_table()
        is_named = exists().select_from(keys).where(self._equals(keys)).correlate(self.table)
        for parameters in self._parameters():
            yield copy_to_archive(self.bound, self.bound.archive, is_named, DIALECT), parameters

    @property
    def _names(self) -> list[str]:
        return sorted(self.value_sets[0][1])

    def _keys_table(self) -> TableValuedAlias:
        """Return the keys as a table: the number of the command, and the values that its rows have.

        Each column is one array, so that the statement is the same for any number of keys.
        """
        types = [(_COMMAND, Integer()), *((_key_name(n), self._key_type(n)) for n in self._names)]
        arrays = (bindparam(f"all_{name}", type_=ARRAY(kind)) for name, kind in types)
        columns = (column(name, kind) for name, kind in types)
        return func.unnest(*arrays).table_valued(*columns, name="termijn_keys").render_derived()

    def _key_type(self, name: str) -> TypeEngine[Any]:
        kind = column_type(self.table.c[name])
        return Text() if isinstance(kind, String) else kind

    def _parameters(self) -> Iterator[Parameters]:
        """Yield the arrays of the keys; values that no row can have are left out."""
        names = self._names
        rows: dict[tuple[Any, ...], None] = {}
        for number, value_set in self.value_sets:
            try:
                keys = [key_value(self.table.c[name], value_set[name], DIALECT) for name in names]
            except ValueNotStorable:
                continue
            rows[(number, *keys)] = None
        if rows:
            arrays = map(list, zip(*rows, strict=True))
            all_names = (_COMMAND, *map(_key_name, names))
            yield {f"all_{name}": array for name, array in zip(all_names, arrays, strict=True)}

    def _equals(self, keys: TableValuedAlias) -> ColumnElement[bool]:
        return and_(
            *(
                equals_value(self.table.c[name], _key_of(keys, self.table.c[name]), DIALECT)
                for name in self._names
            )
        )


def share_tables(
    selections: Sequence[CommandSelection], bounds: Sequence[BoundTable]
) -> list[SharedTable]:
    """Return the tables of all commands, in the order in which they are changed."""
    sets: defaultdict[str, list[tuple[int, Mapping[str, str]]]] = defaultdict(list)
    tables: dict[str, Table] = {}
    for number, selection in enumerate(selections):
        for part in selection.parts:
            tables[part.bound.name] = part.table
            sets[part.bound.name] += [(number, value_set) for value_set in part.value_sets]
    return [
        SharedTable(bound=bound, table=tables[bound.name], value_sets=tuple(sets[bound.name]))
        for bound in bounds
        if bound.name in tables
    ]


def count_by_command(
    connection: Connection,
    selections: Sequence[CommandSelection],
    queries: Mapping[str, Iterator[tuple[Select[Any], Parameters]]],
) -> list[dict[str, int]]:
    """Return the rows of each command by table, zeros included; the queries are by table."""
    counts = [{part.bound.name: 0 for part in selection.parts} for selection in selections]
    for name, statements in queries.items():
        for statement, parameters in statements:
            for number, rows in connection.execute(statement, parameters):
                counts[number][name] += int(rows)
    return counts


def _key_of(keys: TableValuedAlias, real: Column[Any]) -> ColumnElement[Any]:
    """Return the key that a column must equal; an enumeration equals no text."""
    key, kind = keys.c[_key_name(real.name)], column_type(real)
    return cast(key, kind) if isinstance(kind, Enum) else key


def _key_name(name: str) -> str:
    return f"key_{name}"
