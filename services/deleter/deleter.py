"""The deleter: each run checks that all events are recorded, then creates, sends and verifies commands.

Commands that protect data, such as recalls and restrictions, are sent first, even if the others have to
wait. While a message that could forbid an erasure may be unread, nothing is sent that could break a
promise. Any number of deleters may run on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import sleep
from types import MappingProxyType
from typing import Protocol, TypeVar
from uuid import UUID

from sqlalchemy import Connection

from schemas.errors import TermijnError
from services.crypto.tombstones import TombstoneCipher
from services.deleter import rate_cap
from services.deleter.claim import ClaimResult, claim_due
from services.deleter.dispatch import LEASE, RetryPolicy, SentCommand, dispatch, lease
from services.deleter.due_work import has_due_work
from services.deleter.escalation import escalate
from services.deleter.message import NO_ATTACHMENTS, CommandAttachments, CommandPublisher
from services.deleter.paused_systems import SCOPE, PausedSystems
from services.deleter.protection import ScanPosition, protect
from services.deleter.undeliverable import set_aside
from services.deleter.verification import VerificationResult, verify_commands
from services.kafka.batch_bisection import BatchBisection
from services.kafka.error_classification import describe_without_values
from services.ledger import active_policy, blind_spots
from services.ledger.blind_spots import NO_BLIND_SPOTS, BlindSpots
from services.ledger.catch_up import CatchUpCheck, CatchUpObserver
from services.ledger.outbox import LeaseRequest
from services.policy.actions import HARMLESS, PROTECTIVE
from services.policy.model import Policy
from services.policy.tagged_event import TaggedEvent
from services.storage import pause
from services.storage.database import Database, database_now
from services.storage.gc_pause import gc_paused

T = TypeVar("T")
ROLE = SCOPE
_ESCALATE = timedelta(seconds=5)
_NOTHING_PAUSED = PausedSystems()
_AGAIN_SECONDS = 0.2
_MAX_RECORDS = 20_000
"""Records that a lease names at most: all must be sent long before it is over."""


class ClockSkew(TermijnError):
    """This machine's clock and the database's differ by more than is safe; nothing was commanded.

    The operator corrects the clock that is wrong (NTP); the role then goes on.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"clock: must agree with the database's, got a difference of {seconds:+.1f} s; set it by NTP"
        )
        self.seconds = seconds


