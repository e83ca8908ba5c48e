"""The result of a command in the system, as adapters return it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

from schemas import limits
from schemas.errors import TermijnError
from services.policy.actions import VERIFIED

Status = Literal["done", "nothing_held", "partial", "refused", "failed", "recalled", "already_done"]
FINAL: tuple[Status, ...] = ("done", "nothing_held", "recalled", "already_done")
"""Statuses after which a command is not carried out again; after the others each new attempt is.

Whether a refusal is final is decided by the controller: a new attempt means that the system decides again.
"""
_RECALL_STATUSES: tuple[Status, ...] = ("recalled", "already_done", "failed")
_ALLOWED_STATUSES: tuple[Status, ...] = ("done", "nothing_held", "partial", "refused", "failed")
_MAX_TEXT_CHARS = 300
MAX_RESULT_BYTES = 16 * 1024 * 1024
"""The largest result, in bytes; a disclosure may be long."""
_RESULT_KEYS = frozenset({"status", "counts", "checked", "records", "ground", "detail"})


class InvalidResult(TermijnError):
    """A hook or a webhook returned something that is not a result; the command counts as not carried out.

    The team that wrote it corrects it: services/agent/README.md describes results.
    """

    def __init__(self, why: str) -> None:
        super().__init__(f"invalid result: {why}")
        self.why = why


class TooLarge(InvalidResult):
    """A result is larger than allowed; the rest of it was not read."""

    def __init__(self) -> None:
        super().__init__(f"it has more than {MAX_RESULT_BYTES} bytes")


class RetryLater(TermijnError):
    """The system could not be asked; the agent tries again.

    The text contains no personal data: it is logged and, when the agent gives up, put into the
    acknowledgement.
    """

    def __init__(self, why: str, after_seconds: float | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.after_seconds = after_seconds
        """The delay that the system asked for, in seconds, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DisclosedRecord:
    """One record as the system holds it: personal data, which leaves the agent encrypted only."""

    type: str
    id: str
    time: str | None
    data: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The outcome of a command."""

    status: Status
    counts: Mapping[str, int] = field(default_factory=dict)
    """The numbers of rows, by table or kind."""
    checked: Mapping[str, int] | None = None
    """The rows that a second reading still found, by table or kind; None if there was none."""
    records: tuple[DisclosedRecord, ...] = ()
    """The disclosed records, for `disclose`."""
    ground: str | None = None
    """The legal ground, for a refusal."""
    detail: str | None = None
    """A text for the operator, without personal data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """The system has accepted the command and reports the result later."""

    ask_again_at: datetime
    """When the system is asked again if it has not reported, UTC."""


def failed_result(detail: str) -> Result:
    """Return the result of a command that was not carried out, with the reason for people."""
    return Result(status="failed", detail=detail)


def parse_result_json(body: bytes, action: str) -> Result:
    """Return the result in a JSON body, for a command with that action. Raises `InvalidResult`."""
    return parse_result(parse_json(body), action)


def parse_json(body: bytes) -> Any:
    """Return a parsed JSON body. Raises `InvalidResult`."""
    if len(body) > MAX_RESULT_BYTES:
        raise TooLarge
    try:
        return json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as cause:
        raise InvalidResult("it is not JSON") from cause


def _no_number(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity, which JSON does not have


def parse_result(document: Any, action: str) -> Result:
    """Return the result in parsed JSON, for a command with that action.

    Raises:
        InvalidResult: it is not a result; the error repeats nothing of its content.
    """
    if not isinstance(document, dict):
        raise InvalidResult("it is not a JSON object")
    if unknown := document.keys() - _RESULT_KEYS:
        raise InvalidResult(f"it has {len(unknown)} fields that are not known")
    status = document.get("status")
    if status not in get_args(Status):
        raise InvalidResult("its status is not known")
    if status not in (_RECALL_STATUSES if action == "recall" else _ALLOWED_STATUSES):
        raise InvalidResult(f"{status} is not a status for {action}")
    return Result(
        status=status,
        counts=_counts(document.get("counts", {})),
        checked=_checked(document.get("checked"), action, status),
        records=_records(document.get("records", []), action),
        ground=_text(document, "ground"),
        detail=_text(document, "detail"),
    )


def _counts(counts: Any) -> dict[str, int]:
    is_valid = isinstance(counts, dict) and all(
        isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 2**63 for n in counts.values()
    )
    if not is_valid:
        raise InvalidResult("its counts are not a map of names to whole numbers")
    if problem := limits.count_problem(counts, limits.MAX_COUNTS):
        raise InvalidResult(f"its counts: {problem}")
    if any(not name or limits.identifier_problem(name) for name in counts):
        raise InvalidResult(
            f"a name in its counts is not a line of at most {limits.MAX_IDENTIFIER} bytes"
        )
    return dict(counts)


def _checked(found: Any, action: str, status: str) -> dict[str, int] | None:
    if found is None:
        return None
    if action not in VERIFIED or status != "done":
        raise InvalidResult(f"checked: {action} that is {status} is not read again")
    if found == {}:
        raise InvalidResult("checked: it counts nothing, not even zero rows")
    return _counts(found)


def _records(records: Any, action: str) -> tuple[DisclosedRecord, ...]:
    if not isinstance(records, list):
        raise InvalidResult("its records are not a list")
    if records and action != "disclose":
        raise InvalidResult(f"{action} asks for no records")
    return tuple(_record(record) for record in records)


def _record(record: Any) -> DisclosedRecord:
    if not isinstance(record, dict) or not isinstance(record.get("data"), dict):
        raise InvalidResult("a record has no data")
    kind, id, time = record.get("type"), record.get("id"), record.get("time")
    if not isinstance(kind, str) or not isinstance(id, str) or not isinstance(time, str | None):
        raise InvalidResult("a record lacks its type, id or time")
    return DisclosedRecord(type=kind, id=id, time=time, data=record["data"])


def _text(document: Mapping[str, Any], name: str) -> str | None:
    text = document.get(name)
    if text is None:
        return None
    if not isinstance(text, str) or len(text) > _MAX_TEXT_CHARS or not text.isprintable():
        raise InvalidResult(f"its {name} is not a line of at most {_MAX_TEXT_CHARS} characters")
    return text
