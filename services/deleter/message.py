"""A command as a message on Kafka: it names records by event and business keys, without their data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Connection

from services.deleter.emission import WantedCommands
from services.kafka.record_metadata import RecordMetadata
from services.ledger.rows import CommandRow
from services.policy.event_subject import business_keys
from services.policy.model import Policy
from services.policy.reasons import ARTICLES, VERIFICATION_REASONS

_VERIFIED_ACTIONS = {reason: action for action, reason in VERIFICATION_REASONS.items()}
"""By the reason of a `verify` command, the action that it checks."""

Fields = Mapping[str, Any]
"""Fields of the `command` schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandMessage:
    """A command as it is sent to its system."""

    system: str
    key: str
    value: Fields


class CommandPublisher(Protocol):
    """Sends commands to their systems."""

    def send(self, commands: Sequence[CommandMessage]) -> Sequence[RecordMetadata]:
        """Send all, and return once each has its delivery report; raise if one of them fails."""


class CommandAttachments(Protocol):
    """Finds the further fields of commands that serve a request."""

    def for_commands(
        self, connection: Connection, rows: Sequence[CommandRow]
    ) -> Mapping[UUID, Fields | None]:
        """Return further fields by command; None if a command has to wait for them."""


class NoAttachments:
    """Attaches nothing to any command."""

    def for_commands(
        self, connection: Connection, rows: Sequence[CommandRow]
    ) -> Mapping[UUID, Fields | None]:
        """Return no further fields."""
        return {}


NO_ATTACHMENTS = NoAttachments()


def build_messages(
    rows: Sequence[CommandRow],
    wanted: WantedCommands,
    policy: Policy,
    now: datetime,
    validity: timedelta,
    attached: Mapping[UUID, Fields | None] = MappingProxyType({}),
) -> list[CommandMessage]:
    """Return the messages of commands that are sent at `now`, UTC, and may be obeyed for `validity`."""
    return [
        _build_message(row, wanted, policy, now, validity, attached.get(row.command_id) or {})
        for row in rows
    ]


def _build_message(
    row: CommandRow,
    wanted: WantedCommands,
    policy: Policy,
    now: datetime,
    validity: timedelta,
    attached: Fields,
) -> CommandMessage:
    events = wanted.events_of(row)
    value = {
        "command_id": str(row.command_id),
        "system": row.system,
        "subject": row.subject if row.names_subject else None,
        "action": row.action,
        "records": [
            {
                "source": event.source,
                "id": event.id,
                "type": event.type,
                "time": event.time,
                "keys": business_keys(
                    event,
                    policy,
                    row.subject,
                    names_subject=row.names_subject,
                    excluded=wanted.keys_left_out(row, event),
                ),
            }
            for event in events
        ],
        "categories": sorted(
            {name for event in events for name in policy.events[event.type].categories}
        ),
        "rules": list(row.wording.rules),
        "purposes": list(row.wording.purposes),
        "policy_version": row.wording.policy_version,
        "article": ARTICLES[row.wording.reason],
        "reason": row.wording.reason,
        "not_before": row.not_before,
        "erase_by": row.erase_by,
        "valid_until": _valid_until(row, now + validity),
        "epoch": row.epoch,
        "seq": row.seq,
        "attempt": row.attempt + 1,
        "issued_at": now,
        "supersedes": str(row.supersedes) if row.supersedes else None,
        "request": row.request,
        "verifies": _VERIFIED_ACTIONS.get(row.wording.reason),
        **attached,
    }
    key = row.subject if row.names_subject else events[0].id
    return CommandMessage(system=row.system, key=key, value=value)


def _valid_until(row: CommandRow, validity_ends: datetime) -> datetime:
    """Return until when a command may be carried out: a notice only before the end that it announces."""
    if row.action == "notify" and row.erase_by is not None:
        return min(validity_ends, row.erase_by)
    return validity_ends
