"""A command as a message on Kafka: it names records by event and business keys, without their data."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from sqlalchemy import Connection

from services.deleter.emission import WantedCommands
from services.kafka.record_metadata import RecordMetadata
from services.ledger.rows import CommandRow
from services.policy.event_subject import business_keys
from services.policy.model import Policy
from services.policy.reasons import ARTICLES, VERIFICATION_REASONS
from services.policy.tagged_event import TaggedEvent

_VERIFIED_ACTIONS = {reason: action for action, reason in VERIFICATION_REASONS.items()}
"""By the reason of a `verify` command, the action that it checks."""

Fields = Mapping[str, Any]
"""Fields of the `command` schema."""


class CommandMessage(NamedTuple):
    """A command as it is sent to its system."""

    system: str
    key: str
    common: Fields
    """What its message states once; commands that are alike may share it."""
    own: Fields
    """What it alone states."""

    @property
    def value(self) -> Fields:
        """All of its fields."""
        return {**self.common, **self.own}


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
    common: dict[Hashable, Fields] = {}
    messages = []
    for row in rows:
        events = wanted.events_of(row)
        types = frozenset(event.type for event in events)
        validity_ends = _valid_until(row, now + validity)
        alike = (row.system, row.action, row.wording, types, validity_ends)
        if alike not in common:
            common[alike] = _common_fields(row, types, policy, now, validity_ends)
        own = _own_fields(row, events, wanted, policy)
        own |= attached.get(row.command_id) or {}
        key = row.subject if row.names_subject else events[0].id
        messages.append(CommandMessage(row.system, key, common[alike], own))
    return messages


def _common_fields(
    row: CommandRow, types: Collection[str], policy: Policy, now: datetime, valid_until: datetime
) -> Fields:
    """Return what commands state alike that are about events of the same types."""
    wording = row.wording
    return {
        "system": row.system,
        "action": row.action,
        "categories": sorted({name for type in types for name in policy.events[type].categories}),
        "rules": list(wording.rules),
        "purposes": list(wording.purposes),
        "policy_version": wording.policy_version,
        "article": ARTICLES[wording.reason],
        "reason": wording.reason,
        "valid_until": valid_until,
        "issued_at": now,
        "verifies": _VERIFIED_ACTIONS.get(wording.reason),
    }


def _own_fields(
    row: CommandRow, events: Sequence[TaggedEvent], wanted: WantedCommands, policy: Policy
) -> dict[str, Any]:
    """Return what a command alone states."""
    return {
        "command_id": str(row.command_id),
        "subject": row.subject if row.names_subject else None,
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
        "not_before": row.not_before,
        "erase_by": row.erase_by,
        "epoch": row.epoch,
        "seq": row.seq,
        "attempt": row.attempt + 1,
        "supersedes": str(row.supersedes) if row.supersedes else None,
        "request": row.request,
    }


def _valid_until(row: CommandRow, validity_ends: datetime) -> datetime:
    """Return until when a command may be carried out: a notice only before the end that it announces."""
    if row.action == "notify" and row.erase_by is not None:
        return min(validity_ends, row.erase_by)
    return validity_ends
