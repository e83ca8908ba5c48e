"""What the watch knows of one command: a fold of what it has seen of it, in any order, however often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

Counted = Literal["sent", "answered", "refused", "failed"]
COUNTED: tuple[Counted, ...] = ("sent", "answered", "refused", "failed")

_FINAL_STATUSES = ("done", "nothing_held", "refused", "recalled", "already_done")
_RECALLED_STATUSES = ("recalled", "already_done")
_FAILURE_STATUSES = ("failed", "partial")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandObservation:
    """A command or an answer that was seen. It never says whom it is about."""

    command_id: str
    system: str
    what: Literal["sent", "answered"]
    at: datetime
    """When it was issued or answered, UTC."""
    action: str | None = None
    status: str | None = None
    takes_back: str | None = None
    """The command that a recall takes back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedCommand:
    """One command, as far as it was seen. Instants are UTC."""

    system: str
    action: str | None = None
    takes_back: str | None = None
    sent_at: datetime | None = None
    """When it left for the first time."""
    answered_at: datetime | None = None
    """When its first answer that settles it was given."""
    status: str | None = None
    """What that answer said."""
    failed_at: datetime | None = None
    """When the system said last that it had failed so far."""

    @property
    def outstanding(self) -> bool:
        """Whether it is out, and its system has still to answer."""
        return self.sent_at is not None and self.answered_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservationResult:
    """What a sighting comes to."""

    watched: WatchedCommand
    counted: tuple[Counted, ...] = ()
    """What is counted for the first time."""
    took_seconds: float | None = None
    """From leaving to answer, once both are known."""
    follow_up: CommandObservation | None = None
    """What follows for another command: a recall that was answered settles what it takes back."""


def observation_of_command(command: Mapping[str, Any]) -> CommandObservation:
    """The sighting of a command, from the fields of its schema."""
    recalls = command["action"] == "recall"
    return CommandObservation(
        command_id=command["command_id"],
        system=command["system"],
        what="sent",
        at=command["issued_at"],
        action=command["action"],
        takes_back=command["supersedes"] if recalls else None,
    )


def observation_of_acknowledgement(answer: Mapping[str, Any]) -> CommandObservation:
    """The sighting of an answer, from the fields of its schema."""
    return CommandObservation(
        command_id=answer["command_id"],
        system=answer["system"],
        what="answered",
        at=answer["at"],
        status=answer["status"],
    )


def observe(previous: WatchedCommand | None, observation: CommandObservation) -> ObservationResult:
    """What is known of a command after one more sighting.

    What is known does not depend on the order of sightings, and a sighting that comes again changes and
    counts nothing.
    """
    previous = previous or WatchedCommand(system=observation.system)
    after = (_with_sending if observation.what == "sent" else _with_acknowledgement)(
        previous, observation
    )
    counted: list[Counted] = []
    if previous.sent_at is None and after.sent_at is not None:
        counted.append("sent")
    if previous.answered_at is None and after.answered_at is not None:
        counted.append("answered")
    if after.status == "refused" != previous.status:
        counted.append("refused")
    if after.failed_at != previous.failed_at:
        counted.append("failed")
    return ObservationResult(
        watched=after,
        counted=tuple(counted),
        took_seconds=_response_seconds(after) if _response_seconds(previous) is None else None,
        follow_up=_follow_up(after) if _follow_up(previous) is None else None,
    )


def _with_sending(command: WatchedCommand, observation: CommandObservation) -> WatchedCommand:
    first = min(command.sent_at or observation.at, observation.at)
    return replace(
        command, action=observation.action, takes_back=observation.takes_back, sent_at=first
    )


def _with_acknowledgement(
    command: WatchedCommand, observation: CommandObservation
) -> WatchedCommand:
    if observation.status in _FAILURE_STATUSES:
        return replace(command, failed_at=max(command.failed_at or observation.at, observation.at))
    if observation.status not in _FINAL_STATUSES:
        return command
    settled = (command.answered_at, command.status)
    if command.answered_at is None or (observation.at, observation.status) < settled:
        return replace(command, answered_at=observation.at, status=observation.status)
    return command


def _response_seconds(watched: WatchedCommand) -> float | None:
    if watched.sent_at is None or watched.answered_at is None:
        return None
    return max(0.0, (watched.answered_at - watched.sent_at).total_seconds())


def _follow_up(watched: WatchedCommand) -> CommandObservation | None:
    """What an answered recall says of the command that it takes back."""
    if watched.takes_back is None or watched.answered_at is None:
        return None
    if watched.status not in _RECALLED_STATUSES:
        return None
    return CommandObservation(
        command_id=watched.takes_back,
        system=watched.system,
        what="answered",
        at=watched.answered_at,
        status=watched.status,
    )
