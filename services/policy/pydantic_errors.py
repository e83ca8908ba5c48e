"""Pydantic's validation errors of a YAML file, translated for the person who writes the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from services.policy.document_parts import DocumentParts
from services.policy.nearest_name import did_you_mean, nearest_name
from services.policy.yaml_source import DocumentPath, PolicyError

_KIND_NAMES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (type(None), "nothing"),
    (bool, "true or false"),
    (int, "a whole number"),
    (float, "a number"),
    (str, "text"),
    (Mapping, "a map"),
    ((list, tuple), "a list"),
)
_CHOICES = ("str", "bool")
_TEXT_OR_BOOLEAN = "text_or_boolean"
_MESSAGES: Mapping[str, str] = {
    "string_type": "is not text; write it in quotes",
    "tuple_type": "is not a list",
    "list_type": "is not a list",
    "dict_type": "is not a map",
    "mapping_type": "is not a map",
    "is_instance_of": "is not a map",
    "dataclass_type": "is not a map",
    "bool_type": "is neither true nor false",
    "bool_parsing": "is neither true nor false",
    "int_type": "is not a whole number",
    "int_parsing": "is not a whole number",
    "int_parsing_size": "is not a whole number that can be used",
    "int_from_float": "is not a whole number",
    "float_type": "is not a number",
    "float_parsing": "is not a number",
    "none_required": "must be empty",
    "datetime_type": "is not an instant such as 2026-03-15T13:00:00Z",
    "datetime_parsing": "is not an instant such as 2026-03-15T13:00:00Z",
    "datetime_from_date_parsing": "is not an instant such as 2026-03-15T13:00:00Z",
    "datetime_object_invalid": "is not an instant such as 2026-03-15T13:00:00Z",
    "date_type": "is not a date such as 2026-07-01",
    "date_parsing": "is not a date such as 2026-07-01",
    "date_from_datetime_parsing": "is not a date such as 2026-07-01",
    "timezone_aware": "is not an instant with its zone, such as 2026-03-15T13:00:00Z",
    "written_time": "is not a date or time such as 2032-01-01, 2032-01-01 14:00 or 2032-01-01T13:00:00Z",
    "written_time_bounds": "is not in a year from 1800 to 9998",
    _TEXT_OR_BOOLEAN: "is neither text nor true or false",
    "string_unicode": "contains an invalid character",
    "recursion_loop": "contains itself",
}
_HINTS: Mapping[str, str] = {
    "is not a list": "; write it in [ ]",
    "is not a map": "; write its keys and values in { }",
}
"""What to write instead of a text."""
_MAX_SHOWN_CHARS = 40
_MISSING = "is missing"
_UNKNOWN_KEY = "is not a known key"
_MESSAGES_WITHOUT_VALUE: Mapping[str, str] = {
    "missing": _MISSING,
    "missing_keyword_only_argument": _MISSING,
    "unexpected_keyword_argument": _UNKNOWN_KEY,
    "extra_forbidden": _UNKNOWN_KEY,
}


def translate_errors(
    cause: ValidationError,
    parts: DocumentParts,
    place: Callable[[tuple[int | str, ...]], DocumentPath],
) -> list[PolicyError]:
    """Return each problem with its path; of a value only the kind, since it may be a secret, unless few
    are allowed.

    A key that is missing is not a problem of its own where another key is a misspelt one.
    """
    problems: list[PolicyError] = []
    misspelt: set[DocumentPath] = set()
    missing: set[DocumentPath] = set()
    for error in list_errors(cause):
        path = place(error["loc"])
        if _MESSAGES_WITHOUT_VALUE.get(error["type"]) == _UNKNOWN_KEY and path:
            keys = parts.keys_at(path[:-1])
            problems.append((path, f"{_UNKNOWN_KEY}{did_you_mean(str(path[-1]), keys)}"))
            if meant := nearest_name(str(path[-1]), keys):
                misspelt.add((*path[:-1], meant))
            continue
        if _MESSAGES_WITHOUT_VALUE.get(error["type"]) == _MISSING:
            missing.add(path)
        problems.append((path, _message(error)))
    return [problem for problem in problems if problem[0] not in misspelt & missing]


def list_errors(cause: ValidationError) -> list[Mapping[str, Any]]:
    """Return pydantic's errors; for a value that may be text or a boolean, one in place of one for each."""
    errors: list[Mapping[str, Any]] = []
    found = cause.errors(include_url=False)
    places = {error["loc"] for error in found}
    for error in found:
        *place, choice = error["loc"] or ("",)
        if choice in _CHOICES and all((*place, each) in places for each in _CHOICES):
            if choice == _CHOICES[0]:
                errors.append({**error, "loc": tuple(place), "type": _TEXT_OR_BOOLEAN})
        else:
            errors.append({**error})
    return errors


def _message(error: Any) -> str:
    kind = error["type"]
    if kind in _MESSAGES_WITHOUT_VALUE:
        return _MESSAGES_WITHOUT_VALUE[kind]
    if kind == "literal_error":
        allowed = error["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
        nearest = did_you_mean(str(error["input"]), allowed.split(", "))
        return f"is not one of {allowed}, got {_shown(error['input'])}{nearest}"
    message = _MESSAGES.get(kind, "cannot be used here")
    hint = _HINTS.get(message, "") if isinstance(error["input"], str) else ""
    return f"{message}, got {_kind_name(error['input'])}{hint}"


def _shown(value: Any) -> str:
    """Return a value where only a few are allowed; of a long one, which may be anything, the kind."""
    is_short = isinstance(value, str) and value.isprintable() and len(value) <= _MAX_SHOWN_CHARS
    return repr(value) if is_short else _kind_name(value)


def _kind_name(value: Any) -> str:
    return next((name for kind, name in _KIND_NAMES if isinstance(value, kind)), "something else")
