"""Field encryption: encrypts the fields of an event that the policy names, before it is published.

Each event has its own key in every key-holding system that has one of its holdings. The key is destroyed
with the last of these holdings, so no key outlives its term, and none ends with another event's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

from schemas.avro_paths import field_paths
from schemas.cloudevents import CloudEvent
from schemas.errors import TermijnError
from schemas.schema_versions import SchemaSet
from services.crypto import field_tokens
from services.crypto.data_keys import DataKey, KeyRef
from services.crypto.field_paths import count_texts_at, map_texts_at
from services.crypto.field_tokens import FieldKey, FieldLocation
from services.policy.ids import event_id, old_event_id
from services.policy.model import Policy
from services.policy.plans import compile_policy
from services.policy.tagged_event import TaggedEvent
from services.policy.validation_encryption import key_systems

_SECRET_BYTES = 32


class NoKeyHolder(TermijnError):
    """A field must be encrypted, but no holding of this event is in a system that would hold its key.

    No command would ever destroy such a key, so nothing was published. The operator names another system
    for the field in the policy, or a holding that applies.
    """

    def __init__(self, path: str) -> None:
        self.key = path
        self.why = "no holding of this event is in a system that would hold its key"
        super().__init__(f"{path}: {self.why}")


class FieldNotEncryptable(TermijnError):
    """The policy encrypts a field that its schema does not have, or that is not plain text.

    Nothing was published; the operator fixes the policy.
    """

    def __init__(self, event_type: str, path: str, why: str) -> None:
        super().__init__(f"events.{event_type}.encrypted.{path}: {why}")
        self.event_type = event_type
        self.path = path


class KeyProvider(Protocol):
    """The methods of the vault that a publisher needs."""

    def resolve_event_ids(self, events: Mapping[UUID, UUID]) -> Mapping[UUID, UUID]:
        """Return the id under which the vault has each event's keys: its id, or its old id."""

    def get_or_create(self, keys: Collection[KeyRef], now: datetime) -> Mapping[KeyRef, DataKey]:
        """Return the keys of these events and systems, and create those that do not exist."""


def check_encrypted_fields(policy: Policy, schemas: SchemaSet) -> None:
    """Check that every field the policy encrypts can hold a token.

    Raises:
        FieldNotEncryptable: names the first field that cannot.
    """
    for name, event in policy.events.items():
        fields = (
            {leaf.path: leaf for leaf in field_paths(schemas.newest(name).definition)}
            if event.encrypted or event.plain
            else {}
        )
        for path in (*event.encrypted, *event.plain):
            if path not in fields:
                raise FieldNotEncryptable(
                    name, path, f"the schema of {name} has no such field; fix its name"
                )
            if path in event.encrypted and not fields[path].is_text:
                raise FieldNotEncryptable(
                    name, path, "is not plain text; only text can be encrypted"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldEncryptor:
    """Encrypts the fields that the policy names. `now` is this machine's clock, UTC."""

    policy: Policy
    keys: KeyProvider
    now: Callable[[], datetime]

    def encrypt_events(self, events: Sequence[CloudEvent]) -> list[CloudEvent]:
        """Return the events with their fields encrypted; all keys are created in one transaction.

        The same event gives the same tokens each time. If its key is already destroyed, its fields
        cannot be decrypted by anyone: they read as erased.

        Raises:
            TaggingFailed: the policy cannot tag an event, so that its keys would have no term.
            FieldNotText, NoKeyHolder: a field of it cannot be encrypted.
            TermijnError: the vault cannot be used.
        """
        tagged_events = [self.key_holders(event) for event in events]
        events_with_keys = [
            event for event, (_, systems) in zip(events, tagged_events, strict=True) if systems
        ]
        ids = self.keys.resolve_event_ids(
            {_id(event): old_event_id(event.source, event.id) for event in events_with_keys}
        )
        key_refs = {
            (ids[_id(event)], system)
            for event, (_, systems) in zip(events, tagged_events, strict=True)
            for system in systems
        }
        data_keys = self.keys.get_or_create(key_refs, self.now()) if key_refs else {}
        return [
            self._encrypt_event(
                event, tagged, {system: data_keys[ids[_id(event)], system] for system in systems}
            )
            for event, (tagged, systems) in zip(events, tagged_events, strict=True)
        ]

    def key_holders(self, event: CloudEvent) -> tuple[TaggedEvent, tuple[str, ...]]:
        """Return the tagged event, and the systems that hold a key of it.

        Raises:
            TaggingFailed, FieldNotText, NoKeyHolder: as `encrypt_events` does.
        """
        tagged = compile_policy(self.policy).tag(event)
        fields = self.policy.events[event.type].encrypted
        if not fields:
            return tagged, ()
        key_holding_systems = key_systems(self.policy)
        systems = {
            name
            for holding in tagged.holdings
            for name in holding.systems
            if name in key_holding_systems
        }
        for path, field_systems in fields.items():
            if count_texts_at(event.data, path) and systems.isdisjoint(field_systems):
                raise NoKeyHolder(path)
        return tagged, tuple(sorted(systems))

    def _encrypt_event(
        self, event: CloudEvent, tagged: TaggedEvent, keys: Mapping[str, DataKey]
    ) -> CloudEvent:
        if not keys:
            return event
        data = event.data
        for path, systems in self.policy.events[event.type].encrypted.items():
            field_keys = list(_field_keys(systems, keys))

            def encrypt(at: str, text: str, sealers: Sequence[FieldKey] = field_keys) -> str:
                location = FieldLocation(schema=event.type, path=at, subject=tagged.subject or "")
                return field_tokens.encrypt_text(text, location, sealers)

            data = map_texts_at(data, path, encrypt)
        return replace(event, data=data)


def _field_keys(systems: Iterable[str], keys: Mapping[str, DataKey]) -> Iterable[FieldKey]:
    """Yield the keys of these systems; for a destroyed key a random one that is not stored."""
    for system in systems:
        if system in keys:
            key = keys[system]
            secret = os.urandom(_SECRET_BYTES) if key.secret is None else key.secret
            yield FieldKey(system=system, key_id=key.key_id, secret=secret)


def _id(event: CloudEvent) -> UUID:
    return event_id(event.type, event.source, event.id)
