"""The JSON Schemas of a policy file and of its cases: an editor shows keys with them, and checks shapes.

Whether the parts of a policy fit together is checked by the loader, so a file that fits the schema can
still have problems, but a file without problems always fits the schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter

from services.policy import included
from services.policy.case_file import CaseFile
from services.policy.inheritance import EXTENDS
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
_SECTIONS = ("bases", "clocks", "events")
"""The sections that a built-in part has entries of."""
_INCLUDABLE = ("bases", "clocks")
"""The sections that a file may leave out if it includes a built-in part."""
_TITLES = {"dpv": "DPV term", "outside_eea": "Outside the EEA"}


def policy_schema() -> dict[str, Any]:
    """Return the JSON Schema of a policy file, for editors."""
    schema = document_schema(TypeAdapter(Policy))
    for name, model in models(schema):
        for key, part in model["properties"].items():
            part["title"] = _TITLES.get(key) or key.replace("_", " ").capitalize()
            _restrict_names(part, _NAME_PATTERNS.get((name, key)))
    _describe_include(schema)
    _describe_extends(schema["$defs"]["Rule"])
    return schema


def cases_schema() -> dict[str, Any]:
    """Return the JSON Schema of a file of cases, for editors."""
    schema = document_schema(TypeAdapter(CaseFile))
    for _, model in models(schema):
        for key, part in model["properties"].items():
            part["title"] = key.replace("_", " ").capitalize()
    return schema


def _describe_extends(rule: dict[str, Any]) -> None:
    """Let a rule that extends another leave out any key."""
    rule["if"] = {"required": [EXTENDS]}
    rule["else"] = {"required": rule.pop("required")}


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


def _describe_include(schema: dict[str, Any]) -> None:
    """Add the key `include`, and let a file override single keys of the entries that it includes."""
    schema["properties"][included.KEY] = {
        "title": "Include",
        "description": "A built-in part of policies. `gdpr`: the legal bases of GDPR 6(1), and the events"
        " by which consent, objections, requests and legal holds are reported. The file's own entries"
        " override it key by key.",
        "enum": list(included.NAMES),
        "type": "string",
    }
    for part in map(included.read_part, included.NAMES):
        for section in _SECTIONS:
            names = part.get(section, {})
            values = schema["properties"][section]
            model = values["additionalProperties"]["$ref"].rpartition("/")[2]
            change = f"{model}Change"
            schema["$defs"][change] = {**schema["$defs"][model], "required": [], "title": change}
            values["properties"] = {name: {"$ref": f"#/$defs/{change}"} for name in names}
    schema["required"] = [key for key in schema["required"] if key not in _INCLUDABLE]
    schema["if"] = {"required": [included.KEY]}
    schema["else"] = {"required": list(_INCLUDABLE)}
