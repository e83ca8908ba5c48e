"""Read a file of CloudEvents in structured mode, one JSON object a line; `-` is standard input."""

from __future__ import annotations

import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import fstat
from pathlib import Path
from typing import IO

from schemas.cloudevents import CloudEvent, MalformedEvent, hash_event, parse_structured
from schemas.errors import TermijnError
from services.policy.model import Policy
from services.policy.plans import compile_policy
from services.policy.sources import check_source
from services.policy.tagged_event import TaggedEvent
from services.policy.tagging_error import TaggingFailed

_BOM = b"\xef\xbb\xbf"
"""The byte order mark that some programs of Windows write before UTF-8."""


class InvalidEventLine(TermijnError):
    """A line of an event file is invalid; nothing was done with the file.

    The operator fixes the line that the error names.
    """

    def __init__(self, file: str, line: int, key: str, why: str) -> None:
        super().__init__(f"{file}:{line}: {key}: {why}")
        self.file = file
        self.line = line
        self.key = key


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferedInput:
    """The content of a pipe, which can be read only once, copied so that it can be read again."""

    name: str
    file: IO[bytes]

    def __str__(self) -> str:
        return self.name


Source = Path | BufferedInput
"""A source of events; as text it is the file's name in errors."""


@contextmanager
def open_rereadable(path: Path) -> Iterator[Source]:
    """Open a file, or a copy of a pipe's content, so that it can be read more than once.

    The copy is in a temporary file without a name, which no other process can open and which ends with
    this one.

    Raises:
        InvalidEventLine: the file cannot be read.
    """
    with open_bytes(path) as file:
        if str(path) != "-" and stat.S_ISREG(fstat(file.fileno()).st_mode):
            yield path
            return
        with tempfile.TemporaryFile() as copy:
            with _naming_file(path):
                shutil.copyfileobj(file, copy)
            yield BufferedInput(name=str(path), file=copy)


def read_events(source: Source) -> Iterator[tuple[int, CloudEvent]]:
    """Return the events of a file with their line numbers, counted from 1; empty lines are skipped.

    Raises:
        InvalidEventLine: a line is not a CloudEvent, or the file cannot be read.
    """
    for number, line in read_lines(source):
        try:
            yield number, parse_structured(line)
        except MalformedEvent as cause:
            raise InvalidEventLine(str(source), number, cause.key, cause.why) from cause


def read_lines(source: Source) -> Iterator[tuple[int, str]]:
    """Return the lines of a file with their numbers, counted from 1; empty lines are skipped.

    Raises:
        InvalidEventLine: the file cannot be read, or a line of it is not UTF-8.
    """
    with open_bytes(source) as lines, _naming_file(source):
        for number, line in enumerate(lines, start=1):
            text = line.removeprefix(_BOM) if number == 1 else line
            if text.strip():
                yield number, _decode_line(text, source, number)


def read_tagged_events(source: Source, policy: Policy) -> list[tuple[CloudEvent, TaggedEvent]]:
    """Return the events of a file, tagged by the policy; an event that is there twice counts once.

    Raises:
        InvalidEventLine: a line is not a CloudEvent, cannot be tagged, or has an identity that another line
            gave to other content.
    """
    by_identity: dict[tuple[str, str, str], tuple[CloudEvent, TaggedEvent]] = {}
    for number, event in read_events(source):
        identity = (event.type, event.source, event.id)
        earlier_event = by_identity.get(identity)
        if earlier_event is not None:
            if hash_event(earlier_event[0]) != hash_event(event):
                why = "is also the id of another event of this type and source"
                raise InvalidEventLine(str(source), number, "id", why)
            continue
        try:
            check_source(event, policy)
            by_identity[identity] = (event, compile_policy(policy).tag(event))
        except TaggingFailed as cause:
            raise InvalidEventLine(str(source), number, cause.key, cause.why) from cause
    return list(by_identity.values())


@contextmanager
def open_bytes(source: Source) -> Iterator[IO[bytes]]:
    """Open a file for its bytes; `-` is standard input.

    Raises:
        InvalidEventLine: the file cannot be opened.
    """
    if isinstance(source, BufferedInput):
        source.file.seek(0)
        yield source.file
    elif str(source) == "-":
        yield sys.stdin.buffer
    else:
        with _naming_file(source):
            file = source.open("rb")
        with file:
            yield file


@contextmanager
def _naming_file(source: Source) -> Iterator[None]:
    """Turn errors of reading a file into `InvalidEventLine`."""
    try:
        yield
    except (OSError, ValueError) as cause:  # a name with a NUL is a ValueError
        why = getattr(cause, "strerror", None) or str(cause)
        raise InvalidEventLine(str(source), 0, "file", f"cannot be read: {why}") from cause


def _decode_line(line: bytes, source: Source, number: int) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as cause:
        why = f"is not UTF-8 at byte {cause.start + 1} of the line; write the file in UTF-8"
        raise InvalidEventLine(str(source), number, "text", why) from cause
