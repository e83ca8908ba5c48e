"""Lease commands in the outbox and send them, each only while facts and policy require it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from sqlalchemy import Connection

from services.crypto.tombstones import TombstoneCipher
from services.deleter.command_records import NOTHING_CLAIMED, Claimed
from services.deleter.dispatch import RetryPolicy, SentCommand, dispatch, lease
from services.deleter.message import CommandAttachments, CommandPublisher
from services.deleter.paused_systems import PausedSystems
from services.deleter.transactions import DeleterTransactions
from services.deleter.undeliverable import set_aside
from services.kafka.batch_bisection import BatchBisection
from services.kafka.error_classification import describe_without_values
from services.ledger.blind_spots import NO_BLIND_SPOTS, BlindSpots, load_blind_spots
from services.policy.actions import PROTECTIVE
from services.storage.database import database_now

_MAX_RECORDS = 20_000
"""Records that a lease names at most: all must be sent long before it is over."""


class CommandSenderObserver(Protocol):
    """Receives what was sent: metrics and logs."""

    def commands_sent(
        self, commands: Sequence[SentCommand], nothing_due_at: datetime | None
    ) -> None:
        """These commands were sent; any of them due by `nothing_due_at` became known only after that."""

    def command_undeliverable(self, system: str, command: UUID, why: str) -> None:
        """Kafka rejects this command at every attempt; it is escalated, and the others were sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSender:
    """Sends the commands of one deleter."""

    transactions: DeleterTransactions
    publisher: CommandPublisher
    observer: CommandSenderObserver
    retry_policy: RetryPolicy
    attachments: CommandAttachments
    tombstone_cipher: TombstoneCipher | None
    commands_per_lease: int
    wait_before_retry: Callable[[], None]
    """Waits between two attempts of a batch that fails."""

    def lease(self, paused: PausedSystems, actions: Collection[str] | None) -> Sequence[UUID]:
        """Lease from the outbox: repetitions, and commands that a pause, the cap or a crash left there."""

        def work(connection: Connection, room: int) -> Sequence[UUID]:
            limit, now = min(self.commands_per_lease, room), database_now(connection)
            if limit == 0:
                return ()
            return lease(
                connection, now, paused, limit=limit, records=_MAX_RECORDS, actions=actions
            )

        if actions is PROTECTIVE:
            return self.transactions.run(
                lambda connection, _: work(connection, self.commands_per_lease)
            )
        return self.transactions.run_under_cap(work)

    def send(
        self,
        leased: Collection[UUID],
        parked: BlindSpots = NO_BLIND_SPOTS,
        claimed: Claimed = NOTHING_CLAIMED,
        nothing_due_at: datetime | None = None,
    ) -> int:
        """Send the leased commands that are still wanted; return how many were leased."""
        if not leased:
            return 0
        sent: list[SentCommand] = []

        def send_some(commands: Sequence[UUID]) -> None:
            sent.extend(
                self.transactions.run(
                    lambda connection, now: dispatch(
                        connection,
                        commands,
                        self.publisher,
                        self.transactions.policy,
                        now,
                        self.retry_policy,
                        claimed,
                        self.attachments,
                        self.blind_spots_now(connection, parked),
                    )
                )
            )

        BatchBisection(pause=self.wait_before_retry).process(
            list(leased), send_some, self._set_aside
        )
        self.observer.commands_sent(sent, nothing_due_at)
        return len(leased)

    def blind_spots_now(self, connection: Connection, parked: BlindSpots) -> BlindSpots:
        """Return the blind spots of when the run began, together with those of now."""
        return parked.combined_with(
            load_blind_spots(connection, self.transactions.policy, self.tombstone_cipher)
        )

    def _set_aside(self, command: UUID, cause: Exception) -> None:
        """Escalate a command that Kafka rejects at every attempt, so that the others are sent."""
        reason, retry_delay = describe_without_values(cause), self.retry_policy.cap
        system = self.transactions.ledger.run_in_transaction(
            lambda connection: set_aside(
                connection, command, reason, database_now(connection), retry_delay
            )
        )
        if system is not None:
            self.observer.command_undeliverable(system, command, reason)
