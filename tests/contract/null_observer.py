"""A deleter's sight and observer that sees everything and keeps nothing; tests override what they ask."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from services.deleter.dispatch import SentCommand


class NullObserver:
    """Sees everything, says nothing."""

    def lagging_partitions(self) -> Sequence[str]:
        return ()

    def waiting_for_catch_up(self, spots: Sequence[str]) -> None:
        """The deleter is blind, or sees."""

    def commands_sent(
        self, commands: Sequence[SentCommand], nothing_due_at: datetime | None
    ) -> None:
        """Commands went out."""

    def commands_escalated(self, commands: Sequence[tuple[str, UUID]]) -> None:
        """A system was silent."""

    def command_undeliverable(self, system: str, command: UUID, why: str) -> None:
        """The bus does not take it."""

    def rate_cap_reached(self, cap: int) -> None:
        """The cap was reached."""
