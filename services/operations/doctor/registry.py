"""Check the schema registry: the registered schemas against those that Termijn writes and reads."""

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


class RegistryReader(Protocol):
    """The part of a schema registry that the doctor uses."""

    def find_id(self, topic: str, text: str) -> int:
        """The id of a schema that is registered for a topic."""

    def list_versions(self, topic: str) -> Sequence[RegisteredSchema]:
        """Every version that is registered for a topic."""

    def get_compatibility(self, topic: str) -> str:
        """What a change of a topic's schema must be."""


def check_registry(
    registry: RegistryReader, required: Sequence[tuple[Topic, Sequence[Schema]]]
) -> Iterator[Finding]:
    """Check that each topic's versions are registered, no others are, and no change can break a reader.

    A missing version and one that cannot be read are errors; other differences are warnings.
    """
    problems = 0
    try:
        for topic, versions in required:
            for finding in _check_topic(registry, topic, versions):
                problems += 1
                yield finding
    except RegistryUnavailable as cause:
        yield error(
            "registry",
            f"does not respond: {cause}",
            "start it, or fix SCHEMA_REGISTRY_URL (empty: no registry is used)",
        )
        return
    if not problems:
        yield ok(
            "registry", f"{len(required)} topics are registered with their schemas, {COMPATIBILITY}"
        )


def _check_topic(
    registry: RegistryReader, topic: Topic, versions: Sequence[Schema]
) -> Iterator[Finding]:
    known_ids: set[int] = set()
    for schema in versions:
        try:
            known_ids.add(registry.find_id(topic.name, schema.text))
        except UnknownSchema:
            yield error("registry", f"{schema.file} is not registered", _REGISTER, topic.name)
    for version in registry.list_versions(topic.name):
        if version.id not in known_ids:
            yield _unknown_version(version, topic, versions[-1])
    if known_ids and (level := registry.get_compatibility(topic.name)) != COMPATIBILITY:
        problem = (
            f"compatibility is {level} but must be {COMPATIBILITY}: a change could break readers"
        )
        yield warning("registry", problem, _REGISTER, topic.name)


def _unknown_version(version: RegisteredSchema, topic: Topic, newest: Schema) -> Finding:
    """Return the result for a version without a schema file: a publisher is ahead, or it is a mistake."""
    description = f"version {version.version} (id {version.id}) has no schema file"
    try:
        definitions = {0: json.loads(version.text), newest.version: newest.definition}
        incompatible = [
            incompatibility
            for incompatibility in find_incompatibilities(definitions)
            if incompatibility.writer == 0
        ]
    except (
        Exception
    ) as cause:  # text from outside makes a parser raise whatever Python's types raise
        return error(
            "registry",
            f"{description} and is not a valid schema: {type(cause).__name__}",
            _UNKNOWN_VERSION,
            topic.name,
        )
    if incompatible:
        path, why = incompatible[0].path or ".", incompatible[0].why
        problem = f"{description}; events written with it are parked: {path}: {why}"
        return error("registry", problem, _UNKNOWN_VERSION, topic.name)
    return warning("registry", f"{description} but can be read", _UNKNOWN_VERSION, topic.name)
