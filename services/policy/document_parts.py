"""The parts of a YAML file that its JSON Schema describes, and what could stand in a part that is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from services.policy.nearest_name import nearest_name
from services.policy.yaml_source import DocumentPath

Schema = Mapping[str, Any]
SAMPLE_TEXT: Final = "sample-in-place-of-a-wrong-part"
"""The text in a sample; a problem that names it follows from the sample."""


class DocumentParts:
    """Finds the schema of each part of a document."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    def keys_at(self, path: DocumentPath) -> tuple[str, ...]:
        """Return the keys that a part can have; none if its keys are names, or it has none."""
        part = self._part_at(path)
        return tuple(part.get("properties", ())) if part else ()

    def sample_at(self, path: DocumentPath, wrong: str = "") -> Any:
        """Return a value that fits the schema of a part; None if there is none.

        Of a few values that is the one most like the `wrong` one, if one is like it.
        """
        part = self._part_at(path)
        if part is None:
            return None
        values = [value for value in self._resolve(part).get("enum", ()) if isinstance(value, str)]
        meant = nearest_name(wrong, values) if wrong else None
        return meant or self._sample(part)

    def _part_at(self, path: DocumentPath) -> Schema | None:
        part: Schema | None = self._resolve(self._schema)
        for step in path:
            if part is None:
                return None
            following = part.get("items") if isinstance(step, int) else self._value_of(part, step)
            part = self._resolve(following) if following else None
        return part

    @staticmethod
    def _value_of(part: Schema, key: str) -> Schema | None:
        of_names = part.get("additionalProperties") or next(
            iter(part.get("patternProperties", {}).values()), None
        )
        value: Schema | None = part.get("properties", {}).get(key, of_names)
        return value

    def _resolve(self, part: Schema) -> Schema:
        """Return a part without references; of several it can be, the first that is not null."""
        if "$ref" in part:
            name = part["$ref"].rpartition("/")[2]
            return self._resolve(self._schema["$defs"][name])
        choices = [choice for choice in part.get("anyOf", ()) if choice.get("type") != "null"]
        return self._resolve(choices[0]) if choices else part

    def _sample(self, part: Schema) -> Any:
        part = self._resolve(part)
        if "const" in part:
            return part["const"]
        for key in ("enum", "examples"):
            if part.get(key):
                return part[key][0]
        if part.get("type") == "object":
            values = part.get("properties", {})
            return {key: self._sample(values[key]) for key in part.get("required", ())}
        text = "2026-01-01T00:00:00Z" if part.get("format") == "date-time" else SAMPLE_TEXT
        return {"array": [], "boolean": False, "integer": 1}.get(part.get("type", ""), text)
