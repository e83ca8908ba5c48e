"""Statements of PostgreSQL about many commands at once: their keys are a table that is joined.

Each command keeps its own count. All commands have the same action, and are about different people.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
    Text,
    Values,
    and_,
    cast,
    column,
    delete,
    func,
    select,
    update,
    values,
)

from services.agent.adapters.sql.binding import BoundTable
from services.agent.adapters.sql.column_values import (
    ValueNotStorable,
    column_type,
    key_value,
)
from services.agent.adapters.sql.columns import equals_value
from services.agent.adapters.sql.statements import CommandSelection

_CHUNK_SIZE = 500
"""Keys that one statement names."""
_COMMAND = "command_number"
DIALECT: Final = "postgresql"


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedTable:
    """The rows of all commands in one table, or in the one that verifies erasures."""

    bound: BoundTable
    table: Table
    value_sets: tuple[tuple[int, Mapping[str, str]], ...]
    """Sets of values by column, each with the number of its command, from 0."""

    def count_statements(
        self, condition: ColumnElement[bool] | None = None
    ) -> Iterator[Select[Any]]:
        """Yield statements that count the rows of each command, or those that meet the condition."""
        for keys in self._keys():
            joined = keys.join(self.table, self._equals(keys))
            query = select(keys.c[_COMMAND], func.count()).select_from(joined)
            query = query if condition is None else query.where(condition)
            yield query.group_by(keys.c[_COMMAND])

    def change_statements(self, new_values: Mapping[str, Any] | None) -> Iterator[Executable]:
        """Yield statements that give the rows' columns new values, or delete the rows where it is None."""
        for keys in self._keys():
            if new_values is None:
                yield delete(self.table).where(self._equals(keys))
            else:
                yield update(self.table).where(self._equals(keys)).values(new_values)

    @property
    def _names(self) -> list[str]:
        return sorted(self.value_sets[0][1])

    def _keys(self) -> Iterator[Values]:
        """Yield the keys as tables: the number of the command, and the values that its rows have.

        Values that no row can have are left out.
        """
        names = self._names
        columns = [self.table.c[name] for name in names]
        rows: dict[tuple[Any, ...], None] = {}
        for number, value_set in self.value_sets:
            try:
                keys = [key_value(self.table.c[name], value_set[name], DIALECT) for name in names]
            except ValueNotStorable:
                continue
            rows[(number, *keys)] = None
        wanted = list(rows)
        for start in range(0, len(wanted), _CHUNK_SIZE):
            shape = (column(_COMMAND, Integer), *map(_key_column, columns))
            yield values(*shape, name="wanted").data(wanted[start : start + _CHUNK_SIZE])

    def _equals(self, keys: Values) -> ColumnElement[bool]:
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
    queries: Mapping[str, Iterator[Select[Any]]],
) -> list[dict[str, int]]:
    """Return the rows of each command by table, zeros included; the queries are by table."""
    counts = [{part.bound.name: 0 for part in selection.parts} for selection in selections]
    for name, statements in queries.items():
        for statement in statements:
            for number, rows in connection.execute(statement):
                counts[number][name] += int(rows)
    return counts


def _key_column(real: Column[Any]) -> Any:
    kind = column_type(real)
    return column(_key_name(real.name), Text() if isinstance(kind, String) else kind)


def _key_of(keys: Values, real: Column[Any]) -> ColumnElement[Any]:
    """Return the key that a column must equal; an enumeration equals no text."""
    key, kind = keys.c[_key_name(real.name)], column_type(real)
    return cast(key, kind) if isinstance(kind, Enum) else key


def _key_name(name: str) -> str:
    return f"key_{name}"
