"""A Confluent schema registry, as the codec needs it: text by id, id by text."""

from __future__ import annotations

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from schemas.errors import RegistryUnavailable, UnknownSchema

_NOT_FOUND = 404


class Registry:
    """Schemas under subjects `<topic>-value`. Nothing is registered unless `register` is called."""

    def __init__(self, client: SchemaRegistryClient) -> None:
        self._client = client

    def text_of(self, schema_id: int) -> str | None:
        """The Avro schema of an id; None where the registry has none.

        Raises:
            RegistryUnavailable: the registry did not answer.
        """
        try:
            schema = self._client.get_schema(schema_id)
        except Exception as cause:
            if _is_not_found(cause):
                return None
            raise RegistryUnavailable(asked=f"schema {schema_id}", why=str(cause)) from cause
        return schema.schema_str if schema.schema_type in (None, "AVRO") else None

    def id_of(self, topic: str, text: str) -> int:
        """The id of a schema that is registered for a topic.

        Raises:
            UnknownSchema: it is not.
            RegistryUnavailable: the registry did not answer.
        """
        try:
            found = self._client.lookup_schema(_subject(topic), Schema(text, "AVRO")).schema_id
        except Exception as cause:
            if _is_not_found(cause):
                why = "is not registered; register it before anything is written with it"
                raise UnknownSchema(schema=_subject(topic), why=why) from cause
            raise RegistryUnavailable(asked=_subject(topic), why=str(cause)) from cause
        if found is None:
            raise RegistryUnavailable(asked=_subject(topic), why="answered without an id")
        return found

    def register(self, topic: str, text: str) -> int:
        """Register a schema for a topic; the answer is its id, the same when it was there before.

        Raises:
            RegistryUnavailable: the registry did not answer, or refused it as incompatible.
        """
        try:
            return self._client.register_schema(_subject(topic), Schema(text, "AVRO"))
        except Exception as cause:
            raise RegistryUnavailable(
                asked=f"register {_subject(topic)}", why=str(cause)
            ) from cause


def _subject(topic: str) -> str:
    return f"{topic}-value"


def _is_not_found(cause: Exception) -> bool:
    return isinstance(cause, SchemaRegistryError) and cause.http_status_code == _NOT_FOUND
