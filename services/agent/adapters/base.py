"""The interface of adapters: the task that an adapter gets, and its one method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from services.agent.command import Command
from services.agent.result import InvalidResult, Pending, Result, RetryLater
from services.kafka.trace_context import Trace, trace_of_command


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandTask:
    """A command that is to be carried out now, with what earlier runs saved."""

    command: Command
    run: int
    """The number of this run, from 1: above 1 an earlier run was cut short, failed, or is pending."""
    checkpoint: Mapping[str, int] | None
    """The counts that an earlier run saved, or None; for a recall, those of the recalled command."""
    save_checkpoint: Callable[[Mapping[str, int]], None]
    """Saves counts for the next run before anything is changed, in case this run is cut short."""
    now: datetime
    """UTC."""
    recalls: str | None = None
    """For a recall: the action of the recalled command."""
    corrections: Mapping[str, Any] | None = field(default=None, repr=False)
    """For rectify: the corrected values by field, if the controller sent them."""

    @property
    def trace(self) -> Trace:
        """The trace to which the system's own spans belong."""
        return trace_of_command(self.command.command_id)


Reply = Result | RetryLater | InvalidResult
"""The content of a system's reply about a command; an error takes the place of a result."""
Outcome = Reply | Pending
"""What became of a command that was carried out with others."""
SaveCheckpoints = Callable[[Mapping[str, Mapping[str, int]]], None]
"""Saves counts of commands, by id, before anything is changed."""


class Adapter(Protocol):
    """Carries out commands in the system. Several threads call it, for different subjects."""

    def execute(self, task: CommandTask) -> Result | Pending:
        """Carry out a command; a repetition must have the same effect as once.

        A recall comes only for a command that was started and is open, or was given up with an unknown
        outcome. Its result is `recalled` where the system still holds what it held before, else
        `already_done`.

        Raises:
            RetryLater: the system could not be asked; the outcome is not known.
            InvalidResult: the system's response is not a result.
        """


@runtime_checkable
class BatchAdapter(Protocol):
    """An adapter that carries out many commands at once, in fewer steps than one after the other."""

    def is_batched(self, action: str) -> bool:
        """Return whether commands with an action may be carried out together."""

    def execute_together(
        self, tasks: Sequence[CommandTask], save_checkpoints: SaveCheckpoints
    ) -> Sequence[Outcome]:
        """Carry out commands with one action, about different people; return the outcome of each.

        A command that fails changes nothing for the others. `RetryLater` in the place of a result: the
        system could not be asked, and the outcome is not known.
        """
