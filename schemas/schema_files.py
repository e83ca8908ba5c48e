"""The Avro schemas in files: those that ship, and a company's own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

from schemas.compatibility import full_name
from schemas.errors import InvalidSchema
from schemas.json_to_avro import build_coercer
from schemas.schema_versions import Schema, SchemaSet

_FILE_NAME = re.compile(r"(?P<name>.+)\.(?P<version>[1-9]\d*)\.avsc", re.ASCII)


def load(*directories: Path, derived: Mapping[str, Any] = MappingProxyType({})) -> SchemaSet:
    """Load the schemas that ship, and a company's own: `<event type>.<version>.avsc` in each directory.

    A schema that is `derived`, by event type, counts as version 1 of a type without a file. Where there is
    a file, values that were written with the derived schema before can still be read.

    Raises:
        InvalidSchema: a file cannot be used, or two files contradict each other.
    """
    shipped = files("schemas")
    schemas = [*_load_directory(shipped / "business"), *_load_directory(shipped / "retention")]
    for directory in directories:
        if not directory.is_dir():
            raise InvalidSchema(str(directory), "is not a directory")
        schemas += _load_directory(directory)
    names = {schema.name for schema in schemas}
    own = [parse_schema(name, 1, definition) for name, definition in derived.items()]
    schemas += [schema for schema in own if schema.name not in names]
    return SchemaSet(schemas, readable=own)


def parse_schema(name: str, version: int, definition: Any) -> Schema:
    """Return a version of a schema, given as JSON.

    Raises:
        ValueError: it is not a record. fastavro raises KeyError, TypeError and its own errors.
    """
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


def _load_directory(directory: Path | Traversable) -> Iterable[Schema]:
    for file in sorted(directory.iterdir(), key=lambda path: path.name):
        if not file.name.endswith(".avsc"):
            continue
        match = _FILE_NAME.fullmatch(file.name)
        if match is None:
            raise InvalidSchema(str(file), "is not called <event type>.<version>.avsc")
        try:
            definition = json.loads(file.read_text(encoding="utf-8"))
            yield parse_schema(match["name"], int(match["version"]), definition)
        # fastavro raises KeyError, TypeError and its own errors for an invalid schema.
        except Exception as cause:
            why = f"is not a usable schema: {cause or type(cause).__name__}"
            raise InvalidSchema(str(file), why) from cause
