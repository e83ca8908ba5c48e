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
from services.crypto.data_keys import DataKey, Wanted
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


class MakesKeys(Protocol):
    """The vault, as a publisher needs it."""

    def under(self, events: Mapping[UUID, UUID]) -> Mapping[UUID, UUID]:
        """Under which id the vault has the keys of each event: its identity, or the one given with it."""

    def of(self, wanted: Collection[Wanted], now: datetime) -> Mapping[Wanted, DataKey]:
        """The keys of these events and systems, made where there are none."""


def check(policy: Policy, schemas: SchemaSet) -> None:
    """Make sure that every field the policy encrypts can hold a token.

    Raises:
        FieldNotEncryptable: naming the first that cannot.
    """
    for name, event in policy.events.items():
        known = (
            {leaf.path: leaf for leaf in field_paths(schemas.newest(name).definition)}
            if event.encrypted or event.plain
            else {}
        )
        for path in (*event.encrypted, *event.plain):
            if path not in known:
                raise FieldNotEncryptable(
                    name, path, f"the schema has no such field; {name} has others"
                )
            if path in event.encrypted and not known[path].is_text:
                raise FieldNotEncryptable(
                    name, path, "is no plain text: only text can be encrypted"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldEncryption:
    """Encrypts what the policy names. `now` is this machine's clock, UTC."""

    policy: Policy
    keys: MakesKeys
    now: Callable[[], datetime]

    def encrypted(self, events: Sequence[CloudEvent]) -> list[CloudEvent]:
        """The events as they go onto the bus; the keys of all of them are made in one go.

        The same event gives the same tokens each time. Once its key is destroyed, its fields are gone from
        the start: they read as erased.

        Raises:
            TaggingFailed: the policy could not tag one: nobody would know when its keys must go.
            FieldNotText, NoKeyHolder: a field of it cannot be encrypted.
            TermijnError: the vault cannot be used.
        """
        held = [self.plan(event) for event in events]
        keyed = [event for event, (_, systems) in zip(events, held, strict=True) if systems]
        ids = self.keys.under({_id(one): old_event_id(one.source, one.id) for one in keyed})
        wanted = {
            (ids[_id(event)], system)
            for event, (_, systems) in zip(events, held, strict=True)
            for system in systems
        }
        found = self.keys.of(wanted, self.now()) if wanted else {}
        return [
            self._one(event, tagged, {system: found[ids[_id(event)], system] for system in systems})
            for event, (tagged, systems) in zip(events, held, strict=True)
        ]

    def plan(self, event: CloudEvent) -> tuple[TaggedEvent, tuple[str, ...]]:
        """The event's tag, and the systems that hold a key of it.

        Raises:
            Untaggable, NotText, NobodyHolds: as `encrypted` does.
        """
        tagged = tag(event, self.policy)
        fields = self.policy.events[event.type].encrypted
        if not fields:
            return tagged, ()
        keys = key_systems(self.policy)
        systems = {name for one in tagged.holdings for name in one.systems if name in keys}
        for path, named in fields.items():
            if count_texts_at(event.data, path) and systems.isdisjoint(named):
                raise NoKeyHolder(path)
        return tagged, tuple(sorted(systems))

    def _one(
        self, event: CloudEvent, tagged: TaggedEvent, keys: Mapping[str, DataKey]
    ) -> CloudEvent:
        if not keys:
            return event
        data = event.data
        for path, named in self.policy.events[event.type].encrypted.items():
            sealers = list(_field_keys(named, keys))

            def token(at: str, text: str, sealers: Sequence[FieldKey] = sealers) -> str:
                place = FieldLocation(schema=event.type, path=at, subject=tagged.subject or "")
                return field_tokens.encrypt_text(text, place, sealers)

            data = map_texts_at(data, path, token)
        return replace(event, data=data)


def _field_keys(named: Iterable[str], keys: Mapping[str, DataKey]) -> Iterable[FieldKey]:
    """The keys of these systems; where one is destroyed, one that nobody will ever have."""
    for system in named:
        if system in keys:
            key = keys[system]
            secret = os.urandom(_SECRET_BYTES) if key.secret is None else key.secret
            yield FieldKey(system=system, key_id=key.key_id, secret=secret)


def _id(event: CloudEvent) -> UUID:
    return event_id(event.type, event.source, event.id)
