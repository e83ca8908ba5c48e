"""Records what became of an attempt at a command: it has expired, comes again, or is reported later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from services.agent.command import Command
from services.agent.inbox import Inbox
from services.agent.inbox_entry import InboxEntry
from services.agent.outcomes import OutcomeStore
from services.agent.rate_limit import LimitedRetries
from services.agent.result import InvalidResult, Pending, RetryLater, failed_result
from services.kafka.spans import Tracer
from services.kafka.trace_context import trace_of_command


class AttemptObserver(Protocol):
    """Receives what became of attempts: metrics and logs."""

    def attempt_failed(self, command_id: str, action: str, reason: str) -> None:
        """An attempt gave no result; the command is tried again, or acknowledged as `failed`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecorder:
    """Records attempts in the inbox and as spans. `now` is this machine's clock, UTC."""

    inbox: Inbox
    outcomes: OutcomeStore
    observer: AttemptObserver
    retries: LimitedRetries
    spans: Tracer
    now: Callable[[], datetime]

    def expire(self, started: InboxEntry, command: Command, now: datetime) -> None:
        """Acknowledge a command that may not be carried out any more, unless the system is at it."""
        if started.state == "waiting":
            self.outcomes.answer(
                started, command, failed_result("it expired before it could be carried out")
            )
        else:  # the system is asked again when the controller repeats the command
            at = now + self.retries.cap
            self.inbox.update_open(started.command_id, lambda current: current.delegated(at))

    def delegate(
        self, started: InboxEntry, command: Command, pending: Pending, now: datetime
    ) -> None:
        """Wait for a result that the system reports later."""
        self.record(command, started, "pending", now)
        at = pending.ask_again_at
        self.inbox.update_open(started.command_id, lambda current: current.delegated(at))

    def retry(
        self,
        started: InboxEntry,
        command: Command,
        cause: RetryLater | InvalidResult,
        now: datetime,
    ) -> None:
        """Try a command again later; after its last try, or an invalid result, it has failed."""
        self.record(command, started, "no answer", now)
        self.observer.attempt_failed(command.command_id, command.action, cause.why)
        self._postpone(started, command, cause)

    def record(self, command: Command, begun: InboxEntry, outcome: str, started: datetime) -> None:
        """Record an attempt at a command as a span of its trace."""
        self.spans.record_span(
            "obey",
            trace_of_command(command.command_id),
            "client",
            started,
            self.now(),
            {
                "termijn.system": command.system,
                "termijn.action": command.action,
                "termijn.command_id": command.command_id,
                "termijn.run": begun.runs,
                "termijn.outcome": outcome,
            },
        )

    def _postpone(
        self, entry: InboxEntry, command: Command, cause: RetryLater | InvalidResult
    ) -> None:
        pause = self.retries.delay_after(entry.tries)
        requested_seconds = cause.after_seconds if isinstance(cause, RetryLater) else None
        if pause is None or isinstance(cause, InvalidResult):
            self.outcomes.answer(entry, command, failed_result(cause.why))
            return
        now = self.now()
        # The system may ask for a longer pause, but not for one that outlasts the command.
        longest = max(timedelta(), command.valid_until - now)
        requested = timedelta(seconds=min(requested_seconds or 0, longest.total_seconds()))
        retry_at = now + max(pause, requested)
        self.inbox.update_open(entry.command_id, lambda current: current.postponed(retry_at))
