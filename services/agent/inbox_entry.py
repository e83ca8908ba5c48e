"""Entries: what the inbox knows of one command, and the one place where that changes.

waiting ─┬─ pending ─┬─ settled     done for good: whoever asks again gets the same answer again
         └───────────┴─ failed      answered, and carried out anew at the next attempt

A command is waiting until it may be carried out and while that is tried, and pending while the system
itself takes its time.
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
    """One command in the inbox. It is kept without whom it is about once it is answered."""

    command_id: str
    grp: str
    """Whose commands keep their order: a keyed hash of the message's key."""
    action: str
    supersedes: str | None
    seq: int
    epoch: int
    attempt: int
    issued_at: datetime
    valid_until: datetime
    state: State
    due_at: datetime | None
    """When it is looked at next, UTC; nothing once it is answered."""
    runs: int = 0
    """How often it was begun, in all."""
    tries: int = 0
    """How often it was begun since it was last taken in, or since the system took it over."""
    noted: str | None = None
    """What a run found before it did anything, JSON."""
    sealed: bytes | None = None
    """The message's key and value, sealed; nothing once it is answered and the answer is out."""
    status: Status | None = None
    answer: bytes | None = None
    """The answer as it is on the bus; it names nobody in clear."""
    answered_at: datetime | None = None
    """When it was answered last, UTC."""
    delivered: bool = True
    """Whether the answer is out, if there is one."""

    def accepted(self, at: datetime) -> InboxEntry:
        """The entry, to be carried out from then on; what was answered before counts no longer."""
        return replace(
            self, state="waiting", due_at=at, tries=0, status=None, answer=None, delivered=True
        )

    def started(self) -> InboxEntry:
        """The entry with one more run."""
        return replace(self, runs=self.runs + 1, tries=self.tries + 1)

    def postponed(self, at: datetime) -> InboxEntry:
        """The entry, to be tried again then."""
        return replace(self, due_at=at)

    def delegated(self, ask_again_at: datetime) -> InboxEntry:
        """The entry, with the system itself under way."""
        return replace(self, state="pending", due_at=ask_again_at, tries=0)

    def ended(self) -> InboxEntry:
        """The entry, done for good whatever its answer: it was recalled."""
        return replace(self, state="settled", due_at=None)

    def completed(self, status: Status, answer: bytes | None, at: datetime) -> InboxEntry:
        """The entry with its answer, which is to be sent; without one there is nobody to tell."""
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
    """Whether the system was asked, and nothing is known of what it did: it is under way, or given up."""
    return entry.runs > 0 and (
        entry.state in OPEN or (entry.state == "failed" and entry.status == "failed")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestCommand:
    """The newest command of a group that was taken in."""

    seq: int
    issued_at: datetime
    valid_until: datetime

    def with_command(self, command: Command) -> LatestCommand:
        """The newest, once this one was taken in."""
        return LatestCommand(
            seq=max(self.seq, command.seq),
            issued_at=max(self.issued_at, command.issued_at),
            valid_until=max(self.valid_until, command.valid_until),
        )


Intake = Literal[
    "carry out", "under way", "answer again", "recalled before", "expired", "overtaken"
]


def decide_intake(
    command: Command, entry: InboxEntry | None, newest: LatestCommand | None, now: datetime
) -> Intake:
    """What is to become of a command that has arrived and is proven to come from the controller.

    `overtaken`: a later command on the same subject was issued after this attempt, so the controller may
    have thought better of it. It is told so; each attempt is looked at anew before it leaves, so that
    what is still wanted comes again with a later `issued_at`, and is obeyed.
    """
    if entry is None:
        if command.valid_until <= now:
            return "expired"
        overtaken = newest is not None and (
            command.seq < newest.seq and command.issued_at < newest.issued_at
        )
        return "overtaken" if overtaken and command.action not in UNORDERED else "carry out"
    if entry.state in OPEN:
        return "under way"
    if entry.answer is None:
        return "recalled before"
    if entry.state == "settled" or command.attempt <= entry.attempt:
        return "answer again"
    return decide_intake(command, None, newest, now)
