"""The leaves of a schema: each place of an event that holds a value, by its path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

LIST_ITEM = "[]"
"""Stands behind a path for each item of a list: `lines[].product`."""
MAP_VALUE = "{}"
"""Stands behind a path for each value of a map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldPath:
    """One place; an event may have none, one, or through a list many values there."""

    path: str
    is_text: bool
    """Whether it holds plain text, or nothing."""


def field_paths(definition: Any) -> tuple[FieldPath, ...]:
    """The leaves of a record's schema (Avro, as JSON), in its order.

    A record inside itself is one leaf that is no text: how deep it goes only an event tells.
    """
    return tuple(_leaves(definition, "", {}, frozenset()))


def _leaves(
    kind: Any, path: str, named: dict[str, Any], inside: frozenset[str]
) -> Iterator[FieldPath]:
    if isinstance(kind, list):
        several = [branch for branch in kind if branch != "null"]
        if len(several) == 1:
            yield from _leaves(several[0], path, named, inside)
        else:
            yield FieldPath(path=path, is_text=False)
        return
    if isinstance(kind, str):
        if kind in named and kind not in inside:
            yield from _leaves(named[kind], path, named, inside)
        else:
            yield FieldPath(path=path, is_text=kind == "string")
        return
    yield from _type_paths(kind, path, named, inside)


def _type_paths(
    kind: Mapping[str, Any], path: str, named: dict[str, Any], inside: frozenset[str]
) -> Iterator[FieldPath]:
    match kind["type"]:
        case "record":
            names = {kind["name"], f"{kind.get('namespace', '')}.{kind['name']}"}
            named.update(dict.fromkeys(names, kind))
            for field in kind["fields"]:
                below = f"{path}.{field['name']}" if path else field["name"]
                yield from _leaves(field["type"], below, named, inside | names)
        case "array":
            yield from _leaves(kind["items"], path + LIST_ITEM, named, inside)
        case "map":
            yield from _leaves(kind["values"], path + MAP_VALUE, named, inside)
        case "enum" | "fixed":
            yield FieldPath(path=path, is_text=False)
        case str(plain):
            yield FieldPath(path=path, is_text=plain == "string" and "logicalType" not in kind)
        case nested:
            yield from _leaves(nested, path, named, inside)
