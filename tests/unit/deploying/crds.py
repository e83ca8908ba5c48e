"""Strimzi's own CRDs, as strict as `kubectl --validate` takes them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

_CRDS = Path(__file__).parents[3] / ".cache" / "strimzi"


def validator_of(name: str) -> Draft202012Validator:
    """What the CRD says of version v1beta2, unknown fields refused."""
    file = _CRDS / f"{name}.yaml"
    if not file.exists():
        why = "Strimzi's CRDs are not in .cache/strimzi; run `make servers`"
        if os.environ.get("TERMIJN_REQUIRE_ALL") == "1":
            pytest.fail(why)
        pytest.skip(why)
    [version] = [
        one
        for one in yaml.safe_load(file.read_text("utf-8"))["spec"]["versions"]
        if one["name"] == "v1beta2"
    ]
    return Draft202012Validator(_closed(version["schema"]["openAPIV3Schema"]))


def _closed(schema: Any) -> Any:
    """The schema without room for fields that it does not name."""
    if not isinstance(schema, dict):
        return schema
    found = {name: _closed(one) for name, one in schema.items()}
    if "properties" in schema:
        found["properties"] = {name: _closed(one) for name, one in schema["properties"].items()}
        found["additionalProperties"] = False
    return found
