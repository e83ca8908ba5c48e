"""Carries out the commands in the inbox: in parallel, at a limited rate, and in order for each subject.

Counts are saved before rows are changed, and the acknowledgement before it is sent. After a crash the next
process continues from there, and the system may get the same command again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Event
from typing import Any, Protocol

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from schemas.errors import RegistryUnavailable, TermijnError
from services.agent.acknowledgement_sender import AcknowledgementSender, SenderObserver
from services.agent.adapters.base import Adapter, CommandTask
from services.agent.command import Command
from services.agent.inbox import Inbox
from services.agent.inbox_entry import OPEN, InboxEntry, may_have_run
from services.agent.rate_limit import LimitedRetries, TokenBucket
from services.agent.result import (
    InvalidResult,
    Pending,
    Result,
    RetryLater,
    failed_result,
    parse_result,
)
from services.crypto import jwe
from services.kafka.spans import NO_TRACER, Tracer
from services.kafka.trace_context import trace_of_command

_IDLE_SECONDS = 0.1
_ERROR_DELAY_SECONDS = 1.0
_RECALL_SUCCEEDED = ("recalled", "already_done")


class ExecutorObserver(SenderObserver, Protocol):
    """Receives what the executor did: metrics and logs."""

    def heartbeat(self) -> None:
        """The loop completed a round."""

    def command_completed(self, action: str, status: str, after: timedelta) -> None:
        """A command has its final status, `after` its last attempt was issued."""

    def attempt_failed(self, command_id: str, action: str, reason: str) -> None:
        """An attempt gave no result; the command is tried again, or acknowledged as `failed`."""


@dataclass(slots=True, kw_only=True)
class CommandExecutor:
    """Carries out commands through an adapter. `now` is this machine's clock, UTC."""

    inbox: Inbox
    adapter: Adapter
    sender: AcknowledgementSender
    observer: ExecutorObserver
    bucket: TokenBucket
    retries: LimitedRetries
    decryption_keys: Callable[[datetime], Sequence[str]]
    """Returns the system's private X25519 keys, as JWK text, to which corrections may be encrypted."""
    now: Callable[[], datetime]
    concurrency: int
    spans: Tracer = NO_TRACER
    _running: dict[str, Future[None]] = field(default_factory=dict)

    def run(self, stop: Event) -> None:
        """Run until `stop` is set; commands that are running then are finished and acknowledged."""
        with ThreadPoolExecutor(self.concurrency, thread_name_prefix="obeying") as pool:
            while not stop.is_set():
                self.observer.heartbeat()
                try:
                    moved = self._start(pool) + self.sender.send()
                except (DBAPIError, RegistryUnavailable) as cause:
                    self.observer.send_failed(f"inbox: cannot be read ({type(cause).__name__})")
                    stop.wait(_ERROR_DELAY_SECONDS)
                    continue
                if self._running:
                    wait(self._running.values(), _IDLE_SECONDS, FIRST_COMPLETED)
                elif not moved:
                    stop.wait(_ERROR_DELAY_SECONDS if self.sender.has_failed else _IDLE_SECONDS)
        self.sender.send()

    def run_once(self) -> int:
        """Carry out, one after the other, the commands that may run now; return how many there were."""
        entries = self._entries_to_start(self.concurrency)
        for entry in entries:
            self.execute(entry)
        return len(entries)

    def execute(self, entry: InboxEntry) -> None:
        """Try to carry out one command, and store the outcome."""
        now = self.now()
        started = self.inbox.update_open(entry.command_id, InboxEntry.started)
        if started is None:
            return  # completed meanwhile: by a recall, or by a callback of the system
        command = self.inbox.command(started).command
        if command.valid_until <= now:
            if started.state == "waiting":
                self._answer(
                    started, command, failed_result("it expired before it could be carried out")
                )
            else:  # the system is at it; it is asked again when the controller repeats the command
                at = now + self.retries.cap
                self.inbox.update_open(entry.command_id, lambda current: current.delegated(at))
            return
        try:
            result = self._result(started, command, now)
        except (RetryLater, InvalidResult) as cause:
            self._record_span(command, started, "no answer", now)
            self.observer.attempt_failed(command.command_id, command.action, cause.why)
            self._postpone(started, command, cause)
        else:
            outcome = "pending" if isinstance(result, Pending) else result.status
            self._record_span(command, started, outcome, now)
            if isinstance(result, Pending):
                at = result.ask_again_at
                self.inbox.update_open(entry.command_id, lambda current: current.delegated(at))
            else:
                self._answer(started, command, result)

    def _record_span(
        self, command: Command, begun: InboxEntry, outcome: str, started: datetime
    ) -> None:
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

    def complete(self, command_id: str, result: Result) -> bool:
        """Store a result that the system reports later; return whether the command was still open."""
        with self.inbox.ledger.transaction() as connection:
            entry = self.inbox.entry(connection, command_id)
        if entry is None or entry.state not in OPEN:
            return False
        return self._answer(entry, self.inbox.command(entry).command, result)

    def complete_from_json(self, command_id: str, document: Any) -> bool:
        """Do as `complete`, with the result as parsed JSON.

        Raises:
            InvalidResult: the document is not a result for the command's action.
        """
        with self.inbox.ledger.transaction() as connection:
            entry = self.inbox.entry(connection, command_id)
        return entry is not None and self.complete(command_id, parse_result(document, entry.action))

    def _result(self, entry: InboxEntry, command: Command, now: datetime) -> Result | Pending:
        task = CommandTask(
            command=command,
            run=entry.runs,
            checkpoint=json.loads(entry.noted) if entry.noted else None,
            save_checkpoint=lambda counts: self._save_checkpoint(entry.command_id, counts),
            now=now,
        )
        if command.action == "recall":
            with self.inbox.ledger.transaction() as connection:
                original = self.inbox.entry(connection, command.supersedes or "")
            checkpoint = json.loads(original.noted) if original and original.noted else None
            recalls = original.action if original else None
            task = replace(task, checkpoint=checkpoint, recalls=recalls)
        if command.action == "disclose" and not command.disclose_to:
            return failed_result("the command has no key to encrypt the disclosure to")
        if command.action == "rectify":
            corrections = self._corrections(command, now)
            if corrections is None:
                return failed_result(
                    "the corrections are missing, or this agent has no key that decrypts them"
                )
            task = replace(task, corrections=corrections)
        try:
            return self.adapter.execute(task)
        except TermijnError:
            raise
        except Exception as cause:  # a bug in an adapter must not stop the other commands
            raise RetryLater(f"the adapter failed ({type(cause).__name__})") from cause

    def _corrections(self, command: Command, now: datetime) -> Mapping[str, Any] | None:
        for key in self.decryption_keys(now) if command.corrections else ():
            try:
                return jwe.decrypt(command.corrections or "", key, command.command_id)
            except jwe.DisclosureUndecryptable:
                continue
        return None

    def _save_checkpoint(self, command_id: str, counts: Mapping[str, int]) -> None:
        text = json.dumps(dict(counts))
        self.inbox.update_open(command_id, lambda entry: replace(entry, noted=text))

    def _postpone(
        self, entry: InboxEntry, command: Command, cause: RetryLater | InvalidResult
    ) -> None:
        pause = self.retries.delay_after(entry.tries)
        requested_seconds = cause.after_seconds if isinstance(cause, RetryLater) else None
        if pause is None or isinstance(cause, InvalidResult):
            self._answer(entry, command, failed_result(cause.why))
            return
        now = self.now()
        # The system may ask for a longer pause, but not for one that outlasts the command.
        longest = max(timedelta(), command.valid_until - now)
        requested = timedelta(seconds=min(requested_seconds or 0, longest.total_seconds()))
        retry_at = now + max(pause, requested)
        self.inbox.update_open(entry.command_id, lambda current: current.postponed(retry_at))

    def _answer(self, entry: InboxEntry, command: Command, result: Result) -> bool:
        def work(connection: Connection) -> bool:
            current = self.inbox.entry(connection, entry.command_id)
            if current is None or current.state not in OPEN:
                return False
            # The controller may have repeated it meanwhile.
            latest = self.inbox.command(current).command
            self.inbox.put(connection, self.inbox.complete(current, latest, result, now))
            if command.action == "recall" and result.status in _RECALL_SUCCEEDED:
                original = self.inbox.entry(connection, command.supersedes or "")
                if original is not None and may_have_run(original):
                    self.inbox.put(connection, self._recall_result(original, result, now))
            return True

        now = self.now()
        stored = self.inbox.ledger.run_in_transaction(work)
        if stored:
            self.observer.command_completed(command.action, result.status, now - entry.issued_at)
        return stored

    def _recall_result(self, original: InboxEntry, recall: Result, now: datetime) -> InboxEntry:
        """Return the entry of the recalled command, by whether the recall came in time."""
        if recall.status == "recalled":
            return replace(original.completed("recalled", None, now), sealed=None)
        if (
            original.state not in OPEN
        ):  # it was acknowledged as `failed`; the recall reports what became of it
            return replace(original.completed("already_done", None, now), sealed=None)
        counts = json.loads(original.noted) if original.noted else {}
        result = Result(status="done", counts=counts)
        return self.inbox.complete(original, self.inbox.command(original).command, result, now)

    def _start(self, pool: ThreadPoolExecutor) -> int:
        self._collect()
        entries = self._entries_to_start(self.concurrency - len(self._running))
        for entry in entries:
            self._running[entry.grp] = pool.submit(self.execute, entry)
        return len(entries)

    def _entries_to_start(self, room: int) -> list[InboxEntry]:
        if room < 1:
            return []
        now = self.now()
        entries = self.inbox.due_entries(now, self._running.keys(), room)
        started = []
        for entry in entries:
            if not self.bucket.take(now):
                break
            started.append(entry)
        return started

    def _collect(self) -> None:
        ended = [group for group, future in self._running.items() if future.done()]
        for group in ended:
            self._running.pop(group).result()
