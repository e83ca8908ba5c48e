"""The schemas in a Confluent schema registry: look up, register and set compatibility."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from schemas.errors import IncompatibleSchema, RegistryUnavailable, UnknownSchema

_NOT_FOUND = 404
_REJECTED = (409, 422)  # incompatible; no schema, or no such level


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredSchema:
    """A version of a topic's schema in a registry."""

    version: int
    id: int
    text: str


class Registry:
    """A registry, with schemas under subjects `<topic>-value`; only `register` adds a schema."""

    def __init__(self, client: SchemaRegistryClient) -> None:
        self._client = client

    def get_schema(self, schema_id: int) -> str | None:
        """Return the Avro schema of an id; None if the registry does not have it.

        Raises:
            RegistryUnavailable: the registry did not answer.
        """
        try:
            schema = self._client.get_schema(schema_id)
        except Exception as cause:
            if _is_not_found(cause):
                return None
            raise RegistryUnavailable(request=f"schema {schema_id}", why=str(cause)) from cause
        return schema.schema_str if schema.schema_type in (None, "AVRO") else None

    def find_id(self, topic: str, text: str) -> int:
        """Return the id of a schema that is registered for a topic.

        Raises:
            UnknownSchema: it is not registered.
            RegistryUnavailable: the registry did not answer.
        """
        try:
            schema_id = self._client.lookup_schema(_subject(topic), Schema(text, "AVRO")).schema_id
        except Exception as cause:
            if _is_not_found(cause):
                why = "is not registered; register it before anything is written with it"
                raise UnknownSchema(_subject(topic), why) from cause
            raise RegistryUnavailable(request=_subject(topic), why=str(cause)) from cause
        if schema_id is None:
            raise RegistryUnavailable(request=_subject(topic), why="responded without an id")
        return schema_id

    def register(self, topic: str, text: str) -> int:
        """Register a schema for a topic, and return its id: the same if it was registered before.

        Raises:
            IncompatibleSchema: it is not compatible with what is registered.
            RegistryUnavailable: the registry did not answer.
        """
        try:
            return self._client.register_schema(_subject(topic), Schema(text, "AVRO"))
        except Exception as cause:
            raise _error_from(cause, f"register {_subject(topic)}") from cause

    def list_versions(self, topic: str) -> Sequence[RegisteredSchema]:
        """Return every version that is registered for a topic, oldest first.

        Raises:
            RegistryUnavailable: the registry did not answer.
        """
        subject = _subject(topic)
        try:
            return [
                RegisteredSchema(
                    version=version,
                    id=registered.schema_id or 0,
                    text=registered.schema.schema_str or "",
                )
                for version in sorted(self._client.get_versions(subject))
                for registered in (self._client.get_version(subject, version),)
            ]
        except Exception as cause:
            if _is_not_found(cause):
                return []
            raise RegistryUnavailable(request=f"versions of {subject}", why=str(cause)) from cause

    def list_topics(self) -> Sequence[str]:
        """Return the topics whose values have a schema in the registry, sorted.

        Raises:
            RegistryUnavailable: the registry did not answer.
        """
        try:
            subjects = self._client.get_subjects()
        except Exception as cause:
            raise RegistryUnavailable(request="subjects", why=str(cause)) from cause
        return sorted(
            subject.removesuffix("-value") for subject in subjects if subject.endswith("-value")
        )

    def get_compatibility(self, topic: str) -> str:
        """Return the compatibility level of a topic's schema: its own, else the registry's.

        Raises:
            RegistryUnavailable: the registry did not answer.
        """
        for subject in (_subject(topic), None):
            try:
                return self._client.get_compatibility(subject)
            except Exception as cause:
                if not _is_not_found(cause):
                    raise RegistryUnavailable(
                        request=f"compatibility of {_subject(topic)}", why=str(cause)
                    ) from cause
        return "NONE"

    def set_compatibility(self, topic: str, level: str) -> bool:
        """Set the compatibility level of a topic's schema; return False if the topic has none yet.

        Raises:
            RegistryUnavailable: the registry did not answer.
        """
        try:
            self._client.set_compatibility(_subject(topic), level)
        except Exception as cause:
            if _is_not_found(cause):
                return False
            raise _error_from(cause, f"set the compatibility of {_subject(topic)}") from cause
        return True


def _subject(topic: str) -> str:
    return f"{topic}-value"


def _error_from(cause: Exception, request: str) -> IncompatibleSchema | RegistryUnavailable:
    if isinstance(cause, SchemaRegistryError) and cause.http_status_code in _REJECTED:
        return IncompatibleSchema(request=request, why=str(cause.error_message))
    return RegistryUnavailable(request=request, why=str(cause))


def _is_not_found(cause: Exception) -> bool:
    return isinstance(cause, SchemaRegistryError) and cause.http_status_code == _NOT_FOUND
