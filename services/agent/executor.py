"""Obeying: what waits in the inbox is carried out, so many at a time, so fast, each subject in order.

What was found is noted before anything is done, and the answer is kept before it is sent: whatever ends
the process, the next one repeats from there, and the system sees the same command once more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Event
from time import sleep
from typing import Any, Protocol

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from schemas.errors import RegistryUnavailable, TermijnError
from services.agent.adapters.base import Adapter, CommandTask
from services.agent.command import Command
from services.agent.inbox import Inbox, OutgoingAcknowledgement
from services.agent.inbox_entry import OPEN, InboxEntry, may_have_run
from services.agent.rate_limit import RetryPolicy, TokenBucket
from services.agent.result import InvalidResult, Pending, Result, RetryLater, parse_result
from services.crypto import jwe
from services.kafka.batch_bisection import Halving
from services.kafka.errors import words
from services.kafka.spans import NO_SPANS, Tracer
from services.kafka.trace_context import trace_of_command

_REST_SECONDS = 0.1
_ERROR_DELAY_SECONDS = 1.0
_SENT_AT_ONCE = 500
_RECALLED = ("recalled", "already_done")


class AcknowledgementPublisher(Protocol):
    """Where answers go."""

    def send(self, answers: Sequence[OutgoingAcknowledgement]) -> None:
        """Send all, signed, and return only when the bus has each; raise when one fails."""


class Observer(Protocol):
    """Who wants to know how the system fares."""

    def heartbeat(self) -> None:
        """The loop went round."""

    def ready(self) -> None:
        """Commands are carried out, and answers go out."""

    def command_completed(self, action: str, status: str, after: timedelta) -> None:
        """A command has its answer, so long after its last attempt was issued."""

    def attempt_failed(self, command_id: str, action: str, why: str) -> None:
        """The system could not be asked; it will be tried again, or given up."""

    def acknowledgements_sent(self, answers: int) -> None:
        """So many answers went out."""

    def send_failed(self, why: str) -> None:
        """Answers did not go out; they are sent again."""


@dataclass(slots=True, kw_only=True)
class CommandExecutor:
    """What carries commands out. `now` is this machine's clock, UTC."""

    inbox: Inbox
    adapter: Adapter
    publisher: AcknowledgementPublisher
    observer: Observer
    bucket: TokenBucket
    backoff: RetryPolicy
    decryption_keys: Callable[[datetime], Sequence[str]]
    """The system's private X25519 keys, as JWK text, to which corrections may be encrypted."""
    now: Callable[[], datetime]
    concurrency: int
    spans: Tracer = NO_SPANS
    _running: dict[str, Future[None]] = field(default_factory=dict)
    _unsent: bool = False
    """Whether answers did not go out when that was tried last."""

    def run(self, stop: Event) -> None:
        """Run until `stop` is set; what is under way then is finished and answered."""
        with ThreadPoolExecutor(self.concurrency, thread_name_prefix="obeying") as pool:
            while not stop.is_set():
                self.observer.heartbeat()
                try:
                    moved = self._start(pool) + self.send_acknowledgements()
                except (DBAPIError, RegistryUnavailable) as cause:
                    self.observer.send_failed(f"the inbox cannot be read ({type(cause).__name__})")
                    stop.wait(_ERROR_DELAY_SECONDS)
                    continue
                if self._running:
                    wait(self._running.values(), _REST_SECONDS, FIRST_COMPLETED)
                elif not moved:
                    stop.wait(_ERROR_DELAY_SECONDS if self._unsent else _REST_SECONDS)
        self.send_acknowledgements()

    def run_once(self) -> int:
        """Carry out, one after the other, what may be carried out now; how many that were."""
        entries = self._startable(self.concurrency)
        for entry in entries:
            self.execute(entry)
        return len(entries)

    def send_acknowledgements(self) -> int:
        """Send the answers that are not out; how many went."""
        try:
            answers = self.inbox.outgoing(_SENT_AT_ONCE)
            Halving(rest=self._rest).each(answers, self._deliver, self._set_aside)
            self.observer.ready()
        except TermijnError as cause:
            self.observer.send_failed(str(cause))
            self._unsent = True
            return 0
        self._unsent = False
        return len(answers)

    def _deliver(self, answers: Sequence[OutgoingAcknowledgement]) -> None:
        if answers:
            self.publisher.send(answers)
            self.inbox.mark_delivered(answers)
            self.observer.acknowledgements_sent(len(answers))

    def _set_aside(self, answer: OutgoingAcknowledgement, cause: Exception) -> None:
        """An answer that the bus takes at no attempt keeps no other back: `failed` is told in its place.

        Where the bus takes not even that, nothing is told; the controller repeats the command, and
        escalates it.
        """
        why = words(cause)
        self.observer.send_failed(f"command {answer.command_id}: {why}")
        with self.inbox.ledger.transaction() as connection:
            entry = self.inbox.entry(connection, answer.command_id)
            if entry is None or entry.answer != answer.value:
                return
            command = self.inbox.command(entry).command
            failed = _failed(f"its answer could not be sent ({why})")
            instead = self.inbox.complete(entry, command, failed, self.now())
            if entry.status == "failed":
                instead = replace(entry, delivered=True, sealed=None)
            self.inbox.put(connection, instead)

    def _rest(self) -> None:
        sleep(_REST_SECONDS)

    def execute(self, entry: InboxEntry) -> None:
        """Carry one command out, or try to, and keep what came of it."""
        now = self.now()
        started = self.inbox.update_open(entry.command_id, InboxEntry.started)
        if started is None:
            return  # answered meanwhile: by a recall, or by the system itself
        command = self.inbox.command(started).command
        if command.valid_until <= now:
            if started.state == "waiting":
                self._answer(started, command, _failed("it expired before it could be carried out"))
            else:  # the system has it; it is asked again when the controller repeats the command
                at = now + self.backoff.cap
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
        """What was done for a command, as a span of its trace."""
        self.spans.happened(
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
        """The system tells by itself what became of a command; false if nobody waits for that."""
        with self.inbox.ledger.transaction() as connection:
            entry = self.inbox.entry(connection, command_id)
        if entry is None or entry.state not in OPEN:
            return False
        return self._answer(entry, self.inbox.command(entry).command, result)

    def complete_from_json(self, command_id: str, document: Any) -> bool:
        """The system tells by itself, in JSON. Raises `InvalidResult`; else as `told`."""
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
            return _failed("the command names no key that can be answered to")
        if command.action == "rectify":
            corrections = self._corrections(command, now)
            if corrections is None:
                return _failed("the corrections are missing, or open with no key that is here")
            task = replace(task, corrections=corrections)
        try:
            return self.adapter.execute(task)
        except TermijnError:
            raise
        except Exception as cause:  # a fault of an adapter must not cost the other commands
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
        pause = self.backoff.delay_after(entry.tries)
        requested_seconds = cause.after_seconds if isinstance(cause, RetryLater) else None
        if pause is None or isinstance(cause, InvalidResult):
            self._answer(entry, command, _failed(cause.why))
            return
        now = self.now()
        # The system says when to come again, but not beyond the time that the command has.
        longest = max(timedelta(), command.valid_until - now)
        wanted = timedelta(seconds=min(requested_seconds or 0, longest.total_seconds()))
        at = now + max(pause, wanted)
        self.inbox.update_open(entry.command_id, lambda one: one.postponed(at))

    def _answer(self, entry: InboxEntry, command: Command, result: Result) -> bool:
        def work(connection: Connection) -> bool:
            current = self.inbox.entry(connection, entry.command_id)
            if current is None or current.state not in OPEN:
                return False
            latest = self.inbox.command(current).command  # it may have been repeated meanwhile
            self.inbox.put(connection, self.inbox.complete(current, latest, result, now))
            if command.action == "recall" and result.status in _RECALLED:
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
        """What was recalled, once the system has said whether that came in time."""
        if recall.status == "recalled":
            return replace(original.completed("recalled", None, now), sealed=None)
        if (
            original.state not in OPEN
        ):  # it was told `failed`, and the recall tells what became of it
            return replace(original.completed("already_done", None, now), sealed=None)
        counts = json.loads(original.noted) if original.noted else {}
        result = Result(status="done", counts=counts)
        return self.inbox.complete(original, self.inbox.command(original).command, result, now)

    def _start(self, pool: ThreadPoolExecutor) -> int:
        self._collect()
        entries = self._startable(self.concurrency - len(self._running))
        for entry in entries:
            self._running[entry.grp] = pool.submit(self.execute, entry)
        return len(entries)

    def _startable(self, room: int) -> list[InboxEntry]:
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


def _failed(why: str) -> Result:
    return Result(status="failed", detail=why)
