"""The vault adapter: erases what the log holds of a record by destroying the record's key.

The log is storage. Nobody works from it: who reads it is a system of its own, and is told by itself to
restrict, to disclose or to rectify. So the vault only destroys keys, and says whether they are gone.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.exc import DBAPIError, OperationalError

from services.agent.adapters.base import CommandTask
from services.agent.command import Command
from services.agent.result import Result, RetryLater
from services.crypto.shredding import Shredder
from services.policy.ids import event_id, old_event_id

_ONLY_STORED = "the log only stores; whoever reads it is told by itself"


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultAdapter:
    """The keys of one system; several systems may share a vault."""

    shredder: Shredder
    system: str
    encrypted_since: datetime | None = None
    """Events before it went onto the bus in clear, and are gone by the topics' retention. UTC."""

    def execute(self, task: CommandTask) -> Result:
        """Carry a command out. Raises `RetryLater` when the vault cannot be asked."""
        try:
            return self._carry_out(task)
        except DBAPIError as cause:
            if cause.connection_invalidated or isinstance(cause, OperationalError):
                raise RetryLater(f"the vault cannot be asked ({type(cause).__name__})") from cause
            return Result(status="failed", detail=f"the vault: {type(cause).__name__}")

    def _carry_out(self, task: CommandTask) -> Result:
        command = task.command
        match command.action:
            case "erase":
                return self._destroy(command, task.now)
            case "verify":
                return Result(status="done", counts={"keys": self._living(command)})
            case "recall":
                stands = task.recalls != "erase" or self._living(command) == len(
                    self._events(command)
                )
                return Result(status="recalled" if stands else "already_done")
            case "pseudonymise":
                return Result(status="failed", detail="a log cannot be pseudonymised")
        return Result(status="done", counts={"keys": 0}, detail=_ONLY_STORED)

    def _destroy(self, command: Command, now: datetime) -> Result:
        shredded = self.shredder.destroy(self._events(command), self.system, now)
        counts = {"keys": shredded.destroyed + shredded.already_destroyed}
        if shredded.never_existed and not self._went_in_clear(command):
            # Without a key it went onto the bus in clear: its publisher has to be looked at.
            counts["published in clear"] = shredded.never_existed
        has_erased = counts["keys"] or "published in clear" not in counts
        return Result(status="done" if has_erased else "nothing_held", counts=counts)

    def _went_in_clear(self, command: Command) -> bool:
        since = self.encrypted_since
        return since is not None and all(
            record.time and record.time < since for record in command.records
        )

    def _living(self, command: Command) -> int:
        return self.shredder.count_active(self._events(command), self.system)

    def _events(self, command: Command) -> Collection[UUID]:
        ids = {
            event_id(record.type, record.source, record.id): old_event_id(record.source, record.id)
            for record in command.records
        }
        return set(self.shredder.resolve_event_ids(ids).values())
