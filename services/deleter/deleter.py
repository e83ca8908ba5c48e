"""The deleter: each run checks that all events are recorded, then creates, sends and verifies commands.

Commands that protect data, such as recalls and restrictions, are sent first, even if the others have to
wait. While a message that could forbid an erasure may be unread, nothing is sent that could break a
promise. Any number of deleters may run on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import sleep
from typing import Protocol
from uuid import UUID

from sqlalchemy import Connection

from services.crypto.tombstones import TombstoneCipher
from services.deleter import surge_guard
from services.deleter.claim import ClaimResult, claim_due
from services.deleter.command_sender import CommandSender, CommandSenderObserver
from services.deleter.dispatch import LEASE, RetryPolicy
from services.deleter.due_work import has_due_work
from services.deleter.escalation import escalate
from services.deleter.message import NO_ATTACHMENTS, CommandAttachments, CommandPublisher
from services.deleter.paused_systems import SCOPE, PausedSystems
from services.deleter.protection import ScanPosition, protect
from services.deleter.sent_commands_check import (
    CommandTopics,
    RecoveryObserver,
    SentCommandsCheck,
)
from services.deleter.surge import Surge
from services.deleter.surge_guard import SurgeFound
from services.deleter.transactions import DeleterTransactions, checked_now
from services.deleter.verification import VerificationResult, verify_commands
from services.ledger import blind_spots
from services.ledger.blind_spots import BlindSpots
from services.ledger.catch_up import CatchUpCheck, CatchUpObserver
from services.ledger.outbox import LeaseRequest
from services.policy.actions import HARMLESS, PROTECTIVE
from services.policy.model import Policy
from services.storage import pause
from services.storage.database import Database, database_now
from services.storage.gc_pause import gc_paused

ROLE = SCOPE
_ESCALATION_INTERVAL = timedelta(seconds=5)
_NOTHING_PAUSED = PausedSystems()
_RETRY_SECONDS = 0.2


class DeleterRunObserver(CatchUpObserver, CommandSenderObserver, RecoveryObserver, Protocol):
    """Receives what a run of the deleter did: metrics and logs."""

    def commands_escalated(self, commands: Sequence[tuple[str, UUID]]) -> None:
        """These commands' systems have been silent for too long."""

    def rate_cap_reached(self, cap: int) -> None:
        """The hourly cap was reached; the deleter has stopped until it is resumed."""

    def surge_found(self, surges: Sequence[Surge]) -> None:
        """Far more is due than was forecast; the deleter has stopped until it is resumed."""

    def surge_not_compared(self) -> None:
        """Much is claimed, and without a forecast it cannot be compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleterLimits:
    """How much a run does, and how much all runs of an hour may do."""

    records_per_claim: int = 5_000
    commands_per_dispatch: int = 1_000
    commands_per_hour: int = 100_000
    """Commands that are sent for the first time within an hour; 0 means no cap."""
    surge_factor: float = 3
    """How often as much as was forecast may be claimed on a day; 0 means no surge guard."""
    clock_tolerance: timedelta = timedelta(seconds=1)
    protect_every: timedelta = timedelta(seconds=1)
    """The time between two scans for commands that protect, while nothing is claimed."""
    check_every: timedelta = timedelta(seconds=5)
    """The time between two checks for catch-up while nothing is due."""


@dataclass(slots=True, kw_only=True)
class _Throttle:
    """Limits how often something is done that need not be done in every run."""

    every: timedelta
    last: datetime | None = None

    def is_due(self, now: datetime) -> bool:
        """Return whether it is due, as it is after a clock was set back; if so, it is done at `now`."""
        if self.last is not None and timedelta(0) <= now - self.last < self.every:
            return False
        self.last = now
        return True


@dataclass(slots=True, kw_only=True)
class _LastEmptyClaim:
    """When a claim, with the ledger caught up, last had nothing due, UTC by the database's clock."""

    nothing_due_at: datetime | None = None


