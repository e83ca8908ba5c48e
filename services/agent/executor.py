"""Carries out the commands in the inbox: in parallel, at a limited rate, and in order for each subject.

Counts are saved before rows are changed, and the acknowledgement before it is sent. After a crash the next
process continues from there, and the system may get the same command again.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Event
from typing import Any, Protocol

from sqlalchemy.exc import DBAPIError

from schemas.errors import RegistryUnavailable, TermijnError
from services.agent.acknowledgement_sender import AcknowledgementSender, SenderObserver
from services.agent.adapters.base import Adapter, BatchAdapter, CommandTask, Outcome
from services.agent.attempts import AttemptObserver, AttemptRecorder
from services.agent.command import Command
from services.agent.execution_batches import group_into_batches
from services.agent.inbox import Inbox
from services.agent.inbox_entry import OPEN, InboxEntry
from services.agent.outcomes import OutcomeObserver, OutcomeStore
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

_IDLE_SECONDS = 0.1
_ERROR_DELAY_SECONDS = 1.0


class ExecutorObserver(SenderObserver, OutcomeObserver, AttemptObserver, Protocol):
    """Receives what the executor did: metrics and logs."""

    def heartbeat(self) -> None:
        """The loop completed a round."""


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
    batch_size: int = 1
    """How many commands with one action a batch adapter carries out at once."""
    spans: Tracer = NO_TRACER
    outcomes: OutcomeStore = field(init=False)
    _attempts: AttemptRecorder = field(init=False)
    _running: dict[str, Future[None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Store outcomes and attempts in the same inbox."""
        self.outcomes = OutcomeStore(inbox=self.inbox, observer=self.observer, now=self.now)
        self._attempts = AttemptRecorder(
            inbox=self.inbox,
            outcomes=self.outcomes,
            observer=self.observer,
            retries=self.retries,
            spans=self.spans,
            now=self.now,
        )

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
        batches = self._batches_to_start(self.concurrency)
        for batch in batches:
            self._execute_batch(batch)
        return sum(map(len, batches))

    def execute(self, entry: InboxEntry) -> None:
        """Try to carry out one command, and store the outcome."""
        now = self.now()
        started = self.inbox.update_open(entry.command_id, InboxEntry.started)
        if started is None:
            return  # completed meanwhile: by a recall, or by a callback of the system
        command = self.inbox.command(started).command
        if command.valid_until <= now:
            self._attempts.expire(started, command, now)
            return
        try:
            result = self._result(started, command, now)
        except (RetryLater, InvalidResult) as cause:
            self._attempts.retry(started, command, cause, now)
        else:
            if isinstance(result, Pending):
                self._attempts.delegate(started, command, result, now)
            else:
                self._attempts.record(command, started, result.status, now)
                self.outcomes.answer(started, command, result)

    def execute_together(self, entries: Sequence[InboxEntry]) -> None:
        """Try to carry out commands with one action about different people, and store the outcomes.

        What was completed meanwhile, such as by a recall, is left out just before the system is asked.
        """
        now = self.now()
        ids = [entry.command_id for entry in entries]
        started = self.inbox.update_all_open(ids, InboxEntry.started)
        alike: defaultdict[str | None, list[tuple[InboxEntry, Command]]] = defaultdict(list)
        for entry in started:
            command = self.inbox.command(entry).command
            if command.valid_until <= now:
                self._attempts.expire(entry, command, now)
            else:
                alike[command.verifies].append((entry, command))
        for members in alike.values():
            results = self._results(members, now)
            answers = []
            for (entry, command), result in zip(members, results, strict=True):
                if isinstance(result, RetryLater | InvalidResult):
                    self._attempts.retry(entry, command, result, now)
                elif isinstance(result, Pending):
                    self._attempts.delegate(entry, command, result, now)
                else:
                    self._attempts.record(command, entry, result.status, now)
                    answers.append((entry, command, result))
            self.outcomes.answer_all(answers)

    def _results(
        self, members: Sequence[tuple[InboxEntry, Command]], now: datetime
    ) -> Sequence[Outcome]:
        assert isinstance(self.adapter, BatchAdapter)
        tasks = [self._task(entry, command, now) for entry, command in members]
        try:
            return self.adapter.execute_together(tasks, self.outcomes.save_checkpoints)
        except TermijnError:
            raise
        except Exception as cause:  # a bug in an adapter must not stop the other commands
            why = f"the adapter failed ({type(cause).__name__})"
            return [RetryLater(why) for _ in members]

    def complete(self, command_id: str, result: Result) -> bool:
        """Store a result that the system reports later; return whether the command was still open."""
        with self.inbox.ledger.transaction() as connection:
            entry = self.inbox.entry(connection, command_id)
        if entry is None or entry.state not in OPEN:
            return False
        return self.outcomes.answer(entry, self.inbox.command(entry).command, result)

    def complete_from_json(self, command_id: str, document: Any) -> bool:
        """Do as `complete`, with the result as parsed JSON.

        Raises:
            InvalidResult: the document is not a result for the command's action.
        """
        with self.inbox.ledger.transaction() as connection:
            entry = self.inbox.entry(connection, command_id)
        return entry is not None and self.complete(command_id, parse_result(document, entry.action))

    def _result(self, entry: InboxEntry, command: Command, now: datetime) -> Result | Pending:
        task = self._task(entry, command, now)
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

    def _task(self, entry: InboxEntry, command: Command, now: datetime) -> CommandTask:
        return CommandTask(
            command=command,
            run=entry.runs,
            checkpoint=json.loads(entry.noted) if entry.noted else None,
            save_checkpoint=lambda counts: self.outcomes.save_checkpoints(
                {entry.command_id: counts}
            ),
            now=now,
        )

    def _corrections(self, command: Command, now: datetime) -> Mapping[str, Any] | None:
        for key in self.decryption_keys(now) if command.corrections else ():
            try:
                return jwe.decrypt(command.corrections or "", key, command.command_id)
            except jwe.DisclosureUndecryptable:
                continue
        return None

    def _start(self, pool: ThreadPoolExecutor) -> int:
        self._collect()
        batches = self._batches_to_start(self.concurrency - len({*self._running.values()}))
        for batch in batches:
            future = pool.submit(self._execute_batch, batch)
            self._running.update((entry.grp, future) for entry in batch)
        return sum(map(len, batches))

    def _execute_batch(self, batch: Sequence[InboxEntry]) -> None:
        if len(batch) == 1:
            self.execute(batch[0])
        else:
            self.execute_together(batch)

    def _batches_to_start(self, room: int) -> Sequence[Sequence[InboxEntry]]:
        if room < 1:
            return ()
        now, adapter = self.now(), self.adapter
        size = self.batch_size if isinstance(adapter, BatchAdapter) else 1
        return group_into_batches(
            self.inbox.due_entries(now, self._running.keys(), room * size),
            most=room,
            size=size,
            is_batched=adapter.is_batched if isinstance(adapter, BatchAdapter) else lambda _: False,
            may_start=lambda: self.bucket.take(now),
        )

    def _collect(self) -> None:
        ended = [group for group, future in self._running.items() if future.done()]
        for future in {self._running.pop(group) for group in ended}:
            future.result()
