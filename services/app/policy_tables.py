"""The tables of keys on the page "The policy language", from the JSON Schema of a policy file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from services.policy.editor_schema import policy_schema
from services.policy.validation_events import ACT_FIELDS, ACT_VALUES

SECTIONS: Final = (
    "controller",
    "purposes",
    "bases",
    "categories",
    "subjects",
    "systems",
    "clocks",
    "rules",
    "proof",
    "events",
)
"""The sections of a policy file whose entries have keys of their own, in the order of the page."""


def key_rows() -> Mapping[str, list[Sequence[str]]]:
    """Return a row for each key, with its default and its meaning, by the name of its table.

    `policy-file` has the keys of the file itself, `policy-rules` those of a rule, and so on.
    """
    schema = policy_schema()
    tables = {
        "policy-file": [_row(key, part, schema) for key, part in schema["properties"].items()]
    }
    for section in SECTIONS:
        model = _model_of(schema["properties"][section], schema)
        tables[f"policy-{section}"] = list(_model_rows(model, "", schema)) if model else []
    return tables


def act_rows() -> Iterator[Sequence[str]]:
    """Return a row for each `act` of an event type, with the fields that it requires."""
    for act, names in ACT_FIELDS.items():
        yield f"`{act}`", ", ".join(f"`{name}`{_one_of(name)}" for name in names)


def _one_of(name: str) -> str:
    values = ", ".join(f"`{value}`" for value in ACT_VALUES.get(name, ()))
    return f" (`one_of`: {values})" if values else ""


def _model_rows(
    model: Mapping[str, Any], prefix: str, schema: Mapping[str, Any]
) -> Iterator[Sequence[str]]:
    for key, part in model["properties"].items():
        yield _row(f"{prefix}{key}", part, model)
        inner = _model_of(part, schema)
        if inner is not None:
            below = "[]" if "items" in part else ".NAME" if "additionalProperties" in part else ""
            yield from _model_rows(inner, f"{prefix}{key}{below}.", schema)


def _row(path: str, part: Mapping[str, Any], model: Mapping[str, Any]) -> Sequence[str]:
    key = path.rpartition(".")[2]
    meaning = " ".join(part["description"].split()).removesuffix(".")
    values = [value for branch in _branches(part) for value in branch.get("enum", ())]
    if values:
        meaning += f" ({', '.join(f'`{value}`' for value in values)})"
    return f"`{path}`", _default(key, part, model), meaning


def _default(key: str, part: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    if key in model.get("required", ()):
        return "required"
    if key in model.get("else", {}).get("required", ()):
        return f"required without `{model['if']['required'][0]}`"
    value = part.get("default")
    if value in (None, [], {}):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _model_of(part: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the model of a key's value, of its list's items or of its map's values, if it has one."""
    for branch in _branches(part):
        for place in (branch, branch.get("items"), branch.get("additionalProperties")):
            if isinstance(place, dict) and "$ref" in place:
                model: Mapping[str, Any] = schema["$defs"][place["$ref"].rpartition("/")[2]]
                return model
    return None


def _branches(part: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return (part, *part.get("anyOf", ()))
