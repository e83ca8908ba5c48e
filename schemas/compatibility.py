"""Check that each version of a schema can read every other (full, transitive compatibility).

The rules are Avro's for schema resolution, but stricter where Avro would silently change the meaning of a
value: logical types must be equal, and bytes are not text. Aliases do not count. Schemas are JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Any

PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
_PROMOTIONS = {
    "int": ("long", "float", "double"),
    "long": ("float", "double"),
    "float": ("double",),
}
_LOGICAL_KEYS = ("logicalType", "precision", "scale")


@dataclass(frozen=True, slots=True, kw_only=True)
class Incompatibility:
    """A reason why the reader's version cannot read the writer's."""

    reader: int
    writer: int
    path: str
    """Field names, with `[]` for a list's item or a map's value; empty for the schema itself."""
    why: str

    def __str__(self) -> str:
        return f"version {self.reader} cannot read version {self.writer}: {self.path or '.'}: {self.why}"


def find_incompatibilities(versions: Mapping[int, Any]) -> list[Incompatibility]:
    """Return every reason why a version cannot read another; versions are schemas as JSON."""
    return [
        Incompatibility(reader=reader, writer=writer, path=path, why=why)
        for reader, writer in permutations(sorted(versions), 2)
        for path, why in _Comparison(versions[reader], versions[writer]).compare()
    ]


def full_name(schema: Mapping[str, Any], namespace: str) -> str:
    """Return the full name of a named type inside a namespace."""
    name: str = schema["name"]
    namespace = schema.get("namespace", namespace)
    return name if "." in name or not namespace else f"{namespace}.{name}"


def named_types(schema: Any, namespace: str = "") -> dict[str, Any]:
    """Return the named types that a schema defines, by full name."""
    if isinstance(schema, list):
        return {k: v for branch in schema for k, v in named_types(branch, namespace).items()}
    if not isinstance(schema, dict):
        return {}
    types: dict[str, Any] = {}
    if "name" in schema:
        name = full_name(schema, namespace)
        namespace = name.rpartition(".")[0]
        types[name] = schema
    for inner in _unwrap(schema):
        types |= named_types(inner, namespace)
    return types


def _unwrap(schema: Mapping[str, Any]) -> Iterator[Any]:
    yield from (field["type"] for field in schema.get("fields", ()))
    yield from (schema[key] for key in ("items", "values", "type") if key in schema)


@dataclass(frozen=True, slots=True)
class _Type:
    kind: str
    schema: Mapping[str, Any]
    namespace: str
    """The namespace of the names inside it."""
    name: str = ""
    """The full name of a named type; else empty."""


class _Schema:
    """A schema with its named types."""

    def __init__(self, schema: Any) -> None:
        self.schema = schema
        self._named_type = named_types(schema)

    def branches(self, schema: Any, namespace: str) -> list[_Type]:
        """Return the branches of a union, or the type itself."""
        branches = schema if isinstance(schema, list) else [schema]
        return [self._resolve(branch, namespace) for branch in branches]

    def _resolve(self, schema: Any, namespace: str) -> _Type:
        if isinstance(schema, str):
            if schema in PRIMITIVES:
                return _Type(schema, {}, namespace)
            name = schema if "." in schema or not namespace else f"{namespace}.{schema}"
            return _named_type(name, self._named_type[name])
        if isinstance(schema["type"], dict):
            return self._resolve(schema["type"], namespace)
        if "name" in schema:
            return _named_type(full_name(schema, namespace), schema)
        return _Type(schema["type"], schema, namespace)


class _Comparison:
    def __init__(self, reader: Any, writer: Any) -> None:
        self._reader = _Schema(reader)
        self._writer = _Schema(writer)
        self._compared: set[tuple[str, str]] = set()

    def compare(self) -> Iterator[tuple[str, str]]:
        yield from self._compare_schemas("", self._reader.schema, self._writer.schema, "", "")

    def _compare_schemas(
        self, path: str, reader: Any, writer: Any, reader_space: str, writer_space: str
    ) -> Iterator[tuple[str, str]]:
        accepted = self._reader.branches(reader, reader_space)
        for written_type in self._writer.branches(writer, writer_space):
            matching = [branch for branch in accepted if _same_name(branch, written_type)]
            matching.sort(key=lambda branch, kind=written_type.kind: branch.kind != kind)  # type: ignore[misc]
            if matching:
                yield from self._compare_types(path, matching[0], written_type)
            elif len(accepted) == 1 and not isinstance(writer, list):
                yield path, f"{_describe(written_type)} became {_describe(accepted[0])}"
            else:
                yield path, f"takes no {_describe(written_type)}"

    def _compare_types(self, path: str, reader: _Type, writer: _Type) -> Iterator[tuple[str, str]]:
        for key in _LOGICAL_KEYS:
            if reader.schema.get(key) != writer.schema.get(key):
                written, read = writer.schema.get(key), reader.schema.get(key)
                yield path, f"{key} {written} is not {read}"
        match reader.kind:
            case "record":
                if (reader.name, writer.name) not in self._compared:
                    self._compared.add((reader.name, writer.name))
                    yield from self._compare_fields(path, reader, writer)
            case "enum" if "default" not in reader.schema:
                for symbol in writer.schema["symbols"]:
                    if symbol not in reader.schema["symbols"]:
                        yield path, f"knows no symbol {symbol} and has no default"
            case "fixed" if reader.schema["size"] != writer.schema["size"]:
                yield path, f"size {writer.schema['size']} is not {reader.schema['size']}"
            case "array" | "map":
                inner = "items" if reader.kind == "array" else "values"
                yield from self._compare_schemas(
                    f"{path}[]",
                    reader.schema[inner],
                    writer.schema[inner],
                    reader.namespace,
                    writer.namespace,
                )

    def _compare_fields(self, path: str, reader: _Type, writer: _Type) -> Iterator[tuple[str, str]]:
        written_fields = {field["name"]: field["type"] for field in writer.schema["fields"]}
        for field in reader.schema["fields"]:
            name = field["name"]
            inner = f"{path}.{name}" if path else name
            if name in written_fields:
                yield from self._compare_schemas(
                    inner, field["type"], written_fields[name], reader.namespace, writer.namespace
                )
            elif "default" not in field:
                yield inner, "is not written and has no default"


def _named_type(name: str, schema: Mapping[str, Any]) -> _Type:
    return _Type(schema["type"], schema, name.rpartition(".")[0], name)


def _same_name(reader: _Type, writer: _Type) -> bool:
    if reader.kind == writer.kind:
        return reader.kind not in ("record", "enum", "fixed") or reader.name == writer.name
    return reader.kind in _PROMOTIONS.get(writer.kind, ())


def _describe(type_: _Type) -> str:
    return type_.name or type_.kind
