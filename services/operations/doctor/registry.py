"""The doctor at the schema registry: what is registered, against what is written and read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Protocol

from schemas.compatibility import find_incompatibilities
from schemas.errors import RegistryUnavailable, UnknownSchema
from schemas.registry import RegisteredSchema
from schemas.schema_versions import Schema
from schemas.topics import Topic
from services.kafka.schema_registration import COMPATIBILITY
from services.operations.doctor.findings import Finding, error, ok, warning

_REGISTER = "`termijn schemas register`"
_UNKNOWN_VERSION = "add it as a file to a TERMIJN_SCHEMAS directory, or delete it from the registry"


class Registry(Protocol):
    """The registry, as far as the doctor asks it."""

    def find_id(self, topic: str, text: str) -> int:
        """The id of a schema that is registered for a topic."""

    def list_versions(self, topic: str) -> Sequence[RegisteredSchema]:
        """Every version that is registered for a topic."""

    def get_compatibility(self, topic: str) -> str:
        """What a change of a topic's schema must be."""


def check_registry(
    registry: Registry, needed: Sequence[tuple[Topic, Sequence[Schema]]]
) -> Iterator[Finding]:
    """Check that each topic's versions are registered, no others are, and no change can break a reader.

    A missing version and one that cannot be read are errors; other differences are warnings.
    """
    wrong = 0
    try:
        for topic, versions in needed:
            for found in _check_topic(registry, topic, versions):
                wrong += 1
                yield found
    except RegistryUnavailable as cause:
        yield error(
            "registry",
            f"does not respond: {cause}",
            "start it, or fix SCHEMA_REGISTRY_URL (empty: no registry is used)",
        )
        return
    if not wrong:
        yield ok(
            "registry", f"{len(needed)} topics are registered with their schemas, {COMPATIBILITY}"
        )


def _check_topic(registry: Registry, topic: Topic, versions: Sequence[Schema]) -> Iterator[Finding]:
    ours: set[int] = set()
    for schema in versions:
        try:
            ours.add(registry.find_id(topic.name, schema.text))
        except UnknownSchema:
            yield error("registry", f"{schema.file} is not registered", _REGISTER, topic.name)
    for one in registry.list_versions(topic.name):
        if one.id not in ours:
            yield _unknown_version(one, topic, versions[-1])
    if ours and (level := registry.get_compatibility(topic.name)) != COMPATIBILITY:
        what = f"compatibility is {level} but must be {COMPATIBILITY}: a change could break readers"
        yield warning("registry", what, _REGISTER, topic.name)


def _unknown_version(one: RegisteredSchema, topic: Topic, newest: Schema) -> Finding:
    """Judge a version that no schema file has: a publisher is ahead, or it is a mistake."""
    named = f"version {one.version} (id {one.id}) has no schema file"
    try:
        both = {0: json.loads(one.text), newest.version: newest.definition}
        unread = [found for found in find_incompatibilities(both) if found.writer == 0]
    except (
        Exception
    ) as cause:  # text from outside makes a parser raise whatever Python's types raise
        return error(
            "registry",
            f"{named} and is not a valid schema: {type(cause).__name__}",
            _UNKNOWN_VERSION,
            topic.name,
        )
    if unread:
        first = unread[0]
        what = f"{named}; events written with it are parked: {first.path or '.'}: {first.why}"
        return error("registry", what, _UNKNOWN_VERSION, topic.name)
    return warning("registry", f"{named} but can be read", _UNKNOWN_VERSION, topic.name)
