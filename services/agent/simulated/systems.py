"""Simulated downstream systems: each holds data as the policy says, and acknowledges commands.

Some are slow, refuse, or stay silent, to show how Termijn handles that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from schemas.cloudevents import CloudEvent
from services.agent.adapters.base import CommandTask
from services.agent.adapters.vault import VaultAdapter
from services.agent.command import parse_command
from services.agent.simulated.store import SimulatedStore, StoreCounts, StoredRow
from services.crypto.jwe import decrypt, encrypt
from services.crypto.shredding import Shredder
from services.policy.model import Policy
from services.policy.plans import compile_policy

ResponseMode = Literal["prompt", "late", "refuse", "silent", "deaf-once"]
"""How a system acknowledges: at once, late, with a refusal, never, or only when a command is repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemBehaviour:
    """How one system acknowledges commands."""

    manner: ResponseMode = "prompt"
    delay: timedelta = timedelta(seconds=4)
    """The delay of a system that is late."""


SHOWN: Mapping[str, SystemBehaviour] = {
    "psp": SystemBehaviour(manner="late"),
    "lease": SystemBehaviour(manner="deaf-once"),
    "credit-bureau": SystemBehaviour(manner="refuse"),
}
"""How systems of the shipped policy behave in `termijn up --sample`; all others acknowledge at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayedAcknowledgement:
    """An acknowledgement of one command that is to be sent: its system, its message key and its time."""

    system: str
    key: bytes | None
    value: Mapping[str, Any]
    leaves_at: datetime


@dataclass(slots=True, kw_only=True)
class SimulatedSystems:
    """The systems of a policy, each with a store in one directory."""

    policy: Policy
    directory: Path
    behaviours: Mapping[str, SystemBehaviour] = field(default_factory=dict)
    reads: Callable[[str], str | None] = field(default=lambda _: None)
    """Returns the private key by which a system decrypts corrections, as JWK text."""
    shredder: Shredder | None = None
    """Destroys the keys of the log, where the policy encrypts fields."""
    _stores: dict[str, SimulatedStore] = field(default_factory=dict)

    def store_events(self, *events: CloudEvent) -> None:
        """Store the data of events, in each system for its own subjects and purposes."""
        rows: defaultdict[str, list[StoredRow]] = defaultdict(list)
        for event in events:
            for holding in compile_policy(self.policy).tag(event).holdings:
                row = StoredRow(
                    source=event.source,
                    id=event.id,
                    type=event.type,
                    subject=holding.subject,
                    body=event.data,
                )
                for system in holding.systems:
                    if self.policy.systems[system].holds == "data":  # the log has its own agent
                        rows[system].append(row)
        for system, system_rows in rows.items():
            self._store(system).hold(system_rows)

    def handle_command(
        self, command: Mapping[str, Any], key: bytes | None, now: datetime
    ) -> DelayedAcknowledgement | None:
        """Carry out and acknowledge a command, as the system's behaviour has it."""
        system = str(command["system"])
        behaviour = self.behaviours.get(system, SystemBehaviour())
        is_repeated = command["attempt"] > 1
        if behaviour.manner == "silent" or (behaviour.manner == "deaf-once" and not is_repeated):
            return None
        if self.policy.systems[system].holds == "keys":
            status, rows, ground = self._shred(system, command, now)
        else:
            status, rows, ground = self._carry_out(system, behaviour, command)
        return DelayedAcknowledgement(
            system=system,
            key=key,
            leaves_at=now + behaviour.delay if behaviour.manner == "late" else now,
            value={
                "command_id": command["command_id"],
                "attempt": command["attempt"],
                "status": status,
                "counts": {"rows": rows},
                "ground": ground,
                "detail": None,
                "at": now,
                "disclosure": self._disclosure(command) if status == "done" else None,
                "checked": None,
            },
        )

    def count_rows(self) -> Mapping[str, StoreCounts]:
        """Return the numbers of rows by system."""
        return {system: self._store(system).count_rows() for system in self.policy.systems}

    def close(self) -> None:
        """Close every store."""
        for store in self._stores.values():
            store.close()

    def _carry_out(
        self, system: str, behaviour: SystemBehaviour, command: Mapping[str, Any]
    ) -> tuple[str, int, str | None]:
        store = self._store(system)
        if command["action"] == "recall":
            executed = store.has_executed(str(command["supersedes"]))
            return ("already_done" if executed else "recalled"), 0, None
        if behaviour.manner == "refuse":
            return "refused", 0, "own legal obligation (GDPR 17(3)(b))"
        self._correct(system, command)
        status, rows = store.execute(
            str(command["command_id"]),
            command["action"],
            command["subject"],
            command["records"],
        )
        return status, rows, None

    def _shred(
        self, system: str, command: Mapping[str, Any], now: datetime
    ) -> tuple[str, int, str | None]:
        if self.shredder is None:
            return "failed", 0, None
        task = CommandTask(
            command=parse_command(command),
            run=1,
            checkpoint=None,
            save_checkpoint=lambda _: None,
            now=now,
            recalls="erase",
        )
        result = VaultAdapter(shredder=self.shredder, system=system).execute(task)
        return result.status, result.counts.get("keys", 0), None

    def _correct(self, system: str, command: Mapping[str, Any]) -> None:
        """Write the corrections; a real system without a key would ask the controller for them."""
        text, key = command.get("corrections"), self.reads(system)
        if text and key:
            values = decrypt(text, key, str(command["command_id"]))
            self._store(system).correct(command["subject"], command["records"], values)

    def _disclosure(self, command: Mapping[str, Any]) -> str | None:
        public_key = command.get("disclose_to")
        if command["action"] != "disclose" or public_key is None:
            return None
        system, command_id = str(command["system"]), str(command["command_id"])
        rows = self._store(system).rows(command["subject"], command["records"])
        return encrypt(
            {"command_id": command_id, "system": system, "records": rows}, public_key, command_id
        )

    def _store(self, system: str) -> SimulatedStore:
        if system not in self._stores:
            self._stores[system] = SimulatedStore(self.directory / f"{system}.sqlite")
        return self._stores[system]
