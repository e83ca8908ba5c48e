"""Field paths: find and replace the texts of an event at a path such as `lines[].product`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from schemas.errors import TermijnError

_STEP = re.compile(r"(\w+)|(\[\])|(\{\})", re.ASCII)
TextMapper = Callable[[str, str], Any]
"""Takes the path of a text, and the text."""


class FieldNotText(TermijnError):
    """A field that must be encrypted does not hold text; nothing was published.

    The publisher fixes the event, or the policy names another field.
    """

    def __init__(self, path: str) -> None:
        super().__init__(f"{path}: is not text; only text can be encrypted")
        self.key = path
        self.why = "is not text; only text can be encrypted"


def map_texts_at(data: Mapping[str, Any], path: str, map_text: TextMapper) -> dict[str, Any]:
    """Return the data with each text at the path replaced; missing and null values stay.

    Raises:
        FieldNotText: another value is at the path.
    """
    steps = [match.group() for match in _STEP.finditer(path)]
    changed: dict[str, Any] = _map_at(data, steps, "", map_text)
    return changed


def count_texts_at(data: Mapping[str, Any], path: str) -> int:
    """Count the texts at the path. Raises `FieldNotText` as `map_texts_at` does."""
    texts: list[str] = []

    def collect(_: str, text: str) -> str:
        texts.append(text)
        return text

    map_texts_at(data, path, collect)
    return len(texts)


def map_texts(value: Any, map_text: TextMapper, path: str = "") -> Any:
    """Return the value with each text in it replaced, at any depth."""
    match value:
        case str():
            return map_text(path, value)
        case Mapping():
            prefix = f"{path}." if path else ""
            return {
                name: map_texts(item, map_text, f"{prefix}{name}") for name, item in value.items()
            }
        case list():
            return [map_texts(item, map_text, f"{path}[{n}]") for n, item in enumerate(value)]
    return value


def _map_at(value: Any, steps: list[str], path: str, map_text: TextMapper) -> Any:
    if value is None:
        return None
    if not steps:
        if not isinstance(value, str):
            raise FieldNotText(path)
        return map_text(path, value)
    step, rest = steps[0], steps[1:]
    match step, value:
        case "[]", list() | tuple():
            return [_map_at(item, rest, f"{path}[{n}]", map_text) for n, item in enumerate(value)]
        case "{}", Mapping():
            return {k: _map_at(item, rest, f"{path}.{k}", map_text) for k, item in value.items()}
        case (("[]" | "{}"), _):
            raise FieldNotText(path)
        case name, Mapping():
            child_path = f"{path}.{name}" if path else name
            is_present = name in value
            return (
                {**value, name: _map_at(value[name], rest, child_path, map_text)}
                if is_present
                else value
            )
    raise FieldNotText(path)
