"""The inbox's entry for one command, its states, and all changes between them.

waiting ─┬─ pending ─┬─ settled     final: a repetition gets the same acknowledgement again
         └───────────┴─ failed      acknowledged, and carried out again at the next attempt

A command is waiting until it may run and while it is tried, and pending while the system takes its time and
reports later.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from services.agent.command import Command
from services.agent.result import FINAL, Status
from services.policy.actions import UNORDERED

State = Literal["waiting", "pending", "settled", "failed"]
OPEN: tuple[State, ...] = ("waiting", "pending")


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxEntry:
    """One command in the inbox. Its payload is deleted once it is acknowledged."""

    command_id: str
    grp: str
    """The group in which commands keep their order: a keyed hash of the person, or of the event."""
    action: str
    supersedes: str | None
    seq: int
    epoch: int
    attempt: int
    issued_at: datetime
    valid_until: datetime
    state: State
    due_at: datetime | None
    """When it may run next, UTC; None once it is completed."""
    runs: int = 0
    """How often it was started, in total."""
    tries: int = 0
    """How often it was started since it was last accepted, or since the system took it over."""
    noted: str | None = None
    """The counts that a run saved before it changed anything, as JSON."""
    sealed: bytes | None = None
    """The message's key and value, encrypted; None once the acknowledgement is sent."""
    status: Status | None = None
    answer: bytes | None = None
    """The acknowledgement as it is on Kafka; no person is named in clear."""
    answered_at: datetime | None = None
    """When it was last acknowledged, UTC."""
    delivered: bool = True
    """Whether the acknowledgement is sent, if there is one."""

    def accepted(self, at: datetime) -> InboxEntry:
        """Return the entry, to run from then on; an earlier acknowledgement does not count any more."""
        return replace(
            self, state="waiting", due_at=at, tries=0, status=None, answer=None, delivered=True
        )

    def started(self) -> InboxEntry:
        """Return the entry with one more run."""
        return replace(self, runs=self.runs + 1, tries=self.tries + 1)

    def postponed(self, at: datetime) -> InboxEntry:
        """Return the entry, to be tried again then."""
        return replace(self, due_at=at)

    def delegated(self, ask_again_at: datetime) -> InboxEntry:
        """Return the entry as pending: the system reports later, or is asked again then."""
        return replace(self, state="pending", due_at=ask_again_at, tries=0)

    def ended(self) -> InboxEntry:
        """Return the entry as final, whatever its acknowledgement: it was recalled."""
        return replace(self, state="settled", due_at=None)

    def completed(self, status: Status, answer: bytes | None, at: datetime) -> InboxEntry:
        """Return the entry with its acknowledgement, which is to be sent; None: there is none to send."""
        return replace(
            self,
            state="settled" if status in FINAL else "failed",
            status=status,
            answer=answer,
            delivered=answer is None,
            due_at=None,
            answered_at=at,
            tries=0,
            noted=None if status in FINAL else self.noted,
        )


def may_have_run(entry: InboxEntry) -> bool:
    """Return whether the system was asked and the outcome is not known: it is pending, or was given up."""
    return entry.runs > 0 and (
        entry.state in OPEN or (entry.state == "failed" and entry.status == "failed")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestCommand:
    """The latest accepted command of a group."""

    seq: int
    issued_at: datetime
    valid_until: datetime

    def with_command(self, command: Command) -> LatestCommand:
        """Return the latest command after this one was accepted."""
        return LatestCommand(
            seq=max(self.seq, command.seq),
            issued_at=max(self.issued_at, command.issued_at),
            valid_until=max(self.valid_until, command.valid_until),
        )


Intake = Literal[
    "execute", "in_progress", "resend_answer", "already_recalled", "expired", "superseded"
]


def decide_intake(
    command: Command, entry: InboxEntry | None, newest: LatestCommand | None, now: datetime
) -> Intake:
    """Decide what to do with a received command whose signature is verified.

    `superseded`: a later command on the same subject was issued after this attempt, so the controller may
    not want it any more. It is acknowledged as `failed`; the controller checks each attempt before it is
    sent, so a command that is still wanted comes again with a later `issued_at`, and is then carried out.
    """
    if entry is None:
        if command.valid_until <= now:
            return "expired"
        is_superseded = newest is not None and (
            command.seq < newest.seq and command.issued_at < newest.issued_at
        )
        return "superseded" if is_superseded and command.action not in UNORDERED else "execute"
    if entry.state in OPEN:
        return "in_progress"
    if entry.answer is None:
        return "already_recalled"
    if entry.state == "settled" or command.attempt <= entry.attempt:
        return "resend_answer"
    return decide_intake(command, None, newest, now)
