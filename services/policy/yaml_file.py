"""Read a YAML file into a checked value; an error names every problem with file, line and key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from services.policy.document_parts import DocumentParts
from services.policy.pydantic_errors import translate_errors
from services.policy.yaml_source import (
    DocumentPath,
    InvalidFile,
    PolicyProblem,
    SourceLines,
    decode_utf8,
    parse_yaml,
    validation_path,
)

T = TypeVar("T")


def read_yaml_text(path: Path, error: type[InvalidFile]) -> str:
    """Return the text of a file.

    Raises:
        InvalidFile: as `error`; the file cannot be read, or is not UTF-8.
    """
    try:
        return decode_utf8(path.read_bytes(), str(path), error)
    except (OSError, ValueError) as cause:  # a name with a NUL is a ValueError
        why = f"cannot be read: {getattr(cause, 'strerror', None) or cause}"
        raise error((PolicyProblem(file=str(path), line=0, key="", why=why),)) from cause


def validate_yaml(
    adapter: TypeAdapter[T],
    text: str,
    name: str,
    error: type[InvalidFile],
    path_of: Callable[[tuple[int | str, ...]], DocumentPath] = validation_path,
) -> tuple[T, SourceLines]:
    """Return the value of a YAML text and its line numbers; `name` is the file's name in errors.

    `path_of` returns the path in the file of pydantic's location of an error.

    Raises:
        InvalidFile: as `error`; it is not YAML, or does not fit the adapter's schema.
    """
    document, lines = parse_yaml(text, name, error)
    return validate_document(adapter, document, lines, error, path_of), lines


def validate_document(
    adapter: TypeAdapter[T],
    document: Any,
    lines: SourceLines,
    error: type[InvalidFile],
    path_of: Callable[[tuple[int | str, ...]], DocumentPath] = validation_path,
) -> T:
    """Return the value of a document that was read from YAML.

    Raises:
        InvalidFile: as `error`; it does not fit the adapter's schema.
    """
    try:
        return adapter.validate_python(document)
    except ValidationError as cause:
        parts = DocumentParts(adapter.json_schema())
        problems = translate_errors(cause, parts, path_of)
        raise error(lines.distinct_problems(problems)) from cause


def document_schema(adapter: TypeAdapter[Any]) -> dict[str, Any]:
    """Return the JSON Schema of a YAML file, for editors."""
    schema = adapter.json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
