"""The state of one watched command, from its observations, in any order and with repetitions. Pure."""

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
    """A command or an acknowledgement that the watch saw; it has no data on a person."""

    command_id: str
    system: str
    what: Literal["sent", "answered"]
    at: datetime
    """When the command was issued or acknowledged, UTC."""
    action: str | None = None
    status: str | None = None
    takes_back: str | None = None
    """The command that a recall recalls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedCommand:
    """The state of one command as far as the watch saw it. Instants are UTC."""

    system: str
    action: str | None = None
    takes_back: str | None = None
    sent_at: datetime | None = None
    """When the first attempt was sent."""
    answered_at: datetime | None = None
    """When its first final acknowledgement was given."""
    status: str | None = None
    """The status of that acknowledgement."""
    failed_at: datetime | None = None
    """When the system last reported a failure or a partial result."""

    @property
    def outstanding(self) -> bool:
        """Whether the command was sent and has no final acknowledgement."""
        return self.sent_at is not None and self.answered_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservationResult:
    """The result of one more observation of a command."""

    watched: WatchedCommand
    counted: tuple[Counted, ...] = ()
    """What this observation adds to the counts; each is counted once a command."""
    took_seconds: float | None = None
    """Seconds from the first attempt to the final acknowledgement, once both are known."""
    follow_up: CommandObservation | None = None
    """What follows for another command: an acknowledged recall also settles the recalled command."""


def observations_of_commands(batch: Mapping[str, Any]) -> list[CommandObservation]:
    """Return the observations of the commands in a message, from the fields of its schema."""
    recalls = batch["action"] == "recall"
    return [
        CommandObservation(
            command_id=command["command_id"],
            system=batch["system"],
            what="sent",
            at=batch["issued_at"],
            action=batch["action"],
            takes_back=command["supersedes"] if recalls else None,
        )
        for command in batch["commands"]
    ]


def observations_of_acknowledgements(batch: Mapping[str, Any]) -> list[CommandObservation]:
    """Return the observations of the acknowledgements in a message, from the fields of its schema."""
    return [
        CommandObservation(
            command_id=acknowledgement["command_id"],
            system=batch["system"],
            what="answered",
            at=acknowledgement["at"],
            status=acknowledgement["status"],
        )
        for acknowledgement in batch["acknowledgements"]
    ]


def observe(previous: WatchedCommand | None, observation: CommandObservation) -> ObservationResult:
    """Return the state of a command after one more observation.

    The state does not depend on the order of observations; a repeated one changes and counts nothing.
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
    first_sent_at = min(command.sent_at or observation.at, observation.at)
    return replace(
        command, action=observation.action, takes_back=observation.takes_back, sent_at=first_sent_at
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
    """Return what an acknowledged recall means for the command that it recalls."""
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
