"""Encrypting: the fields that the policy names, of an event that is about to be published.

Each event has a key of its own in every system that holds keys and has one of its holdings. It is destroyed
with the last of these holdings, so no key outlives its term, and none ends before another event's.
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
from services.policy.tagging import TaggedEvent, tag
from services.policy.validation_encryption import key_systems

_SECRET_BYTES = 32


class NoKeyHolder(TermijnError):
    """A field is to be encrypted, and no holding of this event is in a system that would hold its key.

    Nobody would ever destroy such a key, so nothing was published. The policy names another system for the
    field, or a holding that applies.
    """

    def __init__(self, path: str) -> None:
        self.key = path
        self.why = "no holding of this event is in a system that holds its key"
        super().__init__(f"{path}: {self.why}")


class FieldNotEncryptable(TermijnError):
    """The policy wants a field encrypted that its schema lacks, or that is no plain text there.

    The operator mends the policy; nothing was published.
    """

    def __init__(self, event_type: str, path: str, why: str) -> None:
        super().__init__(f"events.{event_type}.encrypted.{path}: {why}")
        self.event_type = event_type
        self.path = path


class KeyProvider(Protocol):
    """The vault, as a publisher needs it."""

    def resolve_event_ids(self, events: Mapping[UUID, UUID]) -> Mapping[UUID, UUID]:
        """Under which id the vault has the keys of each event: its identity, or the one given with it."""

    def get_or_create(self, wanted: Collection[KeyRef], now: datetime) -> Mapping[KeyRef, DataKey]:
        """The keys of these events and systems, made where there are none."""


def check_encrypted_fields(policy: Policy, schemas: SchemaSet) -> None:
    """Make sure that every field the policy encrypts can hold a token.

    Raises:
        FieldNotEncryptable: naming the first that cannot.
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
                    name, path, f"the schema has no such field; {name} has others"
                )
            if path in event.encrypted and not fields[path].is_text:
                raise FieldNotEncryptable(
                    name, path, "is no plain text: only text can be encrypted"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldEncryptor:
    """Encrypts what the policy names. `now` is this machine's clock, UTC."""

    policy: Policy
    keys: KeyProvider
    now: Callable[[], datetime]

    def encrypt_events(self, events: Sequence[CloudEvent]) -> list[CloudEvent]:
        """The events as they go onto the bus; the keys of all of them are made in one go.

        The same event gives the same tokens each time. Once its key is destroyed, its fields are gone from
        the start: they read as erased.

        Raises:
            TaggingFailed: the policy could not tag one: nobody would know when its keys must go.
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
        """The event's tag, and the systems that hold a key of it.

        Raises:
            TaggingFailed, FieldNotText, NoKeyHolder: as `encrypted` does.
        """
        tagged = tag(event, self.policy)
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
    """The keys of these systems; where one is destroyed, one that nobody will ever have."""
    for system in systems:
        if system in keys:
            key = keys[system]
            secret = os.urandom(_SECRET_BYTES) if key.secret is None else key.secret
            yield FieldKey(system=system, key_id=key.key_id, secret=secret)


def _id(event: CloudEvent) -> UUID:
    return event_id(event.type, event.source, event.id)