class DeleterRunObserver(CatchUpObserver, Protocol):
    """Receives what a run of the deleter did: metrics and logs."""

    def commands_sent(
        self, commands: Sequence[SentCommand], nothing_due_at: datetime | None
    ) -> None:
        """These commands were sent; any of them due by `nothing_due_at` became known only after that."""

    def commands_escalated(self, commands: Sequence[tuple[str, UUID]]) -> None:
        """These commands' systems have been silent for too long."""

    def command_undeliverable(self, system: str, command: UUID, why: str) -> None:
        """Kafka rejects this command at every attempt; it is escalated, and the others were sent."""

    def rate_cap_reached(self, cap: int) -> None:
        """The hourly cap was reached; the deleter has stopped until it is resumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleterLimits:
    """How much a run does, and how much all runs of an hour may do."""

    records_per_claim: int = 5_000
    commands_per_dispatch: int = 1_000
    commands_per_hour: int = 100_000
    """Commands that are sent for the first time within an hour; 0 means no cap."""
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
        """Return whether it is due again; if so, it counts as done at `now`."""
        if self.last is not None and now - self.last < self.every:
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
    """The deleter of one process; `now` is this machine's clock, UTC."""

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
    tombstone_cipher: TombstoneCipher | None = None
    """Compares parked events with subjects and clocks; without it all they could forbid waits."""
    wait_before_retry: Callable[[], None] = lambda: sleep(_AGAIN_SECONDS)
    """Waits between two attempts of a batch that fails."""
    _escalation_throttle: _Throttle = field(
        default_factory=lambda: _Throttle(every=_ESCALATE), init=False
    )
    _last_empty_claim: _LastEmptyClaim = field(default_factory=_LastEmptyClaim, init=False)
    _protected: _Throttle = field(init=False)
    _idle_throttle: _Throttle = field(init=False)
    _protection_scan: _ProtectionScan = field(default_factory=_ProtectionScan, init=False)

    def __post_init__(self) -> None:
        """Set how often to scan for commands that protect, and how often to look where nothing is due."""
        object.__setattr__(self, "_protected", _Throttle(every=self.limits.protect_every))
        object.__setattr__(self, "_idle_throttle", _Throttle(every=self.limits.check_every))

    def run_once(self) -> int:
        """Run once, and return how many records, clocks and commands were handled; 0 is nothing to do.

        1. Compare the clocks. If nothing is due, only look now and then whether the deleter could work.
           Otherwise read parked events and pauses.
        2. Send the commands in the outbox that protect.
        3. If the deleter is running and the ledger has caught up: claim, dispatch the new commands, and
           write verifications. Otherwise only write commands that protect, now and then.
        4. Dispatch the rest of the outbox; while not caught up, only commands that break no promise.
        5. Escalate, now and then, commands that were not acknowledged in time.

        Raises:
            ClockSkew: the clocks differ by more than the tolerance.
            PolicyMismatch: another policy has become the active one.
        """
        # Step 1: read what can hold commands back. This comes before the check for catch-up: a parked event
        # that is replayed after it is unread on Kafka then, and is parked still as read here.
        with self.ledger.transaction() as connection:
            now = self._checked_now(connection)
            has_work = has_due_work(connection, now)
        if not has_work:
            self._check_idle(now)
            return 0
        with self.ledger.transaction() as connection:
            parked = blind_spots.load_blind_spots(connection, self.policy, self.tombstone_cipher)
            state = pause.pause_state(connection, ROLE)
            paused = PausedSystems.load(connection)
        with gc_paused():
            # Step 2: send the commands that protect.
            handled = self._send(self._lease_outbox(_NOTHING_PAUSED, PROTECTIVE))
            # Step 3: claim, dispatch and verify.
            is_caught_up = state != "paused" and self._is_caught_up()
            if state == "running" and is_caught_up:
                nothing_due_at = self._last_empty_claim.nothing_due_at
                try:
                    claimed = self._claim(paused, parked)
                except Exception:  # a claim that fails must not hold up commands that protect
                    self._protect_if_due(now)
                    raise
                self._send(claimed.leased, parked, claimed.events, nothing_due_at)
                handled += claimed.scanned + self._verify().handled
            else:
                handled += self._protect_if_due(now)
            # Step 4: dispatch the rest of the outbox.
            if state != "paused":
                actions = None if is_caught_up else HARMLESS
                handled += self._send(self._lease_outbox(paused, actions), parked)
        # Step 5: escalate.
        if state != "paused" and self._escalation_throttle.is_due(now):
            self._escalate(now)
        return handled

    def _check_idle(self, now: datetime) -> None:
        """Check now and then, while nothing is due, the policy, the catch-up and silent systems."""
        if not self._idle_throttle.is_due(now):
            return
        state = self._run_under_policy(lambda connection, _: pause.pause_state(connection, ROLE))
        if state == "paused":
            return
        if self._is_caught_up():
            with self.ledger.transaction() as connection:
                checked_at = database_now(connection)
                if not has_due_work(connection, checked_at):
                    self._last_empty_claim.nothing_due_at = checked_at
        if self._escalation_throttle.is_due(now):
            self._escalate(now)

    def _is_caught_up(self) -> bool:
        """Return whether every message that could forbid an erasure is recorded."""
        spots = self.catch_up_check.lagging_partitions()
        self.observer.waiting_for_catch_up(spots)
        return not spots

    def _claim(self, paused: PausedSystems, parked: BlindSpots = NO_BLIND_SPOTS) -> ClaimResult:
        def work(connection: Connection, room: int) -> tuple[ClaimResult, datetime]:
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
                blind_spots=self._blind_spots_now(connection, parked),
            )
            return claimed, now

        claimed, claimed_at = self._run_under_cap(work)
        if not claimed.scanned:
            self._last_empty_claim.nothing_due_at = claimed_at
        return claimed

    def _verify(self) -> VerificationResult:
        """Write verifications, in a transaction of their own: a claim locks clocks before any subject."""
        return self._run_under_policy(
            lambda connection, now: verify_commands(
                connection, self.policy, now, limit=self.limits.commands_per_dispatch
            )
        )

    def _protect_if_due(self, now: datetime) -> int:
        """Write and send commands that protect, if that is due; return how many were leased."""
        if not self._protected.is_due(now):
            return 0
        self._write_protection()
        return self._send(self._lease_outbox(_NOTHING_PAUSED, PROTECTIVE))

    def _write_protection(self) -> None:
        """Plan records of some subjects with new privacy events, although nothing is claimed."""
        handled = 0
        while handled < self.limits.commands_per_dispatch:
            start = self._protection_scan.position
            position = self._run_under_policy(
                lambda connection, now, start=start: protect(  # type: ignore[misc]
                    connection, self.policy, now, start
                )
            )
            self._protection_scan.position = position or ScanPosition()
            if position is None:
                return
            handled += 1 + position.records_scanned

    def _lease_outbox(
        self, paused: PausedSystems, actions: Collection[str] | None
    ) -> Sequence[UUID]:
        """Lease from the outbox: repetitions, and commands that a pause, the cap or a crash left there."""

        def work(connection: Connection, room: int) -> Sequence[UUID]:
            limit, now = min(self.limits.commands_per_dispatch, room), database_now(connection)
            if limit == 0:
                return ()
            return lease(
                connection, now, paused, limit=limit, records=_MAX_RECORDS, actions=actions
            )

        if actions is PROTECTIVE:
            return self._run_under_policy(
                lambda connection, _: work(connection, self.limits.commands_per_dispatch)
            )
        return self._run_under_cap(work)

    def _send(
        self,
        leased: Collection[UUID],
        parked: BlindSpots = NO_BLIND_SPOTS,
        claimed: Mapping[UUID, TaggedEvent] = MappingProxyType({}),
        nothing_due_at: datetime | None = None,
    ) -> int:
        """Send the leased commands that are still wanted; return how many were leased."""
        if not leased:
            return 0
        sent: list[SentCommand] = []

        def send_some(commands: Sequence[UUID]) -> None:
            sent.extend(
                self._run_under_policy(
                    lambda connection, now: dispatch(
                        connection,
                        commands,
                        self.publisher,
                        self.policy,
                        now,
                        self.retry_policy,
                        claimed,
                        self.attachments,
                        self._blind_spots_now(connection, parked),
                    )
                )
            )

        BatchBisection(pause=self.wait_before_retry).process(
            list(leased), send_some, self._set_aside
        )
        self.observer.commands_sent(sent, nothing_due_at)
        return len(leased)

    def _run_under_policy(self, work: Callable[[Connection, datetime], T]) -> T:
        """Run `work` in a transaction in which the policy is the active one and stays so.

        Raises:
            PolicyMismatch: another policy has become the active one.
        """

        def under_policy(connection: Connection) -> T:
            now = database_now(connection)
            active_policy.require_active(connection, self.policy, now)
            return work(connection, database_now(connection))

        return self.ledger.run_in_transaction(under_policy)

    def _run_under_cap(self, work: Callable[[Connection, int], T]) -> T:
        """Run `work` in a transaction, with how many commands it may lease under the hourly cap."""
        cap = self.limits.commands_per_hour

        def under_cap(connection: Connection, _: datetime) -> tuple[T, bool]:
            capacity = rate_cap.take_capacity(connection, cap, ROLE)
            return work(connection, capacity.commands), capacity.reached

        result, reached = self._run_under_policy(under_cap)
        if reached:
            self.observer.rate_cap_reached(cap)
        return result

    def _blind_spots_now(self, connection: Connection, parked: BlindSpots) -> BlindSpots:
        """Return the blind spots of when the run began, together with those of now."""
        return parked.combined_with(
            blind_spots.load_blind_spots(connection, self.policy, self.tombstone_cipher)
        )

    def _set_aside(self, command: UUID, cause: Exception) -> None:
        """Escalate a command that Kafka rejects at every attempt, so that the others are sent."""
        reason, retry_delay = describe_without_values(cause), self.retry_policy.cap
        system = self.ledger.run_in_transaction(
            lambda connection: set_aside(
                connection, command, reason, database_now(connection), retry_delay
            )
        )
        if system is not None:
            self.observer.command_undeliverable(system, command, reason)

    def _escalate(self, now: datetime) -> None:
        silent = self.ledger.run_in_transaction(
            lambda connection: escalate(connection, self.policy, now)
        )
        if silent:
            self.observer.commands_escalated(silent)

    def _checked_now(self, connection: Connection) -> datetime:
        now = database_now(connection)
        skew = self.now() - now
        if abs(skew) > self.limits.clock_tolerance:
            raise ClockSkew(skew.total_seconds())
        return now
