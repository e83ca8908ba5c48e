"""Read YAML with line numbers, so that an error can name the line and key of a problem."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from schemas.errors import TermijnError
from services.policy.nearest_name import did_you_mean
from services.policy.yaml_words import describe, line_of

_MERGE = "tag:yaml.org,2002:merge"

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
        node = yaml.compose(text, Loader=_TolerantLoader)
        reader = _StrictLoader(text)
        document = reader.get_single_data()
    except yaml.reader.ReaderError as cause:
        line = text.count("\n", 0, cause.position) + 1
        raise error((_not_yaml(name, line, "a control character is not allowed"),)) from cause
    except yaml.YAMLError as cause:
        raise error((_not_yaml(name, line_of(cause), describe(cause)),)) from cause
    except RecursionError as cause:
        raise error((_not_yaml(name, 0, "it is nested too deeply"),)) from cause
    if problems := reader.problems():
        raise error(_not_yaml(name, line, why) for line, why in problems)
    return document, SourceLines(name, node)


def _not_yaml(name: str, line: int, why: str) -> PolicyProblem:
    return PolicyProblem(file=name, line=line, key="", why=f"is not YAML: {why}")


def validation_path(loc: tuple[int | str, ...]) -> DocumentPath:
    """Return the path in the file of pydantic's location of an error."""
    return tuple(part for part in loc if part != "[key]")


class _TolerantLoader(yaml.SafeLoader):
    """A YAML loader that reads on after an anchor that is not defined."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.anchor_lines: dict[str, int] = {}
        self.undefined_lines: dict[str, int] = {}
        """The line of the first use of each name that is not defined above it."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML has no type for it
        name, line = getattr(event, "anchor", None), event.start_mark.line + 1
        if not isinstance(event, yaml.AliasEvent):
            if name is not None:
                self.anchor_lines.setdefault(name, line)
        elif name not in self.anchors:
            self.get_event()  # type: ignore[no-untyped-call]  # PyYAML has no type for it
            self.undefined_lines.setdefault(str(name), line)
            start: Any = event.start_mark
            return yaml.ScalarNode("tag:yaml.org,2002:null", "", start, start)
        return super().compose_node(parent, index)


class _StrictLoader(_TolerantLoader):
    """A YAML loader that collects keys that are there twice, impossible dates and undefined anchors."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._problems: list[tuple[int, str]] = []

    def problems(self) -> list[tuple[int, str]]:
        """Return the line of each problem and what is wrong there, by line."""
        undefined = [
            (line, _undefined_anchor(name, self.anchor_lines))
            for name, line in self.undefined_lines.items()
        ]
        return sorted({*self._problems, *undefined})

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as cause:
            # PyYAML lets Python's own errors through, as on 2026-02-30 or a number of 5,000 digits.
            if isinstance(node, yaml.ScalarNode):
                why = "a value does not fit its type; write text in quotes"
                self._problems.append((node.start_mark.line + 1, why))
                return None
            raise yaml.constructor.ConstructorError(None, None, "", node.start_mark) from cause

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self._problems.append((line, "a key is a list or a map; write a text"))
                return {}
            if key.value in lines:
                why = f"the key {key.value!r} is there twice, first in line {lines[key.value]};"
                self._problems.append((line, f"{why} remove one"))
            lines.setdefault(key.value, line)
        return super().construct_mapping(node, deep)


def _undefined_anchor(name: str, anchors: Mapping[str, int]) -> str:
    if name in anchors:
        return f"*{name} is used above &{name} in line {anchors[name]}; move that up"
    return f"*{name} has no &{name}{did_you_mean(name, anchors)}"


class SourceLines:
    """The line of each key of a YAML file."""

    def __init__(self, file: str, root: yaml.Node | None) -> None:
        self._file = file
        self._root = root

    def distinct_problems(self, problems: Iterable[PolicyError]) -> tuple[PolicyProblem, ...]:
        """Return problems with their lines; one that places share by an anchor is reported once."""
        by_place: dict[object, PolicyProblem] = {}
        for path, why in problems:
            by_place.setdefault((self._place_of(path), why), self.problem_at(path, why))
        return tuple(by_place.values())

    def _place_of(self, path: DocumentPath) -> tuple[int, DocumentPath]:
        """Return the place of the deepest part of a path that is in the file, and the other parts."""
        places = tuple(self._steps_along(path))
        return (places[-1] if places else 0), path[len(places) :]

    def problem_at(self, path: DocumentPath, why: str) -> PolicyProblem:
        """Return a problem with the line of the deepest part of its path that is in the file."""
        line = (1, *self._lines_along(path))[-1]
        return PolicyProblem(file=self._file, line=line, key=".".join(map(str, path)), why=why)

    def depth_of(self, path: DocumentPath) -> int:
        """Return how many parts of a path are in the file."""
        return len(tuple(self._lines_along(path)))

    def _lines_along(self, path: DocumentPath) -> Iterator[int]:
        return (mark.line + 1 for mark in self._marks_along(path))

    def _steps_along(self, path: DocumentPath) -> Iterator[int]:
        return (mark.index for mark in self._marks_along(path))

    def _marks_along(self, path: DocumentPath) -> Iterator[yaml.Mark]:
        node = self._root
        for part in path:
            step = self._child(node, part)
            if step is None:
                return
            node, mark = step
            yield mark

    @classmethod
    def _child(cls, node: yaml.Node | None, part: str | int) -> tuple[yaml.Node, yaml.Mark] | None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    return value, key.start_mark
            for key, value in node.value:
                if key.tag == _MERGE:
                    merged = value.value if isinstance(value, yaml.SequenceNode) else [value]
                    steps = (cls._child(each, part) for each in merged)
                    return next((step for step in steps if step), None)
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            value = node.value[part]
            return value, value.start_mark
        return None
