"""The vault adapter: erases the encrypted fields of records in the log by destroying the records' keys.

The log only stores data. Each system that reads it gets its own commands to restrict, disclose or rectify.
So this adapter only destroys keys, and verifies that they are destroyed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never
from uuid import UUID

from sqlalchemy.exc import DBAPIError, OperationalError

from services.agent.adapters.base import CommandTask
from services.agent.command import Command
from services.agent.result import Result, RetryLater
from services.crypto.shredding import Shredder
from services.policy.ids import event_id, old_event_id

_IMPOSSIBLE: Mapping[str, str] = {
    "pseudonymise": "a log cannot be pseudonymised",
    "notify": "a log gives no notice",
    "transfer": "keys are not handed over",
}
_NOTHING_TO_CHANGE = "the log only stores; systems that read it get their own commands"


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultAdapter:
    """Destroys the keys of one system; several systems may share a vault."""

    shredder: Shredder
    system: str
    encrypted_since: datetime | None = None
    """Earlier events were published in clear, and are deleted by the topics' retention. UTC."""

    def execute(self, task: CommandTask) -> Result:
        """Carry out a command. Raises `RetryLater` when the vault cannot be reached."""
        try:
            return self._carry_out(task)
        except DBAPIError as cause:
            if cause.connection_invalidated or isinstance(cause, OperationalError):
                raise RetryLater(f"vault: cannot be read ({type(cause).__name__})") from cause
            return Result(status="failed", detail=f"vault: {type(cause).__name__}")

    def _carry_out(self, task: CommandTask) -> Result:
        command = task.command
        match command.action:
            case "erase":
                return self._destroy_keys(command, task.now)
            case "verify":
                return Result(status="done", counts={"keys": self._count_active_keys(command)})
            case "recall":
                is_untouched = task.recalls != "erase" or self._count_active_keys(command) == len(
                    self._events(command)
                )
                return Result(status="recalled" if is_untouched else "already_done")
            case "pseudonymise" | "notify" | "transfer":
                return Result(status="failed", detail=_IMPOSSIBLE[command.action])
            case "restrict" | "lift" | "disclose" | "rectify":
                return Result(status="done", counts={"keys": 0}, detail=_NOTHING_TO_CHANGE)
            case _:
                assert_never(command.action)

    def _destroy_keys(self, command: Command, now: datetime) -> Result:
        shredded = self.shredder.destroy(self._events(command), self.system, now)
        counts = {"keys": shredded.destroyed + shredded.already_destroyed}
        if shredded.never_existed and not self._was_published_unencrypted(command):
            # Without a key it was published in clear: somebody has to check its publisher.
            counts["published in clear"] = shredded.never_existed
        has_erased = counts["keys"] or "published in clear" not in counts
        if not has_erased:
            return Result(status="nothing_held", counts=counts)
        return Result(
            status="done", counts=counts, checked={"keys": self._count_active_keys(command)}
        )

    def _was_published_unencrypted(self, command: Command) -> bool:
        since = self.encrypted_since
        return since is not None and all(
            record.time and record.time < since for record in command.records
        )

    def _count_active_keys(self, command: Command) -> int:
        return self.shredder.count_active(self._events(command), self.system)

    def _events(self, command: Command) -> Collection[UUID]:
        ids = {
            event_id(record.type, record.source, record.id): old_event_id(record.source, record.id)
            for record in command.records
        }
        return set(self.shredder.resolve_event_ids(ids).values())
