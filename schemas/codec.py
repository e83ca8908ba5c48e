"""Bytes <-> values: Avro, framed as a single object or in the Confluent wire format.

Written is one of the two: the Confluent format where a schema registry is configured, else Avro
single-object encoding. Read are both. Values arrive in the newest version of their schema, whatever
version they were written in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import fastavro
import fastavro.read
from fastavro.schema import fingerprint, to_parsing_canonical_form

from schemas import limits
from schemas.compatibility import find_incompatibilities, full_name
from schemas.errors import (
    DecodingFailed,
    EncodingFailed,
    InvalidSchema,
    UnknownSchema,
)
from schemas.json_to_avro import build_coercer, unknown_fields
from schemas.scalars import CoercionError
from schemas.schema_versions import Schema, SchemaSet
from schemas.topics import Topic

if TYPE_CHECKING:
    from schemas.registry import Registry

_DECIMALS = ("bytes-decimal", "fixed-decimal")
_read_decimal = fastavro.read.LOGICAL_READERS["bytes-decimal"]


def _bound_decimal(data: bytes, writer_schema: Any = None, reader_schema: Any = None) -> Any:
    """As fastavro reads it, but for what has more digits than any schema: that takes it minutes."""
    if len(data) > limits.MAX_DECIMAL // 2 and len(data) > writer_schema["precision"]:
        raise ValueError("a decimal of very many digits")
    return _read_decimal(data, writer_schema, reader_schema)


# fastavro's own place for readers of logical types; there is none for one codec alone.
fastavro.read.LOGICAL_READERS.update(dict.fromkeys(_DECIMALS, _bound_decimal))

_SINGLE_OBJECT = b"\xc3\x01"
_CONFLUENT = b"\x00"
_SINGLE_OBJECT_FRAME = 10
_CONFLUENT_FRAME = 5
_FILE_NAME = re.compile(r"(?P<name>.+)\.(?P<version>[1-9]\d*)\.avsc", re.ASCII)
_MAX_SCHEMA_ID = 2**31 - 1


def load(*directories: Path) -> SchemaSet:
    """The schemas that ship, and a company's own: `<event type>.<version>.avsc` in each directory.

    Raises:
        InvalidSchema: a file cannot be used, or two do not go together.
    """
    shipped = files("schemas")
    schemas = [*_load_directory(shipped / "business"), *_load_directory(shipped / "retention")]
    for directory in directories:
        if not directory.is_dir():
            raise InvalidSchema(file=str(directory), why="is not a directory")
        schemas += _load_directory(directory)
    return SchemaSet(schemas)


class Codec:
    """Encodes and decodes the values of topics."""

    def __init__(self, schemas: SchemaSet, registry: Registry | None = None) -> None:
        self._schemas = schemas
        self._registry = registry
        self._frames: dict[str, bytes] = {}
        self._by_id: dict[int, Schema | str] = {}
        self._prefix_schemas: dict[tuple[str, str], Any] = {}

    def encode(self, topic: Topic, value: Mapping[str, Any], *, trusted: bool = False) -> bytes:
        """A value in the newest version of its topic's schema, checked, and coerced from JSON.

        With `own` it goes as it is, in half the time: for what Termijn itself made of Avro's types.

        Raises:
            EncodingFailed: it does not fit; the error names the field and never holds its value.
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
        """The paths in a value that fits which no field of the schema takes: they go no further.

        Raises:
            CoercionError: it does not fit.
        """
        schema = self._schemas.newest(topic.schema)
        return tuple(unknown_fields(value, schema.coerce(value)))

    def decode(self, topic: Topic, payload: bytes | None) -> dict[str, Any]:
        """The value of a message, resolved to the newest version of its topic's schema.

        Raises:
            DecodingFailed: the bytes are no value of it; the error never holds any of its data.
            UnknownSchema: the topic has no schema.
            RegistryUnavailable: the registry did not answer; the message may well be sound.
        """
        payload = payload or b""
        reader = self._schemas.newest(topic.schema)
        writer, start = self._find_writer(topic, payload, reader)
        value = self._read_record(topic, payload, start, writer.parsed)
        if writer is not reader:
            # Twice, since fastavro checks nothing of the fields that it passes over in resolving.
            value = self._read_record(topic, payload, start, writer.parsed, reader.parsed)
        return value

    def decode_prefix(self, topic: Topic, payload: bytes | None, last: str) -> dict[str, Any]:
        """The fields of a message up to and including `last`; what stands behind them is not looked at.

        One that was written in another version than the newest is read whole. Raises as `decode` does.
        """
        payload = payload or b""
        reader = self._schemas.newest(topic.schema)
        writer, start = self._find_writer(topic, payload, reader)
        if writer is not reader:
            return self.decode(topic, payload)
        head = self._prefix_schemas.get((topic.schema, last))
        if head is None:
            head = self._prefix_schemas[topic.schema, last] = _prefix_schema(reader, last)
        return self._read_record(topic, payload, start, head, whole=False)

    def register(self, topic: Topic) -> int:
        """Register all versions of a topic's schema, oldest first; the answer is the newest's id.

        Raises:
            UnknownSchema: the topic has no schema, or no registry is configured.
            RegistryUnavailable: the registry did not answer, or refused a version.
        """
        if self._registry is None:
            raise UnknownSchema(schema=topic.schema, why="no schema registry is configured")
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
        whole: bool = True,
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
        if whole and (remaining := len(payload) - body.tell()):
            raise DecodingFailed(why=f"has {remaining} bytes after its end", topic=topic.name)
        return cast(dict[str, Any], value)

    def _find_writer(self, topic: Topic, payload: bytes, reader: Schema) -> tuple[Schema, int]:
        """The schema that a message was written with, and where its datum starts."""
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
            raise DecodingFailed(why="does not begin as Avro on the bus does", topic=topic.name)
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
                # Not remembered: it may be registered later.
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
        """The schema that a registry keeps, or why the newest version of ours cannot read it."""
        try:
            schema = _schema("registry", 0, json.loads(text))
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


def _load_directory(directory: Path | Traversable) -> Iterable[Schema]:
    for file in sorted(directory.iterdir(), key=lambda path: path.name):
        if not file.name.endswith(".avsc"):
            continue
        match = _FILE_NAME.fullmatch(file.name)
        if match is None:
            raise InvalidSchema(file=str(file), why="is not called <event type>.<version>.avsc")
        try:
            definition = json.loads(file.read_text(encoding="utf-8"))
            yield _schema(match["name"], int(match["version"]), definition)
        # fastavro raises KeyError, TypeError and its own for what is no schema.
        except Exception as cause:
            why = f"is no schema that can be used: {cause or type(cause).__name__}"
            raise InvalidSchema(file=str(file), why=why) from cause


def _prefix_schema(schema: Schema, last: str) -> Any:
    """The schema of a record's first fields."""
    fields = schema.definition["fields"]
    end = [field["name"] for field in fields].index(last) + 1
    return fastavro.parse_schema({**schema.definition, "fields": fields[:end]})


def _schema(name: str, version: int, definition: Any) -> Schema:
    if not isinstance(definition, dict) or definition.get("type") != "record":
        raise ValueError("it is not a record")
    parsed = fastavro.parse_schema(definition)
    rabin = fingerprint(to_parsing_canonical_form(definition), "CRC-64-AVRO")
    return Schema(
        name=name,
        version=version,
        definition=definition,
        full_name=full_name(definition, ""),
        parsed=parsed,
        fingerprint=bytes.fromhex(rabin),
        coerce=build_coercer(definition),
    )
