"""An acknowledgement: a system's report about a command, and how it is decoded from a Kafka message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from schemas import limits
from schemas.codec import Codec
from schemas.errors import DecodingFailed, TermijnError
from schemas.topics import Topic
from services.ledger.command_state import IllegalTransition

Status = Literal["done", "nothing_held", "partial", "refused", "failed", "recalled", "already_done"]


class Checked(NamedTuple):
    """A second reading of erased records by their system, after the erasure was committed."""

    records: int
    """How many of the command's records were read again."""
    found: Mapping[str, int]
    """The rows that were still there, by table or kind, zeros included."""


class Acknowledgement(NamedTuple):
    """A system's report about a command; `at` is the time of the report, UTC."""

    command_id: UUID
    system: str
    attempt: int
    status: Status
    counts: Mapping[str, int]
    ground: str | None
    at: datetime
    disclosure: str | None = None
    """The data that the system holds, encrypted to the request's key."""
    checked: Checked | None = None
    """What the system found when it read again after an erasure; None if it did not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcknowledgementMessage:
    """A message of a system, with its acknowledgements of any commands, in their order."""

    acknowledgement_id: str
    """The system's own id of the message; the same message, sent again, has the same."""
    system: str
    acknowledgements: tuple[Acknowledgement, ...]
    problems: tuple[DecodingFailed, ...] = ()
    """Why further acknowledgements of the message do not count."""


class UnknownCommand(TermijnError):
    """A system acknowledged a command that it was never sent; the report is parked as a dead letter.

    The operator looks for a system that mixes up topics, or for a ledger restored from a backup.
    """

    def __init__(self, command_id: UUID, system: str | None = None) -> None:
        where = f" for {system}" if system else ""
        super().__init__(f"command {command_id}: does not exist{where}")
        self.command_id = command_id
        self.system = system


class ReusedAcknowledgement(TermijnError):
    """A system gave two messages the same id; the later one is parked as a dead letter.

    None of its acknowledgements counts, so that their commands stay open. The system's owner corrects it,
    so that each message has an id of its own; the commands are sent and acknowledged again.
    """

    def __init__(self, system: str) -> None:
        super().__init__(
            f"{system}: the acknowledgement has the id of an earlier one, and does not count;"
            " give each message of acknowledgements an id of its own"
        )
        self.system = system


UnusableAcknowledgement = UnknownCommand | ReusedAcknowledgement | IllegalTransition
"""Why an acknowledgement cannot be applied."""


def decode_acknowledgements(
    codec: Codec, topic: Topic, system: str, payload: bytes | None
) -> AcknowledgementMessage:
    """Return the acknowledgements in the value of a message on a system's topic.

    One that is beyond a limit, or has no command, is a problem of the message; the others count.

    Raises:
        DecodingFailed: the message has no acknowledgements, or another system's, or an id that is not one.
    """
    value = codec.decode(topic, payload)
    if value["system"] != system:
        problem = f"is an acknowledgement of {value['system']} on the topic of {system}"
        raise DecodingFailed(why=problem, topic=topic.name)
    if beyond := limits.identifier_problem(value["acknowledgement_id"]):
        raise DecodingFailed(why=f"acknowledgement_id {beyond}", topic=topic.name)
    count_problem = limits.count_problem(value["acknowledgements"], limits.MAX_ACKNOWLEDGEMENTS)
    if count_problem:
        raise DecodingFailed(why=f"acknowledgements {count_problem}", topic=topic.name)
    items = [_acknowledgement(item, topic, system) for item in value["acknowledgements"]]
    return AcknowledgementMessage(
        acknowledgement_id=value["acknowledgement_id"],
        system=system,
        acknowledgements=tuple(item for item in items if isinstance(item, Acknowledgement)),
        problems=tuple(item for item in items if isinstance(item, DecodingFailed)),
    )


def _acknowledgement(
    value: Mapping[str, Any], topic: Topic, system: str
) -> Acknowledgement | DecodingFailed:
    try:
        command_id = UUID(value["command_id"])
    except ValueError:
        return DecodingFailed(why="command_id is not a UUID", topic=topic.name)
    if beyond := _limit_problem(value):
        return DecodingFailed(why=beyond, topic=topic.name)
    return Acknowledgement(
        command_id=command_id,
        system=system,
        attempt=value["attempt"],
        status=value["status"],
        counts=value["counts"],
        ground=value["ground"],
        at=value["at"],
        disclosure=value["disclosure"],
        checked=Checked(**value["checked"]) if value["checked"] else None,
    )


def _limit_problem(value: Mapping[str, Any]) -> str | None:
    """Return which part of an acknowledgement is beyond a limit, and how; None if nothing is."""
    if value["ground"] and (problem := limits.line_problem(value["ground"])):
        return f"ground {problem}"
    found: Mapping[str, int] = value["checked"]["found"] if value["checked"] else {}
    for field, counts in (("counts", value["counts"]), ("checked", found)):
        if problem := limits.count_problem(counts, limits.MAX_COUNTS):
            return f"{field} {problem}"
        for name in counts:
            if problem := limits.identifier_problem(name):
                return f"{field} {problem}"
    disclosure = value["disclosure"] or ""
    if not disclosure.isascii():
        return "disclosure is not a JWE"
    problem = limits.control_character_problem(disclosure) if disclosure else None
    return f"disclosure {problem}" if problem else None
