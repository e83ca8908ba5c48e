"""Check what can be checked of a document of which some parts are wrong, so that all is reported at once.

Each wrong part is replaced by a sample that fits. What is then found in the replaced parts, or in parts
that refer to them, may follow from the samples and is not reported.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from copy import deepcopy
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from services.policy.document_parts import SAMPLE_TEXT, DocumentParts
from services.policy.nearest_name import nearest_name
from services.policy.pydantic_errors import list_errors, translate_errors
from services.policy.yaml_source import (
    DocumentPath,
    InvalidFile,
    PolicyError,
    SourceLines,
    validation_path,
)

T = TypeVar("T")
_ROUNDS = 3
"""A sample can bring problems to light that the wrong part hid; how often they are replaced too."""
_CERTAINLY_MEANT = 0.8
"""How alike, from 0 to 1, an unknown key must be to a known one to be read as that."""
_ENTRY_DEPTH = 2
"""How many keys lead to an entry of a section, such as rules and a rule."""
_PART_DEPTH = 4
"""How many lead to a part of an event type, such as its first holding."""


def check_document(
    adapter: TypeAdapter[T],
    document: Any,
    lines: SourceLines,
    error: type[InvalidFile],
    check: Callable[[T], Iterable[PolicyError]],
) -> T:
    """Return the value of a document that was read from YAML, and in which `check` finds no problem.

    Raises:
        InvalidFile: as `error`; it names every problem of the shape, and every one that `check` finds.
    """
    try:
        value = adapter.validate_python(document)
    except ValidationError:
        problems = _all_problems(adapter, document, check)
        raise error(lines.distinct_problems(problems)) from None
    if found := lines.distinct_problems(check(value)):
        raise error(found)
    return value


def _all_problems(
    adapter: TypeAdapter[T], document: Any, check: Callable[[T], Iterable[PolicyError]]
) -> Iterator[PolicyError]:
    """Return the problems of the shape, then those that `check` finds with samples in the wrong parts."""
    parts = DocumentParts(adapter.json_schema())
    replaced: set[DocumentPath] = set()
    current = document
    for attempt in range(_ROUNDS):
        try:
            value = adapter.validate_python(current)
        except ValidationError as cause:
            if attempt == 0:
                yield from translate_errors(cause, parts, validation_path)
            current = deepcopy(current)
            wrong = {validation_path(error["loc"]) for error in list_errors(cause)}
            renamed: set[DocumentPath] = set()
            for path in sorted(wrong, key=_by_text):
                if path not in renamed and not _replace(current, path, parts, renamed):
                    return
            replaced |= wrong
            continue
        for path, why in check(value):
            if SAMPLE_TEXT not in why and not _follows(path, replaced, document):
                yield path, why
        return


def _by_text(path: DocumentPath) -> tuple[str, ...]:
    return tuple(map(str, path))


def _replace(
    document: Any, path: DocumentPath, parts: DocumentParts, renamed: set[DocumentPath]
) -> bool:
    """Replace what is at a path by a sample, or remove an unknown key; return whether that is possible.

    What an unknown key was meant to be is added to `renamed`: that is not missing then.
    """
    if not path or not isinstance(document, dict):
        return False
    place = document
    for step in path[:-1]:
        try:
            place = place[step]
        except (KeyError, IndexError, TypeError):
            return True  # it is in a part that was replaced
    last = path[-1]
    keys = parts.keys_at(path[:-1])
    if isinstance(place, dict) and keys and last not in keys:
        value = place.pop(last, None)
        meant = nearest_name(str(last), keys, _CERTAINLY_MEANT)
        if meant and value is not None and meant not in place:
            place[meant] = value
            renamed.add((*path[:-1], meant))
        return True
    value = place.get(last) if isinstance(place, dict) else None
    sample = parts.sample_at(path, value if isinstance(value, str) else "")
    if sample is None or not isinstance(place, dict | list):
        return False
    if isinstance(place, list) and not (isinstance(last, int) and last < len(place)):
        return True
    place[last] = sample
    return True


def _follows(path: DocumentPath, replaced: Collection[DocumentPath], document: Any) -> bool:
    """Return whether a problem may follow from a sample."""
    if any(path[: len(wrong)] == wrong or wrong[: len(path)] == path for wrong in replaced):
        return True
    names = {wrong[1] for wrong in replaced if len(wrong) > _ENTRY_DEPTH - 1}
    names |= {wrong[3] for wrong in replaced if wrong[2:3] == ("fields",) and wrong[3:]}
    part = document
    for step in path[: _PART_DEPTH if path[:1] == ("events",) else _ENTRY_DEPTH]:
        try:
            part = part[step]
        except (KeyError, IndexError, TypeError):
            return True
    return not names.isdisjoint(_texts_in(part))


def _texts_in(document: Any) -> Iterator[str]:
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict):
        for value in document.values():
            yield from _texts_in(value)
    elif isinstance(document, list):
        for value in document:
            yield from _texts_in(value)
