"""All versions of all schemas, by name, by full name and by fingerprint."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from schemas.compatibility import find_incompatibilities
from schemas.errors import InvalidSchema, UnknownSchema
from schemas.scalars import Coercer


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Schema:
    """A version of the schema of an event type, or of one of Termijn's own messages."""

    name: str
    version: int
    definition: Any
    """The schema as JSON."""
    full_name: str
    parsed: Any
    """The schema as fastavro parsed it."""
    fingerprint: bytes
    """CRC-64-AVRO of the Parsing Canonical Form, little-endian."""
    coerce: Coercer
    """Converts a JSON value to Avro's types."""

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.name}.{self.version}.avsc"

    @property
    def text(self) -> str:
        """The schema as a registry keeps it."""
        return json.dumps(self.definition, ensure_ascii=False, separators=(",", ":"))


class SchemaSet:
    """All known versions of all schemas."""

    def __init__(self, versions: Iterable[Schema], readable: Iterable[Schema] = ()) -> None:
        """Check schemas together; `readable` ones are not versions, but values may be written in them.

        Raises:
            InvalidSchema: a version is there twice, versions of a schema cannot read each other, or two
                schemas have one full name.
        """
        self._versions: dict[str, dict[int, Schema]] = {}
        self._by_fingerprint: dict[bytes, Schema] = {}
        self._newest: dict[str, Schema] = {}
        self._owners: dict[str, str] = {}
        for schema in sorted(versions, key=lambda schema: (schema.name, schema.version)):
            family = self._versions.setdefault(schema.name, {})
            if schema.version in family:
                raise InvalidSchema(schema.file, "is there twice")
            owner = self._owners.setdefault(schema.full_name, schema.name)
            if owner != schema.name:
                why = f"{schema.full_name} is taken: it is also the name in Avro of {owner}"
                raise InvalidSchema(schema.file, why)
            family[schema.version] = schema
            self._newest[schema.name] = schema
            self._by_fingerprint[schema.fingerprint] = schema
        for schema in readable:
            self._by_fingerprint.setdefault(schema.fingerprint, schema)
        for family in self._versions.values():
            for problem in find_incompatibilities(
                {v: schema.definition for v, schema in family.items()}
            ):
                raise InvalidSchema(family[problem.reader].file, str(problem))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all schemas, sorted."""
        return tuple(self._versions)

    def versions(self, name: str) -> tuple[Schema, ...]:
        """Return all versions of a schema, oldest first.

        Raises:
            UnknownSchema: there is none.
        """
        return tuple(self._versions[self.newest(name).name].values())

    def newest(self, name: str) -> Schema:
        """Return the version in which values are read and written.

        Raises:
            UnknownSchema: there is none.
        """
        if name not in self._newest:
            raise UnknownSchema(name, "has no schema here")
        return self._newest[name]

    def by_full_name(self, full_name: str) -> Schema | None:
        """Return the newest version of the schema with a full name; None if there is none."""
        name = self._owners.get(full_name)
        return self.newest(name) if name else None

    def by_fingerprint(self, fingerprint: bytes) -> Schema | None:
        """Return the schema with a fingerprint; None if it is not known."""
        return self._by_fingerprint.get(fingerprint)
