"""The versions of every schema, together: found by name, by full name and by fingerprint."""

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
    """One version of the schema of one event type, or of one of Termijn's own messages."""

    name: str
    version: int
    definition: Any
    """As JSON."""
    full_name: str
    parsed: Any
    """As fastavro wants it."""
    fingerprint: bytes
    """CRC-64-AVRO of the Parsing Canonical Form, little-endian."""
    coerce: Coercer
    """Takes a JSON value, gives it as Avro wants it."""

    @property
    def file(self) -> str:
        """What its file is called."""
        return f"{self.name}.{self.version}.avsc"

    @property
    def text(self) -> str:
        """As a schema registry keeps it."""
        return json.dumps(self.definition, ensure_ascii=False, separators=(",", ":"))


class SchemaSet:
    """Every version of every schema that is known here."""

    def __init__(self, versions: Iterable[Schema]) -> None:
        """Take schemas together.

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
                raise InvalidSchema(file=schema.file, why="is there twice")
            if self._owners.setdefault(schema.full_name, schema.name) != schema.name:
                raise InvalidSchema(file=schema.file, why=f"{schema.full_name} is taken")
            family[schema.version] = schema
            self._newest[schema.name] = schema
            self._by_fingerprint[schema.fingerprint] = schema
        for family in self._versions.values():
            for problem in find_incompatibilities(
                {v: schema.definition for v, schema in family.items()}
            ):
                raise InvalidSchema(file=family[problem.reader].file, why=str(problem))

    @property
    def names(self) -> tuple[str, ...]:
        """What there are schemas for, sorted."""
        return tuple(self._versions)

    def versions(self, name: str) -> tuple[Schema, ...]:
        """All versions of a schema, oldest first.

        Raises:
            UnknownSchema: there is none.
        """
        return tuple(self._versions[self.newest(name).name].values())

    def newest(self, name: str) -> Schema:
        """The version in which values are read and written.

        Raises:
            UnknownSchema: there is none.
        """
        if name not in self._newest:
            raise UnknownSchema(schema=name, why="has no schema here")
        return self._newest[name]

    def by_full_name(self, full_name: str) -> Schema | None:
        """The newest version of the schema of a full name, if there is one."""
        name = self._owners.get(full_name)
        return self.newest(name) if name else None

    def by_fingerprint(self, fingerprint: bytes) -> Schema | None:
        """The schema of a fingerprint, if it is known."""
        return self._by_fingerprint.get(fingerprint)
