"""Built-in parts of policies: what `include: gdpr` adds to a file, before the file is checked.

The file's own entries win: a map is merged key by key, any other value replaces the included one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

from services.policy.yaml_source import (
    DocumentPath,
    InvalidFile,
    PolicyProblem,
    SourceLines,
    parse_yaml,
)

KEY: Final = "include"
NAMES: Final = ("gdpr",)
"""What can be included; each is a file beside this module."""
_ENTRY_DEPTH = 2
"""How many keys lead to an entry, such as events and an event type."""


def expand(document: Any, lines: SourceLines, error: type[InvalidFile]) -> tuple[Any, SourceLines]:
    """Return a policy file's document with what it includes, and the lines of both.

    Raises:
        InvalidFile: as `error`; what it includes does not exist.
    """
    if not isinstance(document, dict) or KEY not in document:
        return document, lines
    own = {key: value for key, value in document.items() if key != KEY}
    name = document[KEY]
    if name not in NAMES:
        raise error((lines.problem_at((KEY,), f"is not one of {', '.join(NAMES)}"),))
    part = _without_unused_bases(read_part(name), own)
    return _merge_sections(own, part), _IncludingLines(lines, part, name)


@cache
def read_part(name: str) -> Mapping[str, Any]:
    """Return a built-in part of a policy, as it is in its file."""
    file = f"{name}.yaml"
    text = files(__package__).joinpath(file).read_text("utf-8")
    document: Mapping[str, Any] = parse_yaml(text, file, InvalidFile)[0]
    return document


class _IncludingLines(SourceLines):
    """The lines of a file that includes a part: a problem is shown where the file can be changed."""

    def __init__(self, own: SourceLines, part: Mapping[str, Any], name: str) -> None:
        self._own = own
        self._part = part
        self._name = name

    def _place_of(self, path: DocumentPath) -> tuple[int, DocumentPath]:
        return self._own._place_of(path)

    def problem_at(self, path: DocumentPath, why: str) -> PolicyProblem:
        """Return a problem with the file's own line, or that of `include` for what it only includes."""
        own_depth = self._own.depth_of(path)
        if own_depth >= _ENTRY_DEPTH or _depth_in(self._part, path) < _ENTRY_DEPTH:
            return self._own.problem_at(path, why)
        key = ".".join(map(str, path))
        problem = self._own.problem_at((KEY,), f"{why}, in what `{KEY}: {self._name}` adds")
        return PolicyProblem(file=problem.file, line=problem.line, key=key, why=problem.why)


def _depth_in(document: Any, path: DocumentPath) -> int:
    for depth, part in enumerate(path):
        if not isinstance(document, Mapping) or part not in document:
            return depth
        document = document[part]
    return len(path)


def _without_unused_bases(part: Mapping[str, Any], own: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out the legal bases that the file neither uses nor changes, and their titles."""
    own_bases = own.get("bases")
    used = {*_values_of("basis", own), *(own_bases if isinstance(own_bases, dict) else ())}
    unused = {name for name in part["bases"] if name not in used}
    titles = {
        language: {
            key: title
            for key, title in entries.items()
            if key not in {f"bases.{name}" for name in unused}
        }
        for language, entries in part["titles"].items()
    }
    bases = {name: entry for name, entry in part["bases"].items() if name not in unused}
    return {**part, "bases": bases, "titles": titles}


def _values_of(key: str, document: Any) -> Iterator[str]:
    """Return each text that a key has anywhere in a document."""
    if isinstance(document, dict):
        if isinstance(document.get(key), str):
            yield document[key]
        for value in document.values():
            yield from _values_of(key, value)
    if isinstance(document, list):
        for value in document:
            yield from _values_of(key, value)


def _merge_sections(own: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """Merge a part into a file; in each section the part's entries are last, in the part's order."""
    merged = dict(own)
    for section, entries in part.items():
        own_entries = own.get(section, {})
        if not isinstance(own_entries, dict):
            continue  # the check of the whole file reports it
        only_own = {name: entry for name, entry in own_entries.items() if name not in entries}
        merged[section] = only_own | {
            name: _merge(own_entries[name], entry) if name in own_entries else entry
            for name, entry in entries.items()
        }
    return merged


def _merge(own: Any, included: Any) -> Any:
    if not isinstance(own, dict) or not isinstance(included, dict):
        return own
    only_included = {key: value for key, value in included.items() if key not in own}
    return {
        key: _merge(value, included[key]) if key in included else value
        for key, value in own.items()
    } | only_included
