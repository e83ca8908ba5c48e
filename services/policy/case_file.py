"""Cases of a policy: events, and the windows and commands that a person expects of them.

A privacy officer can read and write the file. A time without an offset is local in the controller's time
zone; a date that is expected admits any instant of that day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from services.policy.explain import HoldingState
from services.policy.partial_check import check_document
from services.policy.pydantic_errors import list_errors
from services.policy.strict_model import StrictModel
from services.policy.written_time import OptionalTimeText, TimeText
from services.policy.yaml_file import read_yaml_text
from services.policy.yaml_source import (
    InvalidFile,
    PolicyError,
    SourceLines,
    parse_yaml,
    validation_path,
)


class InvalidCases(InvalidFile):
    """The file of cases has problems, and no case was tried; fix the lines that the error names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseEvent(StrictModel):
    """An event of a case."""

    type: str
    """A name in the policy's `events`."""
    time: TimeText
    """When it happened; a date is the beginning of that day."""
    data: Mapping[str, Any]
    """Its decision fields; a date is given to the policy as text."""
    id: str | None = None
    """By default its number in the case, counted from 1."""
    source: str | None = None
    """By default one that the policy lets publish the type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedWindow(StrictModel):
    """A holding that is expected, with its window; a key that is absent is not compared."""

    event: str
    """The id of its event."""
    purpose: str
    """A name in the policy's `purposes`."""
    subject: str | None = None
    """Whose data, as `kind:id`."""
    basis: str | None = None
    """A name in the policy's `bases`."""
    rule: str | None = None
    """A name in the policy's `rules`."""
    systems: tuple[str, ...] | None = None
    """The systems that hold the data, in any order."""
    anchor_at: OptionalTimeText = None
    """When the term began to count."""
    not_before: OptionalTimeText = None
    """Until when it must be kept."""
    erase_by: OptionalTimeText = None
    """By when it must be gone; `null`: that is not known yet."""
    due_at: Mapping[str, OptionalTimeText] = field(default_factory=dict)
    """When the command is sent, by system; systems that are absent are not compared."""
    state: HoldingState | None = None
    """Its state at `now` of the case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedCommand(StrictModel):
    """A command that is expected; a key that is absent is not compared."""

    at: TimeText
    """When it is sent."""
    system: str
    """To which system."""
    action: str
    """What it commands, such as `erase`."""
    subject: str | None = None
    """Whose data, as `kind:id`."""
    records: tuple[str, ...] | None = None
    """The ids of the events whose data it is about, in any order."""
    rules: tuple[str, ...] | None = None
    """The rules by which it is sent, in any order."""
    purposes: tuple[str, ...] | None = None
    """The purposes that it is about, in any order."""
    erase_by: OptionalTimeText = None
    """By when it must be carried out."""
    reason: str | None = None
    """The reason that it states."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case(StrictModel):
    """Events that are all there are, and what is expected of them."""

    case: str
    """What the case shows, in a sentence."""
    events: tuple[CaseEvent, ...]
    """The events, in any order."""
    now: OptionalTimeText = None
    """The instant for the states of holdings; by default the time of the latest event."""
    windows: tuple[ExpectedWindow, ...] | None = None
    """Every holding that the events make; without it holdings are not compared."""
    commands: tuple[ExpectedCommand, ...] | None = None
    """Every command that is sent; without it commands are not compared."""
    until: OptionalTimeText = None
    """The last day, or instant, of which commands are compared; by default all are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFile(StrictModel):
    """A whole file of cases."""

    cases: tuple[Case, ...]
    """The cases, each on its own."""
    policy: str | None = None
    """The policy file, relative to this file; by default the configured policy."""


_ADAPTER = TypeAdapter(CaseFile)


CheckPart = Callable[[Case], Iterable[PolicyError]]
"""Returns the problems of a case of which some parts are wrong, as far as they do not follow from these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseDocument:
    """A file of cases as it was read; its shape is not checked yet."""

    document: Any
    lines: SourceLines

    @property
    def policy(self) -> str | None:
        """The policy that it names."""
        named = self.document.get("policy") if isinstance(self.document, dict) else None
        return named if isinstance(named, str) else None

    def cases(self, check: CheckPart, check_part: CheckPart) -> CaseFile:
        """Return the cases; where the shape of some is wrong, the others are tried all the same.

        Raises:
            InvalidCases: naming every problem of the shape, what `check` finds in the other cases, and what
                `check_part` finds beside the wrong parts.
        """
        try:
            return _ADAPTER.validate_python(self.document)
        except ValidationError as cause:
            paths = [validation_path(error["loc"]) for error in list_errors(cause)]
        wrong = {path[1] for path in paths if path[1:]}

        def check_all(file: CaseFile) -> Iterator[PolicyError]:
            for index, case in enumerate(file.cases):
                for path, why in (check_part if index in wrong else check)(case):
                    yield ("cases", index, *path), why

        return check_document(_ADAPTER, self.document, self.lines, InvalidCases, check_all)


def read_cases(path: Path) -> CaseDocument:
    """Read a file of cases.

    Raises:
        InvalidCases: it cannot be read, or is not YAML.
    """
    document, lines = parse_yaml(read_yaml_text(path, InvalidCases), str(path), InvalidCases)
    return CaseDocument(document=document, lines=lines)
