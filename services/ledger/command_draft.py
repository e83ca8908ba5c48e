"""A command before it is written to the outbox."""

from __future__ import annotations

import json
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from services.ledger.rows import CommandRow
from services.ledger.wordings import Wording
from services.policy.ids import fast_uuid5

_COMMAND_NAMESPACE = UUID("5b0f6bb4-6d0d-5a4e-9a57-7b6b0f7a1c04").bytes


class CommandDraft(NamedTuple):
    """A command before it has its id and its number; instants are UTC."""

    system: str
    subject: str
    action: str
    step: str
    rules: tuple[str, ...]
    purposes: tuple[str, ...]
    reason: str
    due_at: datetime
    not_before: datetime | None
    erase_by: datetime | None
    epochs: tuple[tuple[str, UUID, int], ...] = ()
    """The clocks that it depends on: name, id and epoch."""
    records: tuple[UUID, ...] = ()
    names_subject: bool = True
    acts: int = 0
    """How many privacy events of the subjects there were when it was drafted."""
    supersedes: UUID | None = None
    request: str | None = None
    """The request that it serves."""

    @classmethod
    def referring_to(
        cls,
        command: CommandRow,
        *,
        action: str,
        reason: str,
        due_at: datetime,
        erase_by: datetime | None = None,
    ) -> CommandDraft:
        """Return a draft about another command's records, such as a recall; it names no records itself."""
        return cls(
            system=command.system,
            subject=command.subject,
            action=action,
            step=action,
            rules=command.wording.rules,
            purposes=command.wording.purposes,
            reason=reason,
            due_at=due_at,
            not_before=None,
            erase_by=erase_by,
            names_subject=command.names_subject,
            supersedes=command.command_id,
        )

    def wording(self, policy_version: str) -> Wording:
        """Return its wording under a policy of this version."""
        return Wording(self.rules, self.purposes, self.reason, policy_version)

    @property
    def cause(self) -> str:
        """Return what made it due: the clocks with their epochs, privacy events, or the event itself."""
        privacy_events = [f"acts#{self.acts}"] if self.acts else []
        clocks = [f"{name}#{epoch}" for name, _, epoch in sorted(self.epochs)]
        return ",".join([*clocks, *privacy_events]) or "event"

    def command_id(self, number: int) -> UUID:
        """Return its id under the number that it gets: the same command, needed again, gets another id."""
        parts = [self.system, self.action, self.step, self.cause, str(self.supersedes)]
        records = sorted(map(str, self.records))
        return fast_uuid5(_COMMAND_NAMESPACE, json.dumps([number, *parts, *records]))
