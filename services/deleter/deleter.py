"""The deleter's loop: one round is protect, look, claim, relay, escalate. Any number may run on PostgreSQL.

What protects leaves first, whatever holds up the rest. While something that could forbid an erasure may
lie unread, nothing leaves that could break a promise.
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
from services.ledger.outbox import LeaseRequest
from services.policy.actions import HARMLESS, PROTECTIVE
from services.policy.model import Policy
from services.policy.tagging import TaggedEvent
from services.storage import pause
from services.storage.database import Database, database_now
from services.storage.gc_pause import gc_paused

T = TypeVar("T")
ROLE = SCOPE
_ESCALATE = timedelta(seconds=5)
_NOTHING_PAUSED = PausedSystems()
_AGAIN_SECONDS = 0.2
_MAX_RECORDS = 20_000
"""What one relay names at most: it must be out long before its lease is over."""


class ClockSkew(TermijnError):
    """This machine's clock and the database's differ by more than is safe; nothing was commanded.

    The operator mends the clock (NTP) of whichever is wrong; the role goes on by itself.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"this machine's clock is {seconds:+.1f} s off the database's")
        self.seconds = seconds


class CatchUpCheck(Protocol):
    """Whether everything that could forbid an erasure has been recorded."""

    def lagging_partitions(self) -> Sequence[str]:
        """The partitions not recorded up to the end that they had when this was called."""


class DeleterRunObserver(Protocol):
    """Who wants to know what a round did: metrics and logs."""

    def waiting_for_catch_up(self, spots: Sequence[str]) -> None:
        """Nothing was claimed, since these partitions are not recorded yet."""

    def commands_sent(
        self, commands: Sequence[SentCommand], nothing_due_at: datetime | None
    ) -> None:
        """These commands went out; what was due by `nothing_due_at` became known only after it."""

    def commands_escalated(self, commands: Sequence[tuple[str, UUID]]) -> None:
        """These commands' systems have been silent for too long."""

    def command_undeliverable(self, system: str, command: UUID, why: str) -> None:
        """The bus takes this command at no attempt; it is escalated, and the others went out."""

    def rate_cap_reached(self, cap: int) -> None:
        """The hourly cap was reached; the deleter has stopped until it is resumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleterLimits:
    """How much one round does, and how much all rounds of an hour may do."""

    records_per_claim: int = 5_000
    commands_per_dispatch: int = 1_000
    commands_per_hour: int = 100_000
    """First sends within an hour; 0 is no cap."""
    clock_tolerance: timedelta = timedelta(seconds=1)
    protect_every: timedelta = timedelta(seconds=1)
    """Between two looks, while nothing is claimed, at those of whom something was said."""


@dataclass(slots=True, kw_only=True)
class _Throttle:
    """What need not be done every round: it looks at everything that is out."""

    every: timedelta
    last: datetime | None = None

    def is_due(self, now: datetime) -> bool:
        """Whether its time has come again; it is taken for done then."""
        if self.last is not None and now - self.last < self.every:
            return False
        self.last = now
        return True


@dataclass(slots=True, kw_only=True)
class _LastEmptyClaim:
    """When a claim saw everything and found nothing due, by the database's clock."""

    nothing_due_at: datetime | None = None


