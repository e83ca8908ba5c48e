"""Collects what happens to commands, for the audit log: one entry for all commands of a message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Connection

from schemas.cloudevents import format_rfc3339
from services.ledger.command_state import State
from services.ledger.item_states import write_states
from services.storage import audit_outbox
from services.storage.audit_outbox import AuditEntry, AuditKind


class LoggedCommand(Protocol):
    """The columns of a command that the audit log needs."""

    @property
    def command_id(self) -> UUID:
        """Its id."""

    @property
    def system(self) -> str:
        """The system that has to carry it out."""

    @property
    def action(self) -> str:
        """What the system has to do, such as `erase`."""

    @property
    def message_id(self) -> int | None:
        """The message in which it was last sent; None before that."""

    @property
    def item(self) -> int | None:
        """Its place in that message, counted from 0."""


@dataclass(slots=True, kw_only=True)
class _Step:
    """What has happened to commands of one message, or to commands that were not sent."""

    kind: AuditKind
    message_id: int | None
    body: Mapping[str, Any]
    states: dict[int, State] = field(default_factory=dict)
    unsent: int = 0
    answered: list[datetime] = field(default_factory=list)

    def entry(self, now: datetime) -> AuditEntry:
        body = dict(self.body)
        if self.answered:
            first, last = min(self.answered), max(self.answered)
            body["answered_at"] = format_rfc3339(last)
            if first != last:
                body["answered_from"] = format_rfc3339(first)
        if self.message_id is None:
            return AuditEntry(now, self.kind, {**body, "commands": self.unsent})
        return AuditEntry(now, self.kind, body, self.message_id, write_states(self.states))


@dataclass(slots=True, kw_only=True)
class StepLog:
    """The steps of commands in one transaction.

    Commands of one message to which the same happened are one step; those that are in no message are only
    counted, by system and action. The steps of each command stay in their order.
    """

    _steps: list[_Step] = field(default_factory=list)
    _places: dict[tuple[object, ...], int] = field(default_factory=dict)
    """By content, the place of the last step."""
    _last: dict[UUID, int] = field(default_factory=dict)
    """By command, the place of its last step."""

    def add(
        self,
        kind: AuditKind,
        command: LoggedCommand,
        state: State,
        body: Mapping[str, Any],
        answered_at: datetime | None = None,
    ) -> None:
        """Add what happened to a command, and the state that it is in afterwards."""
        if command.message_id is None:
            body = {**body, "system": command.system, "action": command.action, "state": state}
        content = (kind, command.message_id, *body, *map(_hashable, body.values()))
        place = self._places.get(content, -1)
        if place <= self._last.get(command.command_id, -1):
            place = self._places[content] = len(self._steps)
            self._steps.append(_Step(kind=kind, message_id=command.message_id, body=body))
        self._last[command.command_id] = place
        step = self._steps[place]
        if command.item is None:
            step.unsent += 1
        else:
            step.states[command.item] = state
        if answered_at is not None:
            step.answered.append(answered_at)

    def enqueue(self, connection: Connection, now: datetime) -> None:
        """Write the steps to the outbox of the audit log; they happened at `now`, UTC."""
        audit_outbox.enqueue(connection, [step.entry(now) for step in self._steps])


def _hashable(value: Any) -> Any:
    return tuple(value.items()) if isinstance(value, dict) else value
