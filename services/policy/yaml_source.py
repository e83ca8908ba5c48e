"""Read YAML with line numbers, so that an error can name the line and key of a problem."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from schemas.errors import TermijnError

DocumentPath = tuple[str | int, ...]
"""The keys and list indices that lead to a value in a file."""
PolicyError = tuple[DocumentPath, str]
"""The path of a problem in a file, and what is wrong there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyProblem:
    """A problem in a YAML file, with its line and key."""

    file: str
    line: int
    key: str
    why: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(filter(None, (place, self.key, self.why)))


class InvalidFile(TermijnError):
    """A YAML file has problems, and nothing was started; the operator fixes the lines that it names."""

    def __init__(self, problems: Iterable[PolicyProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def decode_utf8(raw: bytes, name: str, error: type[InvalidFile]) -> str:
    """Return the text of a file in UTF-8, with or without the byte order mark that Windows writes.

    Raises:
        InvalidFile: as `error`; it is not UTF-8.
    """
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        line = raw.count(b"\n", 0, cause.start) + 1
        why = "is not UTF-8; write the file in UTF-8"
        raise error((PolicyProblem(file=name, line=line, key="", why=why),)) from cause


def parse_yaml(text: str, name: str, error: type[InvalidFile]) -> tuple[Any, SourceLines]:
    """Return the value of a YAML text and its line numbers; `name` is the file's name in errors.

    Raises:
        InvalidFile: as `error`; it is not YAML.
    """
    try:
        node = yaml.compose(text, Loader=_StrictLoader)
        document = yaml.load(text, Loader=_StrictLoader)
    except yaml.reader.ReaderError as cause:
        line = text.count("\n", 0, cause.position) + 1
        raise error((_not_yaml(name, line, "a control character is not allowed"),)) from cause
    except yaml.YAMLError as cause:
        mark = getattr(cause, "problem_mark", None)
        raise error((_not_yaml(name, mark.line + 1 if mark else 0, _first_line(cause)),)) from cause
    except RecursionError as cause:
        raise error((_not_yaml(name, 0, "it is nested too deeply"),)) from cause
    return document, SourceLines(name, node)


def _not_yaml(name: str, line: int, why: str) -> PolicyProblem:
    return PolicyProblem(file=name, line=line, key="", why=f"is not YAML: {why}")


def _first_line(cause: yaml.YAMLError) -> str:
    return str(getattr(cause, "problem", None) or cause).partition("\n")[0]


def validation_path(loc: tuple[int | str, ...]) -> DocumentPath:
    """Return the path in the file of pydantic's location of an error."""
    return tuple(part for part in loc if part != "[key]")


class _StrictLoader(yaml.SafeLoader):
    """A YAML loader for which a key that is there twice, or an impossible date, is an error."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as cause:
            # PyYAML lets Python's own errors through, as on 2026-02-30 or a number of 5,000 digits.
            why = "a value does not fit its type; write text in quotes"
            raise yaml.constructor.ConstructorError(None, None, why, node.start_mark) from cause

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key is a list or a map", key.start_mark
                )
            if key.value in keys:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is there twice", key.start_mark
                )
            keys.add(key.value)
        return super().construct_mapping(node, deep)


class SourceLines:
    """The line of each key of a YAML file."""

    def __init__(self, file: str, root: yaml.Node | None) -> None:
        self._file = file
        self._root = root

    def problem_at(self, path: DocumentPath, why: str) -> PolicyProblem:
        """Return a problem with the line of the deepest part of its path that is in the file."""
        line = (1, *self._lines_along(path))[-1]
        return PolicyProblem(file=self._file, line=line, key=".".join(map(str, path)), why=why)

    def depth_of(self, path: DocumentPath) -> int:
        """Return how many parts of a path are in the file."""
        return len(tuple(self._lines_along(path)))

    def _lines_along(self, path: DocumentPath) -> Iterator[int]:
        node = self._root
        for part in path:
            step = self._child(node, part)
            if step is None:
                return
            node, line = step
            yield line

    @staticmethod
    def _child(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node, int] | None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    return value, key.start_mark.line + 1
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            value = node.value[part]
            return value, value.start_mark.line + 1
        return None
