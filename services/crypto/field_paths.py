"""Places: the texts of an event at a path such as `lines[].product`, and the event with others there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from schemas.errors import TermijnError

_STEP = re.compile(r"(\w+)|(\[\])|(\{\})", re.ASCII)
TextMapper = Callable[[str, str], Any]
"""Given where a text stands, and the text."""


class FieldNotText(TermijnError):
    """A field that is to be encrypted holds something else than text; nothing was published.

    The publisher mends the event, or the policy names another field.
    """

    def __init__(self, path: str) -> None:
        super().__init__(f"{path}: is no text, and only text can be encrypted")
        self.key = path
        self.why = "is no text, and only text can be encrypted"


def map_texts_at(data: Mapping[str, Any], path: str, change: TextMapper) -> dict[str, Any]:
    """The data in which each text at the path is changed; what is absent or null stays so.

    Raises:
        FieldNotText: something else is there.
    """
    steps = [match.group() for match in _STEP.finditer(path)]
    found: dict[str, Any] = _changed(data, steps, "", change)
    return found


def count_texts_at(data: Mapping[str, Any], path: str) -> int:
    """How many texts there are at the path. Raises as `changed` does."""
    texts: list[str] = []

    def note(_: str, text: str) -> str:
        texts.append(text)
        return text

    map_texts_at(data, path, note)
    return len(texts)


def map_texts(value: Any, change: TextMapper, at: str = "") -> Any:
    """The value with each text in it, at whatever depth, changed."""
    match value:
        case str():
            return change(at, value)
        case Mapping():
            below = f"{at}." if at else ""
            return {name: map_texts(one, change, f"{below}{name}") for name, one in value.items()}
        case list():
            return [map_texts(one, change, f"{at}[{n}]") for n, one in enumerate(value)]
    return value


def _changed(value: Any, steps: list[str], at: str, change: TextMapper) -> Any:
    if value is None:
        return None
    if not steps:
        if not isinstance(value, str):
            raise FieldNotText(at)
        return change(at, value)
    step, rest = steps[0], steps[1:]
    match step, value:
        case "[]", list() | tuple():
            return [_changed(one, rest, f"{at}[{n}]", change) for n, one in enumerate(value)]
        case "{}", Mapping():
            return {k: _changed(one, rest, f"{at}.{k}", change) for k, one in value.items()}
        case (("[]" | "{}"), _):
            raise FieldNotText(at)
        case name, Mapping():
            below = f"{at}.{name}" if at else name
            there = name in value
            return {**value, name: _changed(value[name], rest, below, change)} if there else value
    raise FieldNotText(at)
