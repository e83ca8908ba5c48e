"""The paths of all values in an Avro schema, such as `lines[].product`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

LIST_ITEM = "[]"
"""Follows a path, for each item of a list: `lines[].product`."""
MAP_VALUE = "{}"
"""Follows a path, for each value of a map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldPath:
    """A path; an event may have no value there, one, or through a list many."""

    path: str
    is_text: bool
    """Whether its values are plain text or null."""


def field_paths(definition: Any) -> tuple[FieldPath, ...]:
    """Return the paths of values in a record's schema (Avro, as JSON), in its order.

    A record inside itself is one path that is not text, since only an event shows how deep it goes.
    """
    return tuple(_leaves(definition, "", {}, frozenset()))


def _leaves(
    kind: Any, path: str, named_types: dict[str, Any], inside: frozenset[str]
) -> Iterator[FieldPath]:
    if isinstance(kind, list):
        several = [branch for branch in kind if branch != "null"]
        if len(several) == 1:
            yield from _leaves(several[0], path, named_types, inside)
        else:
            yield FieldPath(path=path, is_text=False)
        return
    if isinstance(kind, str):
        if kind in named_types and kind not in inside:
            yield from _leaves(named_types[kind], path, named_types, inside)
        else:
            yield FieldPath(path=path, is_text=kind == "string")
        return
    yield from _type_paths(kind, path, named_types, inside)


def _type_paths(
    kind: Mapping[str, Any], path: str, named_types: dict[str, Any], inside: frozenset[str]
) -> Iterator[FieldPath]:
    match kind["type"]:
        case "record":
            names = {kind["name"], f"{kind.get('namespace', '')}.{kind['name']}"}
            named_types.update(dict.fromkeys(names, kind))
            for field in kind["fields"]:
                below = f"{path}.{field['name']}" if path else field["name"]
                yield from _leaves(field["type"], below, named_types, inside | names)
        case "array":
            yield from _leaves(kind["items"], path + LIST_ITEM, named_types, inside)
        case "map":
            yield from _leaves(kind["values"], path + MAP_VALUE, named_types, inside)
        case "enum" | "fixed":
            yield FieldPath(path=path, is_text=False)
        case str(plain):
            yield FieldPath(path=path, is_text=plain == "string" and "logicalType" not in kind)
        case nested:
            yield from _leaves(nested, path, named_types, inside)
