"""A file of CloudEvents in structured mode, one JSON object a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from schemas.errors import TermijnError
from schemas.events import CloudEvent, MalformedEvent, content_hash, parse_structured
from services.policy.model import Policy
from services.policy.sources import check_source
from services.policy.tagging import Tagged, Untaggable, tag


class BadLine(TermijnError):
    """A line of an event file cannot be used; nothing was done with the file.

    The operator mends the line that it names.
    """

    def __init__(self, file: str, line: int, key: str, why: str) -> None:
        super().__init__(f"{file}:{line}: {key}: {why}")
        self.file = file
        self.line = line
        self.key = key


def read_events(path: Path) -> Iterator[tuple[int, CloudEvent]]:
    """The events of a file with their line numbers, counted from 1; empty lines are passed over.

    Raises:
        BadLine: a line is not a CloudEvent, or the file cannot be read.
    """
    for number, line in read_lines(path):
        try:
            yield number, parse_structured(line)
        except MalformedEvent as cause:
            raise BadLine(str(path), number, cause.key, cause.why) from cause


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file with their numbers, counted from 1; empty lines are passed over.

    Raises:
        BadLine: the file cannot be read.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, line
    except (OSError, UnicodeDecodeError) as cause:
        raise BadLine(str(path), 0, "file", f"cannot be read: {cause}") from cause


def read_tagged(path: Path, policy: Policy) -> list[tuple[CloudEvent, Tagged]]:
    """The events of a file, each once, tagged by the policy; one that stands there twice counts once.

    Raises:
        BadLine: a line is not a CloudEvent, cannot be tagged, or has an identity that another line
            gave to other content.
    """
    found: dict[tuple[str, str, str], tuple[CloudEvent, Tagged]] = {}
    for number, event in read_events(path):
        identity = (event.type, event.source, event.id)
        known = found.get(identity)
        if known is not None:
            if content_hash(known[0]) != content_hash(event):
                why = "was given to another event of this type and source"
                raise BadLine(str(path), number, "id", why)
            continue
        try:
            check_source(event, policy)
            found[identity] = (event, tag(event, policy))
        except Untaggable as cause:
            raise BadLine(str(path), number, cause.key, cause.why) from cause
    return list(found.values())
