"""Encode and decode the values of messages: Avro, as a single object or in the Confluent wire format.

Messages are written in the Confluent format if a schema registry is configured, else in Avro's
single-object encoding; both are read. A decoded value has the newest version of its schema, whatever
version it was written in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast

import fastavro
import fastavro.read

from schemas import limits
from schemas.compatibility import find_incompatibilities
from schemas.errors import DecodingFailed, EncodingFailed, UnknownSchema
from schemas.json_to_avro import unknown_fields
from schemas.scalars import CoercionError
from schemas.schema_files import parse_schema
from schemas.schema_versions import Schema, SchemaSet
from schemas.topics import Topic

if TYPE_CHECKING:
    from schemas.registry import Registry

_DECIMALS = ("bytes-decimal", "fixed-decimal")
_read_decimal = fastavro.read.LOGICAL_READERS["bytes-decimal"]


def _bound_decimal(data: bytes, writer_schema: Any = None, reader_schema: Any = None) -> Any:
    """Read a decimal as fastavro does, but refuse very many digits, which would take it minutes."""
    if len(data) > limits.MAX_DECIMAL // 2 and len(data) > writer_schema["precision"]:
        raise ValueError("a decimal of very many digits")
    return _read_decimal(data, writer_schema, reader_schema)


# fastavro registers readers of logical types here only, and not for one codec.
fastavro.read.LOGICAL_READERS.update(dict.fromkeys(_DECIMALS, _bound_decimal))

_SINGLE_OBJECT = b"\xc3\x01"
_CONFLUENT = b"\x00"
_SINGLE_OBJECT_FRAME = 10
_CONFLUENT_FRAME = 5
_MAX_SCHEMA_ID = 2**31 - 1


class Codec:
    """Encodes and decodes the values of topics."""

    def __init__(self, schemas: SchemaSet, registry: Registry | None = None) -> None:
        self._schemas = schemas
        self._registry = registry
        self._frames: dict[str, bytes] = {}
        self._by_id: dict[int, Schema | str] = {}
        self._prefix_schemas: dict[tuple[str, str], Any] = {}

    def encode(self, topic: Topic, value: Mapping[str, Any], *, trusted: bool = False) -> bytes:
        """Return the bytes of a JSON value, checked, in the newest version of its topic's schema.

        A `trusted` value is made of Avro's types by Termijn itself; it is not checked, in half the time.

        Raises:
            EncodingFailed: it does not fit; the error names the field and never contains its value.
            UnknownSchema: the topic has no schema, or the registry does not have it.
            RegistryUnavailable: the registry did not answer.
        """
        schema = self._schemas.newest(topic.schema)
        frame = self._frames.get(topic.name) or self._build_frame(topic, schema)
        body = BytesIO()
        body.write(frame)
        try:
            fastavro.schemaless_writer(
                body, schema.parsed, value if trusted else schema.coerce(value)
            )
        except CoercionError as misfit:
            raise EncodingFailed(
                schema=topic.schema, key=misfit.path or "data", why=misfit.why
            ) from None
        # fastavro raises whatever its types raise: a decimal out of scale, a time out of range.
        except Exception as cause:
            why = f"does not fit ({type(cause).__name__})"
            raise EncodingFailed(schema=topic.schema, key="data", why=why) from cause
        return body.getvalue()

    def unknown_fields(self, topic: Topic, value: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the paths in a value that the topic's schema does not have, and that are not encoded.

        Raises:
            CoercionError: it does not fit.
        """
        schema = self._schemas.newest(topic.schema)
        return tuple(unknown_fields(value, schema.coerce(value)))

    def decode(self, topic: Topic, payload: bytes | None) -> dict[str, Any]:
        """Return the value of a message, in the newest version of its topic's schema.

        Raises:
            DecodingFailed: the bytes do not fit the schema; the error never contains any of the data.
            UnknownSchema: the topic has no schema.
            RegistryUnavailable: the registry did not answer; the message may well be valid.
        """
        payload = payload or b""
        reader = self._schemas.newest(topic.schema)
        writer, start = self._find_writer(topic, payload, reader)
        value = self._read_record(topic, payload, start, writer.parsed)
        if writer is not reader:
            # Decoded twice, since fastavro does not check the fields that it skips in resolving.
            value = self._read_record(topic, payload, start, writer.parsed, reader.parsed)
        return value

    def decode_prefix(self, topic: Topic, payload: bytes | None, last_field: str) -> dict[str, Any]:
        """Return the fields of a message up to and including `last_field`, without decoding the rest.

        A message in an older version is decoded in full. Raises as `decode` does.
        """
        payload = payload or b""
        reader = self._schemas.newest(topic.schema)
        writer, start = self._find_writer(topic, payload, reader)
        if writer is not reader:
            return self.decode(topic, payload)
        prefix_schema = self._prefix_schemas.get((topic.schema, last_field))
        if prefix_schema is None:
            prefix_schema = self._prefix_schemas[topic.schema, last_field] = _prefix_schema(
                reader, last_field
            )
        return self._read_record(topic, payload, start, prefix_schema, to_end=False)

    def register(self, topic: Topic) -> int:
        """Register all versions of a topic's schema, oldest first, and return the newest's id.

        Raises:
            UnknownSchema: the topic has no schema, or no registry is configured.
            RegistryUnavailable: the registry did not answer, or refused a version.
        """
        if self._registry is None:
            raise UnknownSchema(topic.schema, "no schema registry is configured")
        for schema in self._schemas.versions(topic.schema):
            registered = self._registry.register(topic.name, schema.text)
        return registered

    def _build_frame(self, topic: Topic, schema: Schema) -> bytes:
        if self._registry is None:
            frame = _SINGLE_OBJECT + schema.fingerprint
        else:
            registered = self._registry.find_id(topic.name, schema.text)
            frame = _CONFLUENT + registered.to_bytes(4, "big")
        self._frames[topic.name] = frame
        return frame

    def _read_record(
        self,
        topic: Topic,
        payload: bytes,
        start: int,
        writer: Any,
        reader: Any = None,
        *,
        to_end: bool = True,
    ) -> dict[str, Any]:
        body = BytesIO(payload)
        body.seek(start)
        try:
            value = fastavro.schemaless_reader(body, writer, reader)
        # Bytes from outside make fastavro raise whatever Python's types raise.
        except Exception as cause:
            if isinstance(cause, EOFError | IndexError) and body.tell() >= len(payload):
                why = "ends too early"
            else:
                why = f"does not fit the schema that it names ({type(cause).__name__})"
            raise DecodingFailed(why=why, topic=topic.name) from cause
        if to_end and (remaining := len(payload) - body.tell()):
            raise DecodingFailed(why=f"has {remaining} bytes after its end", topic=topic.name)
        return cast(dict[str, Any], value)

    def _find_writer(self, topic: Topic, payload: bytes, reader: Schema) -> tuple[Schema, int]:
        """Return the schema that a message was written with, and where its value starts."""
        if not payload:
            raise DecodingFailed(why="is empty", topic=topic.name)
        if payload.startswith(_SINGLE_OBJECT) and len(payload) >= _SINGLE_OBJECT_FRAME:
            fingerprint = payload[len(_SINGLE_OBJECT) : _SINGLE_OBJECT_FRAME]
            writer = self._schemas.by_fingerprint(fingerprint)
            if writer is None:
                why = f"was written with a schema that is not known here ({fingerprint.hex()})"
                raise DecodingFailed(why=why, topic=topic.name)
            start = _SINGLE_OBJECT_FRAME
        elif payload.startswith(_CONFLUENT) and len(payload) >= _CONFLUENT_FRAME:
            schema_id = int.from_bytes(payload[len(_CONFLUENT) : _CONFLUENT_FRAME], "big")
            writer = self._schema_by_id(topic, schema_id)
            start = _CONFLUENT_FRAME
        elif _SINGLE_OBJECT.startswith(payload[:2]) or payload.startswith(_CONFLUENT):
            raise DecodingFailed(why="ends too early", topic=topic.name)
        else:
            raise DecodingFailed(
                why="is not Avro with a fingerprint or a schema id", topic=topic.name
            )
        if writer.full_name != reader.full_name:
            why = f"was written with the schema {writer.full_name}"
            raise DecodingFailed(why=why, topic=topic.name)
        return writer, start

    def _schema_by_id(self, topic: Topic, schema_id: int) -> Schema:
        if schema_id not in self._by_id:
            if self._registry is None:
                why = "was written through a schema registry, and none is configured here"
                raise DecodingFailed(why=why, topic=topic.name)
            text = self._registry.get_schema(schema_id) if schema_id <= _MAX_SCHEMA_ID else None
            if text is None:
                # Not cached, since it may be registered later.
                why = f"was written with schema id {schema_id}, which the registry does not have"
                raise DecodingFailed(why=why, topic=topic.name)
            self._by_id[schema_id] = self._check_readable(text)
        schema = self._by_id[schema_id]
        if isinstance(schema, str):
            raise DecodingFailed(
                why=f"was written with schema id {schema_id}: {schema}", topic=topic.name
            )
        return schema

    def _check_readable(self, text: str) -> Schema | str:
        """Return a schema of the registry, or why Termijn's newest version cannot read it."""
        try:
            schema = parse_schema("registry", 0, json.loads(text))
            own_schema = self._schemas.by_fingerprint(schema.fingerprint)
            if own_schema is not None and own_schema.definition == schema.definition:
                return own_schema
            reader = self._schemas.by_full_name(schema.full_name)
            if reader is not None:
                pair = {0: schema.definition, reader.version: reader.definition}
                for problem in find_incompatibilities(pair):
                    if problem.writer == 0:
                        return str(problem)
        # Text from outside makes a parser raise whatever Python's types raise.
        except Exception as cause:
            return f"it cannot be used: {cause or type(cause).__name__}"
        return schema


def _prefix_schema(schema: Schema, last_field: str) -> Any:
    """Return the schema of a record's first fields, up to and including `last_field`."""
    fields = schema.definition["fields"]
    end = [field["name"] for field in fields].index(last_field) + 1
    return fastavro.parse_schema({**schema.definition, "fields": fields[:end]})
