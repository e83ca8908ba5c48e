"""Avro schemas that follow from the `fields` of a policy, for event types without a schema file.

Every field may be null and is null by default, so that fields can be added and removed and each version
reads every other. Which fields an event must have is checked by the policy, when the event is tagged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from schemas.schema_versions import SchemaSet
from services.policy.event_type import EventType, Field
from services.policy.model import Policy
from services.policy.yaml_source import PolicyError

Definition = Mapping[str, Any]
"""A schema, Avro as JSON."""
_NAMESPACE: Final = "termijn.events"
_NOT_IN_NAMES = re.compile("[^A-Za-z0-9_]")
_TYPES: Mapping[str, Any] = {
    "boolean": "boolean",
    "strings": {"type": "array", "items": "string"},
}
"""The Avro type of a field's type; any other is text."""


def derive_schemas(policy: Policy) -> dict[str, Definition]:
    """Return the schema that follows from each event type's fields, by event type."""
    return {name: derive_schema(name, event) for name, event in policy.events.items()}


def derive_schema(event_type: str, event: EventType) -> Definition:
    """Return the schema that follows from an event type's fields, in their order.

    It contains nothing else of the policy, so that only other fields change it.
    """
    *namespace, name = (_avro_name(part) for part in event_type.split("."))
    return {
        "type": "record",
        "name": name,
        "namespace": ".".join((_NAMESPACE, *namespace)),
        "fields": [_avro_field(name, field) for name, field in event.fields.items()],
    }


def next_versions(policy: Policy, schemas: SchemaSet) -> dict[tuple[str, int], Definition]:
    """Return the schemas that files lack, by event type and version.

    For a type without a file this is version 1; for one whose newest file lacks fields of the policy it is
    the next version, with these fields at its end.
    """
    versions: dict[tuple[str, int], Definition] = {}
    for event_type, derived in derive_schemas(policy).items():
        if event_type not in schemas.names:
            versions[event_type, 1] = derived
            continue
        newest = schemas.newest(event_type)
        names = {field["name"] for field in newest.definition["fields"]}
        missing = [
            field
            for field in derived["fields"]
            if field["name"] not in names
            and not _is_constant(policy.events[event_type].fields[field["name"]])
        ]
        if missing:
            fields = [*newest.definition["fields"], *missing]
            versions[event_type, newest.version + 1] = {**newest.definition, "fields": fields}
    return versions


def compare_schemas(policy: Policy, schemas: SchemaSet) -> Iterator[PolicyError]:
    """Return where a decision field is not in its event type's schema file, or has another type there."""
    for event_type, event in policy.events.items():
        if event_type not in schemas.names:
            continue
        newest = schemas.newest(event_type)
        types = {field["name"]: field["type"] for field in newest.definition["fields"]}
        for name, field in event.fields.items():
            path = ("events", event_type, "fields", name)
            if name not in types and _is_constant(field):
                continue
            if name not in types:
                effect = "every event would be parked" if field.required else "no event has it"
                yield path, f"is not in {newest.file}: {effect}"
            elif not _can_hold(types[name], field):
                yield path, f"has type {field.type}, and another one in {newest.file}"


def _avro_field(name: str, field: Field) -> Definition:
    return {"name": name, "type": ["null", _TYPES.get(field.type, "string")], "default": None}


def _is_constant(field: Field) -> bool:
    """Return whether a field has one value only, which events need not contain."""
    return field.default is not None and field.one_of == (field.default,)


def _avro_name(part: str) -> str:
    name = _NOT_IN_NAMES.sub("_", part)
    return name if name[:1].isalpha() else f"_{name}"


def _can_hold(avro: Any, field: Field) -> bool:
    """Return whether all values of an Avro type, apart from null, are values of a field's type."""
    branches = [
        branch for branch in (avro if isinstance(avro, list) else [avro]) if branch != "null"
    ]
    return bool(branches) and all(_is_of_type(branch, field) for branch in branches)


def _is_of_type(avro: Any, field: Field) -> bool:
    kind = avro if isinstance(avro, str) else avro["type"]
    logical = None if isinstance(avro, str) else avro.get("logicalType")
    match field.type:
        case "boolean":
            return kind == "boolean"
        case "strings":
            if kind == "array":
                return _can_hold(avro["items"], Field())
            return (kind, logical) == ("string", None)
        case "string":
            return kind in ("string", "enum") and logical is None
    return (kind, logical) in (("string", None), ("int", "date"))
