"""A deleter for benchmarks: real ledger, real bus, and a note of when each command was sent."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import perf_counter, sleep, time
from uuid import UUID

from schemas import topics
from services.crypto.key_directory import DELETER, KeyDirectory
from services.crypto.signing import Signer, Verifier
from services.deleter.command_recovery import RecoveryResult
from services.deleter.deleter import Deleter, DeleterLimits
from services.deleter.dispatch import RetryPolicy, SentCommand
from services.deleter.publisher import KafkaCommandPublisher
from services.deleter.surge import Surge
from services.kafka.client import KafkaClient
from services.ledger.catch_up import KafkaCatchUpCheck
from services.storage.database import Database
from tests.benchmarks.environment import Stage

_NO_CAP = DeleterLimits(commands_per_hour=0)
_NO_REPETITION = RetryPolicy(base=timedelta(days=1), cap=timedelta(days=1))
"""No system acknowledges here, and no command may be repeated for that reason."""
REST_SECONDS = 0.02
"""Between rounds with nothing to do."""


@dataclass(slots=True)
class SweepStats:
    """The observer of a deleter, which notes when commands were sent."""

    commands: int = 0
    earliest: float = float("inf")
    """The shortest time from an instant due to a command's issue, in seconds; below 0 is too early."""
    lateness: array[float] = field(default_factory=lambda: array("d"))
    """Seconds from each command's instant due until it was known to be out and marked so."""
    out_at: dict[datetime, datetime] = field(default_factory=dict)
    """By instant due: when the last of its commands was known to be out, UTC."""

    def waiting_for_catch_up(self, spots: Sequence[str]) -> None:
        """Fail: a benchmark's bus is empty, and a deleter that waits would measure nothing."""
        if spots:
            raise RuntimeError(f"the deleter is blind: {spots}")

    def commands_sent(
        self, commands: Sequence[SentCommand], nothing_due_at: datetime | None = None
    ) -> None:
        """Note the commands."""
        at = current_time()
        self.commands += len(commands)
        for command in commands:
            self.earliest = min(self.earliest, (command.at - command.due_at).total_seconds())
            self.lateness.append((at - command.due_at).total_seconds())
            self.out_at[command.due_at] = at

    def commands_recovered(self, result: RecoveryResult) -> None:
        """Ignore it: nothing is restored in a benchmark."""

    def commands_escalated(self, commands: Sequence[tuple[str, UUID]]) -> None:
        """Ignore it, since no system acknowledges in a benchmark."""

    def command_undeliverable(self, system: str, command: UUID, why: str) -> None:
        """Ignore a command that the bus did not take."""

    def rate_cap_reached(self, cap: int) -> None:
        """Ignore it, since a benchmark has no cap."""

    def surge_found(self, surges: Sequence[Surge]) -> None:
        """Fail: a deleter that has stopped would measure nothing."""
        raise RuntimeError(f"the deleter found a surge: {surges}")

    def surge_not_compared(self) -> None:
        """Ignore it, since a benchmark makes no forecast."""


def current_time() -> datetime:
    """Return this machine's time, UTC; the database on the stage has the same."""
    return datetime.fromtimestamp(time(), UTC)


def open_bus(stage: Stage) -> KafkaClient:
    """Return the stage's Kafka, cleared, with every topic that the deleter needs."""
    stage.kafka().clear()
    bus = KafkaClient(stage.kafka().bootstrap)
    business = [topics.business_topic(event_type) for event_type in stage.policy.events]
    commands = [topics.command_topic(system) for system in stage.policy.systems]
    bus.ensure_topics([*business, *commands, topics.TAGGED, topics.DEAD_LETTERS])
    return bus


def deleter(
    stage: Stage,
    ledger: Database,
    bus: KafkaClient,
    seen: SweepStats,
    limits: DeleterLimits = _NO_CAP,
) -> Deleter:
    """Make a deleter as `termijn deleter` runs it, without the hourly cap."""
    return Deleter(
        ledger=ledger,
        publisher=KafkaCommandPublisher(
            sender=bus.open_producer(),
            codec=stage.codec,
            topics={system: topics.command_topic(system) for system in stage.policy.systems},
            signer=signer(stage),
        ),
        catch_up_check=KafkaCatchUpCheck(
            ledger=ledger,
            bus=bus,
            cluster_id=bus.cluster_id,
            business=[topics.business_topic(event_type).name for event_type in stage.policy.events],
            tagged=[topics.TAGGED.name, topics.DEAD_LETTERS.name],
            sleep=sleep,
        ),
        policy=stage.policy,
        observer=seen,
        now=current_time,
        limits=limits,
        retry_policy=_NO_REPETITION,
    )


def signer(stage: Stage, owner: str = DELETER) -> Signer:
    """Make the stage's signer, with keys of its own."""
    keys = KeyDirectory(path=stage.directory / "keys")
    keys.create(owner)
    return keys.signer(owner)


def verifier(stage: Stage, owner: str = DELETER) -> Verifier:
    """Make the verifier of what `signer` has signed."""
    return KeyDirectory(path=stage.directory / "keys").verifier(owner)


def measure_drain(deleter: Deleter) -> float:
    """Return the seconds until nothing is due any longer."""
    started = perf_counter()
    while deleter.run_once():
        pass
    return perf_counter() - started
