"""What an adapter is asked, and what it can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from services.agent.command import Command
from services.agent.result import Pending, Result
from services.kafka.trace_context import Trace, trace_of_command


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandTask:
    """A command that is to be carried out now."""

    command: Command
    run: int
    """How often it was begun, from 1: above that an earlier run was cut short, failed, or is pending."""
    checkpoint: Mapping[str, int] | None
    """What an earlier run noted, if it did; for a recall, what a run of the recalled command noted."""
    save_checkpoint: Callable[[Mapping[str, int]], None]
    """Keeps counts for the next run, before anything is done: whatever ends this one leaves them."""
    now: datetime
    """UTC."""
    recalls: str | None = None
    """For a recall: the action of the command that it takes back."""
    corrections: Mapping[str, Any] | None = field(default=None, repr=False)
    """For rectify: the right values by field, if the controller sent them."""

    @property
    def trace(self) -> Trace:
        """Where what the system does for it stands."""
        return trace_of_command(self.command.command_id)


class Adapter(Protocol):
    """How commands reach the system. It is called by several threads, for different subjects."""

    def execute(self, task: CommandTask) -> Result | Pending:
        """Carry a command out; doing so twice comes to the same.

        A recall only comes for what was begun and not answered yet, or given up without knowing what
        became of it, and is answered `recalled` where the system still holds what it held before, else
        `already_done`.

        Raises:
            RetryLater: the system could not be asked; nothing is known of the outcome.
            InvalidResult: it answered what is no answer.
        """
