"""Systems that operators have paused or drained, and the commands that may still be sent to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select

from services.ledger import tables
from services.ledger.rows import CommandRow
from services.policy.actions import PROTECTIVE

SCOPE: Final = "deleter"
"""The scope of a pause under which nothing is sent to any system, except commands that protect."""
_SYSTEM_PREFIX: Final = "system:"


@dataclass(frozen=True, slots=True, kw_only=True)
class PausedSystems:
    """Systems that are sent no command (`paused`), or no new one (`drained`), except those that protect."""

    paused: frozenset[str] = frozenset()
    drained: frozenset[str] = frozenset()
    everything: bool = False
    """Whether the deleter itself is paused."""

    @classmethod
    def load(cls, connection: Connection) -> PausedSystems:
        """Return the systems that are paused and drained now."""
        states = {row.scope: row.state for row in connection.execute(select(tables.control))}
        systems = {
            scope.removeprefix(_SYSTEM_PREFIX): state
            for scope, state in states.items()
            if scope.startswith(_SYSTEM_PREFIX)
        }
        return cls(
            paused=frozenset(name for name, state in systems.items() if state == "paused"),
            drained=frozenset(name for name, state in systems.items() if state == "drained"),
            everything=states.get(SCOPE) == "paused",
        )

    def holds_back(self, command: CommandRow) -> bool:
        """Return whether a leased command waits for a pause to end; under a drain it is sent."""
        if command.action in PROTECTIVE:
            return False
        return self.everything or command.system in self.paused
