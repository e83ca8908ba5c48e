"""The JSON Schema of a policy file: it shows an editor every key with its meaning, and checks shapes.

Whether the parts of a policy fit together is checked by the loader, so a file that fits the schema can
still have problems, but a file without problems always fits the schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter

from services.policy.model import Policy
from services.policy.names import EVENT_TYPE_PATTERN, FIELD_PATTERN, KIND_PATTERN, SYSTEM_PATTERN
from services.policy.yaml_file import document_schema

_NAME_PATTERNS = {
    ("Policy", "subjects"): KIND_PATTERN,
    ("Policy", "systems"): SYSTEM_PATTERN,
    ("Policy", "events"): EVENT_TYPE_PATTERN,
    ("EventType", "fields"): FIELD_PATTERN,
}
"""The pattern of the names in a section, by model and key; other names are any visible text."""
_TITLES = {"dpv": "DPV term", "outside_eea": "Outside the EEA"}


def policy_schema() -> dict[str, Any]:
    """Return the JSON Schema of a policy file, for editors."""
    schema = document_schema(TypeAdapter(Policy))
    for name, model in models(schema):
        for key, part in model["properties"].items():
            part["title"] = _TITLES.get(key) or key.replace("_", " ").capitalize()
            _restrict_names(part, _NAME_PATTERNS.get((name, key)))
    return schema


def models(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return each part of a policy's schema that has keys of its own, by its name in the code."""
    yield "Policy", schema
    yield from schema["$defs"].items()


def _restrict_names(part: dict[str, Any], pattern: str | None) -> None:
    """Say of what names a map's keys are; pydantic leaves a key that fits no pattern unchecked."""
    for found, values in part.pop("patternProperties", {}).items():
        pattern, part["additionalProperties"] = found, values
    if pattern is not None:
        part["propertyNames"] = {"pattern": pattern}
