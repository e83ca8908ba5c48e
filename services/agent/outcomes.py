"""Stores the outcomes of commands in the inbox, from where they are sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import Connection

from services.agent.command import Command
from services.agent.inbox import Inbox
from services.agent.inbox_entry import OPEN, InboxEntry, may_have_run
from services.agent.result import Result

_RECALL_SUCCEEDED = ("recalled", "already_done")


class OutcomeObserver(Protocol):
    """Receives the outcomes of commands: metrics and logs."""

    def command_completed(self, action: str, status: str, after: timedelta) -> None:
        """A command has its final status, `after` its last attempt was issued."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeStore:
    """Stores outcomes. `now` is this machine's clock, UTC."""

    inbox: Inbox
    observer: OutcomeObserver
    now: Callable[[], datetime]

    def answer(self, entry: InboxEntry, command: Command, result: Result) -> bool:
        """Store the result of a command, and return whether the command was still open."""

        def work(connection: Connection) -> bool:
            current = self.inbox.entry(connection, entry.command_id)
            if current is None or current.state not in OPEN:
                return False
            # The controller may have repeated it meanwhile.
            latest = self.inbox.command(current).command
            self.inbox.put(connection, self.inbox.complete(current, latest, result, now))
            if command.action == "recall" and result.status in _RECALL_SUCCEEDED:
                original = self.inbox.entry(connection, command.supersedes or "")
                if original is not None and may_have_run(original):
                    self.inbox.put(connection, self._recall_result(original, result, now))
            return True

        now = self.now()
        stored = self.inbox.ledger.run_in_transaction(work)
        if stored:
            self.observer.command_completed(command.action, result.status, now - entry.issued_at)
        return stored

    def answer_all(self, answers: Sequence[tuple[InboxEntry, Command, Result]]) -> None:
        """Store the results of commands that are still open, in one transaction; none is a recall."""
        by_id = {entry.command_id: (command, result) for entry, command, result in answers}

        def complete(current: InboxEntry) -> InboxEntry:
            latest = self.inbox.command(current).command
            return self.inbox.complete(current, latest, by_id[current.command_id][1], now)

        now = self.now()
        for entry in self.inbox.update_all_open(by_id, complete):
            command, result = by_id[entry.command_id]
            self.observer.command_completed(command.action, result.status, now - entry.issued_at)

    def _recall_result(self, original: InboxEntry, recall: Result, now: datetime) -> InboxEntry:
        """Return the entry of the recalled command, by whether the recall came in time."""
        if recall.status == "recalled":
            return replace(original.completed("recalled", None, now), sealed=None)
        if (
            original.state not in OPEN
        ):  # it was acknowledged as `failed`; the recall reports what became of it
            return replace(original.completed("already_done", None, now), sealed=None)
        counts = json.loads(original.noted) if original.noted else {}
        result = Result(status="done", counts=counts)
        return self.inbox.complete(original, self.inbox.command(original).command, result, now)

    def save_checkpoints(self, counts: Mapping[str, Mapping[str, int]]) -> None:
        """Save counts of commands, by id, before the system changes anything."""
        texts = {command_id: json.dumps(dict(rows)) for command_id, rows in counts.items()}
        self.inbox.update_all_open(
            texts, lambda entry: replace(entry, noted=texts[entry.command_id])
        )
