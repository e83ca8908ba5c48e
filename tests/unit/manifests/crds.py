"""Custom resources by their own definitions, as strict as `kubectl --validate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from tests.unit.manifests.needed import cached


def validator_of(name: str) -> Draft202012Validator:
    """Return a validator by Strimzi's CRD, version v1beta2; unknown fields are refused."""
    return strict(cached("strimzi", f"{name}.yaml"), "v1beta2")


def strict(definition: Path, version: str) -> Draft202012Validator:
    """Return the JSON Schema of a version in a CRD, with unknown fields refused."""
    versions = yaml.safe_load(definition.read_text("utf-8"))["spec"]["versions"]
    [candidate_schema] = [candidate for candidate in versions if candidate["name"] == version]
    return Draft202012Validator(_closed(candidate_schema["schema"]["openAPIV3Schema"]))


def _closed(schema: Any) -> Any:
    """The schema without room for fields that it does not name."""
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(part) for name, part in schema.items()}
    if "properties" in schema:
        closed["properties"] = {name: _closed(part) for name, part in schema["properties"].items()}
        closed["additionalProperties"] = False
    return closed
