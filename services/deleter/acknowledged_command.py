"""A command that is acknowledged: the columns that acknowledgements read and change."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from services.ledger import state_changes, tables
from services.ledger.command_state import SETTLED, CommandEvent, State, next_state


@dataclass(frozen=True, slots=True, kw_only=True)
class AcknowledgedCommand:
    """A command that is acknowledged, or that is recalled, verified or superseded by such a one."""

    command_id: UUID
    system: str
    action: str
    supersedes: UUID | None
    state: State
    created_at: datetime
    first_sent_at: datetime | None
    next_attempt_at: datetime | None
    settled_at: datetime | None
    escalated_at: datetime | None
    outcome: str | None
    follow_up_at: datetime | None

    def after(
        self, event: CommandEvent, now: datetime, outcome: str | None = None
    ) -> AcknowledgedCommand:
        """Return the command after an event; a settled one keeps its outcome.

        Raises:
            IllegalTransition: the event cannot happen in its state.
        """
        state = next_state(self.state, event)
        if state == self.state and (outcome is None or state in SETTLED):
            return self
        changes: dict[str, Any] = {} if outcome is None else {"outcome": outcome}
        return replace(self, **state_changes.columns_for_state(state, now), **changes)

    def changed_columns(self) -> dict[str, Any]:
        """Return its key and every column that acknowledgements change."""
        return {name: getattr(self, name) for name in ("command_id", *_CHANGED)}


_CHANGED: Final = (
    *("state", "next_attempt_at", "settled_at"),
    *("escalated_at", "outcome", "follow_up_at"),
)
ACKNOWLEDGED_COLUMNS: Final = tuple(
    tables.command.c[field.name] for field in fields(AcknowledgedCommand)
)
"""The columns that are read of a command."""
