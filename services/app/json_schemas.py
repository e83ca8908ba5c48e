"""JSON Schemas of the files that people write: policy, cases, settings and an agent's file. Pure.

For editors, and for pipelines that check a file without Termijn. A schema describes the shape of a file;
whether its parts fit together is checked by `termijn policy lint` and by the roles themselves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from services.agent import config
from services.app.settings import GROUPS
from services.policy import editor_schema

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_DIRECTORY = Path("schemas")
_PORT_BOUND = 2**16
"""No port has this number; every other integer setting accepts it."""


def files() -> Mapping[Path, str]:
    """Return every schema as text, by its path below the directory that they are written to."""
    schemas = {
        "policy": editor_schema.policy_schema(),
        "cases": editor_schema.cases_schema(),
        "settings": settings_schema(),
        "agent": config.json_schema(),
    }
    return {
        _DIRECTORY / f"{name}.schema.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for name, schema in schemas.items()
    }


def settings_schema() -> dict[str, Any]:
    """Return the schema of the TOML file that `TERMIJN_SETTINGS` names: a section for each group."""
    return {
        "$schema": _DRAFT,
        "title": "Settings",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            name: {
                "type": "object",
                "description": (group.__doc__ or "").strip(),
                "additionalProperties": False,
                "properties": {
                    setting.name: _property(setting)
                    for setting in fields(group)
                    if setting.metadata["in_file"]
                },
            }
            for name, group in GROUPS.items()
        },
    }


def _property(setting: Field[Any]) -> dict[str, Any]:
    parse, kind = setting.metadata["parse"], str(setting.type)
    annotations: dict[str, Any] = {
        "description": f"{setting.metadata['meaning']} In the environment {setting.metadata['variable']}."
    }
    if isinstance(setting.default, str | int | float):
        annotations["default"] = setting.default
    if kind == "int":
        minimum = next(value for value in (-1, 0, 1) if _accepts(parse, value))
        maximum = {} if _accepts(parse, _PORT_BOUND) else {"maximum": _PORT_BOUND - 1}
        return {"type": "integer", "minimum": minimum, **maximum, **annotations}
    if kind == "float":
        bound = "minimum" if _accepts(parse, 0) else "exclusiveMinimum"
        return {"type": "number", bound: 0, **annotations}
    if kind.startswith("tuple"):
        return {"type": "array", "items": {"type": "string"}, **annotations}
    return {"type": "string", **annotations}


def _accepts(parse: Callable[[str], Any], value: int) -> bool:
    try:
        parse(str(value))
    except ValueError:
        return False
    return True
