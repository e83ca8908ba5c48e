"""A deleter's catch-up check that always passes and an observer that ignores everything."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from services.deleter.command_recovery import RecoveryResult
from services.deleter.dispatch import SentCommand
from services.deleter.surge import Surge


class NullObserver:
    """Passes the catch-up check and ignores every report; tests override what they need."""

    def lagging_partitions(self) -> Sequence[str]:
        return ()

    def waiting_for_catch_up(self, spots: Sequence[str]) -> None:
        """Ignore whether the deleter waits for catch-up."""

    def commands_sent(
        self, commands: Sequence[SentCommand], nothing_due_at: datetime | None
    ) -> None:
        """Ignore sent commands."""

    def commands_escalated(self, commands: Sequence[tuple[str, UUID]]) -> None:
        """Ignore an escalation."""

    def command_undeliverable(self, system: str, command: UUID, why: str) -> None:
        """Ignore a command that the bus does not take."""

    def commands_recovered(self, result: RecoveryResult) -> None:
        """Ignore recovered commands."""

    def rate_cap_reached(self, cap: int) -> None:
        """Ignore that the hourly cap was reached."""

    def surge_found(self, surges: Sequence[Surge]) -> None:
        """Ignore a surge."""

    def surge_not_compared(self) -> None:
        """Ignore that a forecast is missing."""