@dataclass(slots=True, kw_only=True)
class _ProtectionScan:
    """How far the scan for commands that protect has come."""

    position: ScanPosition = field(default_factory=ScanPosition)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleter:
    """Runs the deleter's work in one process: claim, send, verify.

    `now` is this machine's clock, UTC.
    """

    ledger: Database
    publisher: CommandPublisher
    catch_up_check: CatchUpCheck
    policy: Policy
    observer: DeleterRunObserver
    now: Callable[[], datetime]
    limits: DeleterLimits = field(default_factory=DeleterLimits)
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    attachments: CommandAttachments = NO_ATTACHMENTS
    """Finds the further fields of commands that serve a request."""
    command_topics: CommandTopics | None = None
    """Where what was sent is read again; None where no topic outlives the ledger, as in a simulation."""
    tombstone_cipher: TombstoneCipher | None = None
    """Compares parked events with subjects and clocks; without it all they could forbid waits."""
    wait_before_retry: Callable[[], None] = lambda: sleep(_RETRY_SECONDS)
    """Waits between two attempts of a batch that fails."""
    _escalation_throttle: _Throttle = field(
        default_factory=lambda: _Throttle(every=_ESCALATION_INTERVAL), init=False
    )
    _last_empty_claim: _LastEmptyClaim = field(default_factory=_LastEmptyClaim, init=False)
    sender: CommandSender = field(init=False)
    sent_check: SentCommandsCheck | None = field(init=False, default=None)
    _transactions: DeleterTransactions = field(init=False)
    _protection_throttle: _Throttle = field(init=False)
    _idle_throttle: _Throttle = field(init=False)
    _protection_scan: _ProtectionScan = field(default_factory=_ProtectionScan, init=False)

    def __post_init__(self) -> None:
        """Build the transactions and the sender, and set how often to scan for commands that protect."""
        transactions = DeleterTransactions(
            ledger=self.ledger,
            policy=self.policy,
            commands_per_hour=self.limits.commands_per_hour,
            rate_cap_reached=self.observer.rate_cap_reached,
        )
        sender = CommandSender(
            transactions=transactions,
            publisher=self.publisher,
            observer=self.observer,
            retry_policy=self.retry_policy,
            attachments=self.attachments,
            tombstone_cipher=self.tombstone_cipher,
            commands_per_lease=self.limits.commands_per_dispatch,
            wait_before_retry=self.wait_before_retry,
        )
        if self.command_topics is not None:
            check = SentCommandsCheck(
                topics=self.command_topics, transactions=transactions, observer=self.observer
            )
            object.__setattr__(self, "sent_check", check)
        object.__setattr__(self, "_transactions", transactions)
        object.__setattr__(self, "sender", sender)
        object.__setattr__(self, "_protection_throttle", _Throttle(every=self.limits.protect_every))
        object.__setattr__(self, "_idle_throttle", _Throttle(every=self.limits.check_every))

    def run_once(self) -> int:
        """Run once, as `_run_once` does; after a failure check again what was sent.

        Raises:
            ClockSkew: the clocks differ by more than the tolerance.
            PolicyMismatch: another policy has become the active one.
        """
        try:
            return self._run_once()
        except Exception:
            if self.sent_check:
                self.sent_check.restart()  # the ledger may have been restored meanwhile
            raise

    def _run_once(self) -> int:
        """Run once, and return how many records, clocks and commands were handled; 0 is nothing to do.

        1. Compare the clocks. If nothing is due, only look now and then whether the deleter could work.
           Otherwise read parked events and pauses.
        2. Send the commands in the outbox that protect.
        3. If the deleter is running and the ledger has caught up: claim, dispatch the new commands, and
           write verifications. Otherwise, and if that fails, only write commands that protect, now and
           then.
        4. Dispatch the rest of the outbox; while not caught up, only commands that break no promise.
        5. Escalate, now and then, commands that were not acknowledged in time.
        """
        # Step 1: read what can hold commands back. This comes before the check for catch-up: a parked event
        # that is replayed after it is unread on Kafka then, and is parked still as read here.
        with self.ledger.transaction() as connection:
            now = checked_now(connection, self.now(), self.limits.clock_tolerance)
            has_work = has_due_work(connection, now)
        if not has_work and not (self.sent_check and self.sent_check.is_due(now)):
            self._check_idle(now)
            return 0
        with self.ledger.transaction() as connection:
            parked = blind_spots.load_blind_spots(connection, self.policy, self.tombstone_cipher)
            state = pause.pause_state(connection, ROLE)
            paused = PausedSystems.load(connection)
        with gc_paused():
            # Step 2: send the commands that protect.
            handled = self.sender.send(self.sender.lease(_NOTHING_PAUSED, PROTECTIVE))
            # Step 3: claim, dispatch and verify.
            claimed = None
            try:
                is_caught_up = self._may_check(state, now) and self._is_caught_up(now)
                nothing_due_at = self._last_empty_claim.nothing_due_at
                if state == "running" and is_caught_up:
                    claimed = self._claim_or_stop(paused, parked)
                    state = "running" if claimed else "paused"
            except Exception:  # what fails must not hold up commands that protect
                self._protect_if_due(now)
                raise
            if claimed is not None:
                self.sender.send(claimed.leased, parked, claimed.known, nothing_due_at)
                handled += claimed.scanned + self._verify().handled
            else:
                handled += self._protect_if_due(now)
            # Step 4: dispatch the rest of the outbox.
            if state != "paused":
                actions = None if is_caught_up else HARMLESS
                handled += self.sender.send(self.sender.lease(paused, actions), parked)
        # Step 5: escalate.
        if state != "paused" and self._escalation_throttle.is_due(now):
            self._escalate(now)
        return handled

    def _check_idle(self, now: datetime) -> None:
        """Check now and then, while nothing is due, the policy, the catch-up and silent systems."""
        if not self._idle_throttle.is_due(now):
            return
        state = self._transactions.run(lambda connection, _: pause.pause_state(connection, ROLE))
        if state == "paused":
            return
        if self._is_caught_up(now):
            with self.ledger.transaction() as connection:
                checked_at = database_now(connection)
                if not has_due_work(connection, checked_at):
                    self._last_empty_claim.nothing_due_at = checked_at
        if self._escalation_throttle.is_due(now):
            self._escalate(now)

    def _may_check(self, state: pause.State, now: datetime) -> bool:
        """Return whether to check for catch-up: also while paused, until it is known what was sent.

        A legal hold has to recall that, and no pause delays a recall.
        """
        return state != "paused" or (self.sent_check is not None and self.sent_check.is_due(now))

    def _is_caught_up(self, now: datetime) -> bool:
        """Return whether every message that could forbid an erasure is recorded, and all that was sent."""
        spots = self.catch_up_check.lagging_partitions()
        if not spots and self.sent_check and (problem := self.sent_check.problem(now)):
            spots = [f"deleter: {problem}"]
        self.observer.waiting_for_catch_up(spots)
        return not spots

    def _claim_or_stop(self, paused: PausedSystems, parked: BlindSpots) -> ClaimResult | None:
        """Claim, or stop the deleters and return None if that would be a surge."""
        try:
            return self._claim(paused, parked)
        except SurgeFound as cause:
            found = cause
        stopped = self._transactions.run(
            lambda connection, now: surge_guard.stop(connection, found, self.policy, now)
        )
        if stopped:
            self.observer.surge_found(found.surges)
        return None

    def _claim(self, paused: PausedSystems, parked: BlindSpots) -> ClaimResult:
        """Claim under the cap and the surge guard.

        Raises:
            SurgeFound: nothing was claimed, since it would be a surge.
        """

        def work(connection: Connection, room: int) -> tuple[ClaimResult, datetime, bool]:
            now = database_now(connection)
            lease = LeaseRequest(
                until=now + LEASE, room=room, stopped_systems=paused.paused | paused.drained
            )
            claimed = claim_due(
                connection,
                self.policy,
                now,
                limit=self.limits.records_per_claim,
                lease=lease,
                blind_spots=self.sender.blind_spots_now(connection, parked),
            )
            is_compared = surge_guard.check_claim(
                connection, claimed.planned, self.limits.surge_factor, now
            )
            return claimed, now, is_compared

        claimed, claimed_at, is_compared = self._transactions.run_under_cap(work)
        if not is_compared:
            self.observer.surge_not_compared()
        if not claimed.scanned:
            self._last_empty_claim.nothing_due_at = claimed_at
        return claimed

    def _verify(self) -> VerificationResult:
        """Write verifications, in a transaction of their own: a claim locks clocks before any subject."""
        return self._transactions.run(
            lambda connection, now: verify_commands(
                connection, self.policy, now, limit=self.limits.commands_per_dispatch
            )
        )

    def _protect_if_due(self, now: datetime) -> int:
        """Write and send commands that protect, if that is due; return how many were leased."""
        if not self._protection_throttle.is_due(now):
            return 0
        self._write_protection()
        return self.sender.send(self.sender.lease(_NOTHING_PAUSED, PROTECTIVE))

    def _write_protection(self) -> None:
        """Plan records of some subjects with new privacy events, although nothing is claimed."""
        handled = 0
        while handled < self.limits.commands_per_dispatch:
            start = self._protection_scan.position
            position = self._transactions.run(
                lambda connection, now, start=start: protect(  # type: ignore[misc]
                    connection, self.policy, now, start
                )
            )
            self._protection_scan.position = position or ScanPosition()
            if position is None:
                return
            handled += 1 + position.records_scanned

    def _escalate(self, now: datetime) -> None:
        silent = self.ledger.run_in_transaction(
            lambda connection: escalate(connection, self.policy, now)
        )
        if silent:
            self.observer.commands_escalated(silent)
