"""JSON Schemas of the files that people write: policy, settings and an agent's file. Pure.

For editors and for pipelines that check a file before Termijn is there. They say what shape a file has;
whether its parts fit together only `termijn policy lint` and the roles themselves say.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from services.agent import config
from services.app.settings import GROUPS
from services.policy import loader

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_EXCLUSIVE_MAX = Path("schemas")
_MAX = 2**16
"""What no port is, and every other number may be."""


def files() -> Mapping[Path, str]:
    """Every schema, by its path below the directory that they are written to."""
    found = {
        "policy": loader.json_schema(),
        "settings": settings_schema(),
        "agent": config.json_schema(),
    }
    return {
        _EXCLUSIVE_MAX / f"{name}.schema.json": json.dumps(schema, indent=2, ensure_ascii=False)
        + "\n"
        for name, schema in found.items()
    }


def settings_schema() -> dict[str, Any]:
    """The schema of the TOML file that `TERMIJN_SETTINGS` names: its groups are sections."""
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
                    one.name: _setting(one) for one in fields(group) if one.metadata["in_file"]
                },
            }
            for name, group in GROUPS.items()
        },
    }


def _setting(one: Field[Any]) -> dict[str, Any]:
    parse, kind = one.metadata["parse"], str(one.type)
    said: dict[str, Any] = {
        "description": f"{one.metadata['meaning']} In the environment {one.metadata['variable']}."
    }
    if isinstance(one.default, str | int | float):
        said["default"] = one.default
    if kind == "int":
        least = next(value for value in (-1, 0, 1) if _takes(parse, value))
        most = {} if _takes(parse, _MAX) else {"maximum": _MAX - 1}
        return {"type": "integer", "minimum": least, **most, **said}
    if kind == "float":
        bound = "minimum" if _takes(parse, 0) else "exclusiveMinimum"
        return {"type": "number", bound: 0, **said}
    if kind.startswith("tuple"):
        return {"type": "array", "items": {"type": "string"}, **said}
    return {"type": "string", **said}


def _takes(parse: Callable[[str], Any], value: int) -> bool:
    try:
        parse(str(value))
    except ValueError:
        return False
    return True
