"""Carries out many commands with one action in one transaction of PostgreSQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Executable
from sqlalchemy.exc import DBAPIError

from schemas.cloudevents import format_rfc3339
from services.agent.adapters.base import CommandTask, SaveCheckpoints
from services.agent.adapters.sql import statements
from services.agent.adapters.sql.binding import BoundTable
from services.agent.adapters.sql.column_values import to_column_value
from services.agent.adapters.sql.config import ColumnChange, NoticeColumn, RestrictionFlag
from services.agent.adapters.sql.results import RowsRemaining, failed_result, result_of_change
from services.agent.adapters.sql.statements import CommandSelection
from services.agent.adapters.sql.together import (
    DIALECT,
    Parameters,
    SharedTable,
    count_by_command,
    share_tables,
)
from services.agent.command import Command
from services.agent.result import Result, RetryLater
from services.policy.actions import VERIFIED


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedExecution:
    """Carries out commands in one database of one system."""

    engine: Engine
    bounds: tuple[BoundTable, ...]
    """The declared tables, in the order in which they are changed."""
    plan: Callable[[Command], CommandSelection]
    """Returns the rows of a command in all tables."""

    def execute(
        self, tasks: Sequence[CommandTask], save_checkpoints: SaveCheckpoints
    ) -> list[Result | RetryLater]:
        """Carry out commands with one action in one transaction; the results are in their order.

        Raises:
            RowsRemaining, StatementError: it was rolled back.
        """
        action = tasks[0].command.action
        selections = [self.plan(task.command) for task in tasks]
        if action == "verify":
            return [*self._verify([task.command for task in tasks])]
        tables = share_tables(selections, self.bounds)
        with self.engine.begin() as connection:
            counts = count_by_command(
                connection,
                selections,
                {table.bound.name: table.count_statements() for table in tables},
            )
            found = {
                task.command.command_id: counted
                for task, counted in zip(tasks, counts, strict=True)
                if any(counted.values())
            }
            if found:
                save_checkpoints(found)  # before any change, in case this run is cut short
            for table in tables:
                for statement, parameters in self._changes(table, tasks):
                    connection.execute(statement, parameters)
            for table in tables:
                deletes = action == "erase" and table.bound.declared.erase == "delete"
                if deletes and any(
                    connection.execute(query, parameters).first()
                    for query, parameters in table.count_statements()
                ):
                    raise RowsRemaining(table.bound.name)
        results: list[Result | RetryLater] = [
            result_of_change(task, selection, counted)
            for task, selection, counted in zip(tasks, selections, counts, strict=True)
        ]
        return self._with_second_reading(tasks, results) if action in VERIFIED else results

    def _changes(
        self, table: SharedTable, tasks: Sequence[CommandTask]
    ) -> Iterator[tuple[Executable, Parameters]]:
        """Yield the statements that carry the commands out in a table."""
        action = tasks[0].command.action
        if action == "transfer":
            yield from table.transfer_statements()
        elif action == "notify":
            yield from self._notices(table, [task.command.erase_by for task in tasks])
        else:
            yield from table.change_statements(self._new_values(table, action))

    @staticmethod
    def _notices(
        table: SharedTable, ends: Sequence[datetime | None]
    ) -> Iterator[tuple[Executable, Parameters]]:
        """Yield the statements that write the announced ends; those of one end are one statement."""
        notice = table.bound.declared.notify
        assert isinstance(notice, NoticeColumn), "a table that writes nothing is not in the plan"
        numbers: defaultdict[datetime, set[int]] = defaultdict(set)
        for number, end in enumerate(ends):
            if end is not None:
                numbers[end].add(number)
        column = table.table.c[notice.column]
        for end, commands in numbers.items():
            part = table.of_commands(commands)
            if part.value_sets:
                value = to_column_value(column, format_rfc3339(end), DIALECT)
                yield from part.change_statements({notice.column: value})

    @staticmethod
    def _new_values(table: SharedTable, action: str) -> Mapping[str, Any] | None:
        """Return what an action writes into the rows of a table; None if it deletes them."""
        declared = table.bound.declared
        if action == "erase":
            if not isinstance(declared.erase, ColumnChange):
                return None
            return statements.assignments(table.table, declared.erase, DIALECT)
        flag = declared.restrict
        assert isinstance(flag, RestrictionFlag), "a table that marks nothing is not in the plan"
        value = flag.restricted if action == "restrict" else flag.lifted
        return {flag.column: to_column_value(table.table.c[flag.column], value, DIALECT)}

    def _with_second_reading(
        self, tasks: Sequence[CommandTask], results: Sequence[Result | RetryLater]
    ) -> list[Result | RetryLater]:
        """Return the results with what was found when the records were read again after the commit."""
        read_again = [
            replace(task.command, action="verify", verifies=task.command.action) for task in tasks
        ]
        try:
            verified = self._verify(read_again)
        except DBAPIError:
            return [*results]  # the erasures are committed, and their verifications follow
        return [
            replace(result, checked=reading.counts)
            if isinstance(result, Result) and result.status == reading.status == "done"
            else result
            for result, reading in zip(results, verified, strict=True)
        ]

    def _verify(self, commands: Sequence[Command]) -> list[Result]:
        selections = [self.plan(command) for command in commands]
        verifies = commands[0].verifies or "erase"
        queries = {
            table.bound.name: table.count_statements(
                statements.still_has_data(table.bound, verifies, DIALECT)
            )
            for table in share_tables(selections, self.bounds)
        }
        with self.engine.connect() as connection:  # not the transaction that erased
            counts = count_by_command(connection, selections, queries)
        return [
            failed_result("; ".join(selection.problems))
            if selection.problems
            else Result(status="done", counts=counted or {"rows": 0})
            for selection, counted in zip(selections, counts, strict=True)
        ]
