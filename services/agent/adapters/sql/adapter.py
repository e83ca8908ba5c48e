"""Carries out commands in the system's own database, each in one transaction."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, Engine, Executable
from sqlalchemy.exc import DBAPIError, OperationalError, StatementError

from schemas.cloudevents import format_rfc3339
from services.agent.adapters.base import CommandTask, SaveCheckpoints
from services.agent.adapters.sql import statements
from services.agent.adapters.sql.binding import BoundTable
from services.agent.adapters.sql.column_values import ValueNotStorable, as_json
from services.agent.adapters.sql.config import ColumnChange, NoticeColumn, RestrictionFlag
from services.agent.adapters.sql.results import (
    RowsRemaining,
    build_result,
    failed_result,
    result_of_change,
)
from services.agent.adapters.sql.shared_execution import SharedExecution
from services.agent.adapters.sql.statements import CommandSelection, TableSelection
from services.agent.command import Command, CommandRecord
from services.agent.result import DisclosedRecord, Result, RetryLater
from services.policy.actions import ABOUT_COMMANDS, VERIFIED
from services.storage.database import describe_refusal

_RETRYABLE_SQLSTATES = ("40P01", "40001", "55P03", "57")
"""Deadlock, serialisation failure, lock not available, operator intervention."""


_BATCHED_ACTIONS = ("erase", "restrict", "lift", "notify", "transfer", "verify")


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlAdapter:
    """Carries out commands in one database of one system."""

    engine: Engine
    bounds: tuple[BoundTable, ...]
    """The declared tables, in the order in which they are changed."""
    without_rows: frozenset[str] = frozenset()
    """Types of events of which this database has no rows, as the team declares."""
    pseudonym_key: bytes = field(default=b"", repr=False)

    def execute(self, task: CommandTask) -> Result:
        """Carry out a command. Raises `RetryLater` when the database cannot be reached."""
        act = self._executors()[task.command.action]
        try:
            return act(task)
        except RowsRemaining as remaining:
            return failed_result(f"{remaining.table}: rows are still there after the erasure")
        except ValueNotStorable as cause:
            return failed_result(f"corrections: a value does not fit its column: {cause}")
        except DBAPIError as cause:
            if _is_retryable(cause):
                raise RetryLater(f"database: {describe_refusal(cause)}") from cause
            return failed_result(describe_refusal(cause))
        except StatementError as cause:
            return failed_result(f"a value does not fit its column ({type(cause.orig).__name__})")

    def is_batched(self, action: str) -> bool:
        """Return whether commands with an action may share a transaction; on SQLite none may."""
        return self._dialect == "postgresql" and action in _BATCHED_ACTIONS

    def execute_together(
        self, tasks: Sequence[CommandTask], save_checkpoints: SaveCheckpoints
    ) -> Sequence[Result | RetryLater]:
        """Carry out commands in one transaction; where that fails, in two halves, down to each alone."""
        if len(tasks) == 1:
            try:
                return [self.execute(tasks[0])]
            except RetryLater as cause:
                return [cause]
        try:
            shared = SharedExecution(engine=self.engine, bounds=self.bounds, plan=self._plan)
            return shared.execute(tasks, save_checkpoints)
        except (RowsRemaining, StatementError) as cause:  # a DBAPIError is a StatementError too
            if isinstance(cause, DBAPIError) and _is_retryable(cause):
                return [RetryLater(f"database: {describe_refusal(cause)}") for _ in tasks]
            middle = len(tasks) // 2
            return [
                *self.execute_together(tasks[:middle], save_checkpoints),
                *self.execute_together(tasks[middle:], save_checkpoints),
            ]

    def steps(self, command: Command) -> list[Executable]:
        """Return the statements of a command, in order, as far as they do not depend on rows."""
        with self.engine.connect() as connection:
            return [
                statement
                for part in self._plan(command).parts
                for statement in self._render(connection, part, command)
            ]

    def _render(
        self, connection: Connection, part: TableSelection, command: Command
    ) -> Iterable[Executable]:
        match command.action:
            case "erase":
                yield from self._erase_statements(connection, part)
            case "restrict" | "lift":
                yield from self._flag_statements(part, command.action)
            case "transfer":
                yield from statements.transfer_statement(part)
            case "notify":
                yield from self._notice_statements(part, command)
            case "pseudonymise":
                yield from self._pseudonymise_statements(connection, part)
            case "disclose":
                yield from statements.disclose_statement(
                    part, part.bound.declared.disclose or (), self._dialect
                )
            case "rectify":  # the corrected value is encrypted, so the statement shows NULL
                fields = dict.fromkeys(command.corrected_fields or ())
                yield from statements.rectify_statement(part, fields, self._dialect)
            case "verify":
                yield from statements.verify_statement(
                    part, command.verifies or "erase", self._dialect
                )

    def validate(self, command: Command) -> tuple[str, ...]:
        """Return what of a command could not be carried out, without personal data."""
        return self._plan(command).problems

    def _executors(self) -> Mapping[str, Callable[[CommandTask], Result]]:
        return {
            "erase": lambda task: self._change(task, self._erase_statements),
            "pseudonymise": lambda task: self._change(task, self._pseudonymise_statements),
            "restrict": lambda task: self._change(
                task, lambda _, part: self._flag_statements(part, "restrict")
            ),
            "lift": lambda task: self._change(
                task, lambda _, part: self._flag_statements(part, "lift")
            ),
            "notify": lambda task: self._change(
                task, lambda _, part: self._notice_statements(part, task.command)
            ),
            "transfer": lambda task: self._change(
                task, lambda _, part: statements.transfer_statement(part)
            ),
            "rectify": self._rectify,
            "disclose": self._disclose,
            "verify": self._verify,
            "recall": self._recall,
        }

    def _plan(self, command: Command) -> CommandSelection:
        """Return the command's selection, without tables for which the action is not declared."""
        rereads = command.action in ABOUT_COMMANDS
        selection = statements.select_records(
            command, self.bounds, self.without_rows, self._dialect, rereads=rereads
        )
        declared_action = {"lift": "restrict", "verify": command.verifies or "erase"}.get(
            command.action, command.action
        )
        undeclared = [
            part
            for part in selection.parts
            if declared_action in ("pseudonymise", "restrict", "disclose", "notify", "transfer")
            and getattr(part.bound.declared, declared_action) is None
        ]
        parts = [
            part
            for part in selection.parts
            if part not in undeclared
            and (declared_action != "rectify" or part.bound.declared.rectify)
            and getattr(part.bound.declared, declared_action, None) != "nothing"
        ]
        return CommandSelection(
            parts=tuple(parts),
            problems=(
                *selection.problems,
                *(
                    f"{part.bound.name}: does not declare how to {command.action}"
                    for part in undeclared
                ),
            ),
        )

    def _change(
        self,
        task: CommandTask,
        build_statements: Callable[[Connection, TableSelection], Iterable[Executable]],
    ) -> Result:
        selection = self._plan(task.command)
        with self.engine.begin() as connection:
            counts = {
                part.bound.name: _count_rows(connection, statements.count_statement(part))
                for part in selection.parts
            }
            if any(counts.values()):
                task.save_checkpoint(counts)  # before any change, in case this run is cut short
            for part in selection.parts:
                for statement in build_statements(connection, part):
                    connection.execute(statement)
            for part in selection.parts:
                deletes = task.command.action == "erase" and part.bound.declared.erase == "delete"
                if deletes and _count_rows(connection, statements.count_statement(part)):
                    raise RowsRemaining(part.bound.name)
        result = result_of_change(task, selection, counts)
        if task.command.action in VERIFIED and result.status == "done":
            return replace(result, checked=self._read_again(task))
        return result

    def _read_again(self, task: CommandTask) -> Mapping[str, int] | None:
        """Read again after the commit, as a verification does; None if that fails."""
        command = replace(task.command, action="verify", verifies=task.command.action)
        try:
            verified = self._verify(replace(task, command=command))
        except DBAPIError:
            return None  # the erasure is committed, and its verification follows
        return verified.counts if verified.status == "done" else None

    def _pseudonymise_statements(
        self, connection: Connection, part: TableSelection
    ) -> Iterable[Executable]:
        change = part.bound.declared.pseudonymise
        if not isinstance(change, ColumnChange):
            return ()
        return statements.pseudonymise_statement(connection, part, change, self.pseudonym_key)

    def _rectify(self, task: CommandTask) -> Result:
        corrections = task.corrections or {}
        types = {record.type for record in task.command.records}
        fields = {
            name
            for bound in self.bounds
            if types & set(bound.declared.events)
            for name in bound.declared.rectify or {}
        }
        undeclared = sorted(corrections.keys() - fields)
        result = self._change(
            task, lambda _, part: statements.rectify_statement(part, corrections, self._dialect)
        )
        if not undeclared:
            return result
        has_rows = any(result.counts.values())
        detail = f"rectify: no column is declared for {', '.join(undeclared)}"
        return replace(result, status="partial" if has_rows else "failed", detail=detail[:300])

    def _disclose(self, task: CommandTask) -> Result:
        selection = self._plan(task.command)
        counts = {part.bound.name: 0 for part in selection.parts}
        records: list[DisclosedRecord] = []
        disclosed: set[tuple[str, str]] = set()
        with self.engine.connect() as connection:
            for record in task.command.records:
                for bound, data in self._rows(connection, replace(task.command, records=(record,))):
                    place = (bound.name, json.dumps(data))
                    if bound.declared.whole_subject and place in disclosed:
                        continue  # disclosed with another record already
                    disclosed.add(place)
                    counts[bound.name] += 1
                    records.append(_disclosed_record(record, data))
        return replace(build_result(selection, counts), records=tuple(records))

    def _rows(
        self, connection: Connection, command: Command
    ) -> Iterable[tuple[BoundTable, dict[str, Any]]]:
        for part in self._plan(command).parts:
            columns = part.bound.table.c
            for query in statements.disclose_statement(
                part, part.bound.declared.disclose or (), self._dialect
            ):
                for row in connection.execute(query).mappings():
                    yield (
                        part.bound,
                        {n: as_json(columns[n], value, self._dialect) for n, value in row.items()},
                    )

    def _verify(self, task: CommandTask) -> Result:
        selection = self._plan(task.command)
        with self.engine.connect() as connection:  # not the transaction that erased
            counts = self._count_remaining(connection, selection, task.command.verifies or "erase")
        if selection.problems:
            return failed_result("; ".join(selection.problems))
        return Result(status="done", counts=counts or {"rows": 0})

    def _recall(self, task: CommandTask) -> Result:
        selection = self._plan(task.command)
        if task.recalls in VERIFIED and not selection.problems:
            with self.engine.connect() as connection:
                has_rows = any(self._count_remaining(connection, selection, task.recalls).values())
            return Result(
                status="recalled" if has_rows or task.checkpoint is None else "already_done"
            )
        return Result(status="recalled" if task.checkpoint is None else "already_done")

    def _count_remaining(
        self, connection: Connection, selection: CommandSelection, verifies: str
    ) -> dict[str, int]:
        return {
            part.bound.name: _count_rows(
                connection, statements.verify_statement(part, verifies, self._dialect)
            )
            for part in selection.parts
        }

    def _erase_statements(self, _: Connection, part: TableSelection) -> Iterable[Executable]:
        return statements.erase_statement(part, self._dialect)

    def _flag_statements(self, part: TableSelection, action: str) -> Iterable[Executable]:
        flag = part.bound.declared.restrict
        if not isinstance(flag, RestrictionFlag):
            return ()
        value = flag.restricted if action == "restrict" else flag.lifted
        return statements.set_column_statement(part, flag.column, value, self._dialect)

    def _notice_statements(self, part: TableSelection, command: Command) -> Iterable[Executable]:
        notice = part.bound.declared.notify
        if not isinstance(notice, NoticeColumn) or command.erase_by is None:
            return ()
        end = format_rfc3339(command.erase_by)
        return statements.set_column_statement(part, notice.column, end, self._dialect)

    @property
    def _dialect(self) -> str:
        return self.engine.dialect.name


def _is_retryable(cause: DBAPIError) -> bool:
    """Return whether the database may carry out the same later."""
    code = str(getattr(cause.orig, "sqlstate", None) or "")
    return (
        cause.connection_invalidated
        or code.startswith(_RETRYABLE_SQLSTATES)
        or isinstance(cause, OperationalError)
    )


def _count_rows(connection: Connection, queries: Iterable[Any]) -> int:
    return sum(int(connection.execute(query).scalar_one()) for query in queries)


def _disclosed_record(record: CommandRecord, data: Mapping[str, Any]) -> DisclosedRecord:
    time = format_rfc3339(record.time) if record.time else None
    return DisclosedRecord(type=record.type, id=record.id, time=time, data=data)