@dataclass(slots=True, kw_only=True)
class _ProtectionScan:
    """How far the looks have come that go on while nothing is claimed."""

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
    """What goes along with commands that serve a request."""
    tombstone_cipher: TombstoneCipher | None = None
    """What compares parked events with whom they are about; without it all that they could forbid waits."""
    wait_before_retry: Callable[[], None] = lambda: sleep(_AGAIN_SECONDS)
    """Between two tries of what fails by itself."""
    _escalation_throttle: _Throttle = field(
        default_factory=lambda: _Throttle(every=_ESCALATE), init=False
    )
    _last_empty_claim: _LastEmptyClaim = field(default_factory=_LastEmptyClaim, init=False)
    _protected: _Throttle = field(init=False)
    _protection_scan: _ProtectionScan = field(default_factory=_ProtectionScan, init=False)

    def __post_init__(self) -> None:
        """Pace the looks as the limits say."""
        object.__setattr__(self, "_protected", _Throttle(every=self.limits.protect_every))

    def run_once(self) -> int:
        """Do one round, and say how many records, clocks and commands it handled; 0 is rest.

        Raises:
            ClockSkew: the clocks differ by more than the tolerance.
            PolicyMismatch: another policy has become the active one.
        """
        with self.ledger.transaction() as connection:
            now = self._checked_now(connection)
            # Before the look at the bus: what is replayed after it lies unread there, and is parked still.
            parked = blind_spots.load_blind_spots(connection, self.policy, self.tombstone_cipher)
            state = pause.pause_state(connection, ROLE)
            stops = PausedSystems.load(connection)
        with gc_paused():
            handled = self._send(self._lease_outbox(_NOTHING_PAUSED, PROTECTIVE))
            sees = state != "paused" and self._is_caught_up()
            if state == "running" and sees:
                nothing_due_at = self._last_empty_claim.nothing_due_at
                try:
                    claimed = self._claim(stops, parked)
                except Exception:  # whatever refuses a claim does not refuse what protects
                    self._protect_if_due(now)
                    raise
                self._send(claimed.leased, parked, claimed.events, nothing_due_at)
                handled += claimed.scanned + self._verify().handled
            else:
                handled += self._protect_if_due(now)
            if state != "paused":
                handled += self._send(self._lease_outbox(stops, None if sees else HARMLESS), parked)
        if state != "paused" and self._escalation_throttle.is_due(now):
            self._escalate(now)
        return handled

    def _is_caught_up(self) -> bool:
        """Whether nothing that could forbid an erasure may lie unread."""
        spots = self.catch_up_check.lagging_partitions()
        self.observer.waiting_for_catch_up(spots)
        return not spots

    def _claim(self, stops: PausedSystems, parked: BlindSpots = NO_BLIND_SPOTS) -> ClaimResult:
        def work(connection: Connection, room: int) -> tuple[ClaimResult, datetime]:
            now = database_now(connection)
            lease = LeaseRequest(
                until=now + LEASE, room=room, stopped_systems=stops.paused | stops.drained
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

        claimed, at = self._run_under_cap(work)
        if not claimed.scanned:
            self._last_empty_claim.nothing_due_at = at
        return claimed

    def _verify(self) -> VerificationResult:
        """In a transaction of its own: a claim takes its clocks before any subject."""
        return self._run_under_policy(
            lambda connection, now: verify_commands(
                connection, self.policy, now, limit=self.limits.commands_per_dispatch
            )
        )

    def _protect_if_due(self, now: datetime) -> int:
        """Where nothing is claimed, now and then: what protects is written, and leaves; how much."""
        if not self._protected.is_due(now):
            return 0
        self._write_protection()
        return self._send(self._lease_outbox(_NOTHING_PAUSED, PROTECTIVE))

    def _write_protection(self) -> None:
        """Look at some of those of whom something was said, although nothing is claimed."""
        looked = 0
        while looked < self.limits.commands_per_dispatch:
            before = self._protection_scan.position
            passed = self._run_under_policy(
                lambda connection, now, before=before: protect(  # type: ignore[misc]
                    connection, self.policy, now, before
                )
            )
            self._protection_scan.position = passed or ScanPosition()
            if passed is None:
                return
            looked += 1 + passed.records_scanned

    def _lease_outbox(
        self, stops: PausedSystems, actions: Collection[str] | None
    ) -> Sequence[UUID]:
        """Take what lies in the outbox: repetitions, and what a stop, the cap or a crash left there."""

        def work(connection: Connection, room: int) -> Sequence[UUID]:
            limit, now = min(self.limits.commands_per_dispatch, room), database_now(connection)
            if limit == 0:
                return ()
            return lease(connection, now, stops, limit=limit, records=_MAX_RECORDS, actions=actions)

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
        """Send what is leased and still asked for; how many were leased."""
        if not leased:
            return 0
        sent: list[SentCommand] = []

        def some(commands: Sequence[UUID]) -> None:
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

        BatchBisection(pause=self.wait_before_retry).process(list(leased), some, self._set_aside)
        self.observer.commands_sent(sent, nothing_due_at)
        return len(leased)

    def _run_under_policy(self, work: Callable[[Connection, datetime], T]) -> T:
        """Do `work` in one transaction in which the policy is the active one and stays so.

        Raises:
            PolicyMismatch: another policy has become the active one.
        """

        def begun(connection: Connection) -> T:
            now = database_now(connection)
            active_policy.require_active(connection, self.policy, now)
            return work(connection, database_now(connection))

        return self.ledger.run_in_transaction(begun)

    def _run_under_cap(self, work: Callable[[Connection, int], T]) -> T:
        """Do `work` in one transaction, with how many commands it may lease under the hourly cap."""
        most = self.limits.commands_per_hour

        def within(connection: Connection, _: datetime) -> tuple[T, bool]:
            room = rate_cap.take_capacity(connection, most, ROLE)
            return work(connection, room.commands), room.reached

        done, reached = self._run_under_policy(within)
        if reached:
            self.observer.rate_cap_reached(most)
        return done

    def _blind_spots_now(self, connection: Connection, parked: BlindSpots) -> BlindSpots:
        """What was parked when the round began, and what is now."""
        return parked.combined_with(
            blind_spots.load_blind_spots(connection, self.policy, self.tombstone_cipher)
        )

    def _set_aside(self, command: UUID, cause: Exception) -> None:
        """Escalate a command that the bus takes at no attempt, so that the others go out."""
        why, again = describe_without_values(cause), self.retry_policy.cap
        system = self.ledger.run_in_transaction(
            lambda connection: set_aside(connection, command, why, database_now(connection), again)
        )
        if system is not None:
            self.observer.command_undeliverable(system, command, why)

    def _escalate(self, now: datetime) -> None:
        silent = self.ledger.run_in_transaction(
            lambda connection: escalate(connection, self.policy, now)
        )
        if silent:
            self.observer.commands_escalated(silent)

    def _checked_now(self, connection: Connection) -> datetime:
        now = database_now(connection)
        off = self.now() - now
        if abs(off) > self.limits.clock_tolerance:
            raise ClockSkew(off.total_seconds())
        return now
