"""What the observers of all roles share: metrics, log lines and health of a role's loops.

An observer turns what a role reports into metrics and log lines. It gets no data on a person.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import structlog

from services.operations.health import LoopHealth
from services.operations.metrics import Metrics
from services.storage.dead_letters import DeadLetter
from services.storage.gaps import OffsetGap


@dataclass(slots=True, kw_only=True)
class RoleObserver:
    """Turns what a role reports into metrics, log lines and health."""

    role: str
    metrics: Metrics
    log: structlog.typing.FilteringBoundLogger
    loop: LoopHealth
    """The state of the role's loop, for `/livez` and `/readyz`."""

    COUNTED_BY_SYSTEM: ClassVar[tuple[str, ...]] = ()
    """The counters and histograms of the role whose only label is the system."""

    def for_loop(self, name: str) -> Self:
        """Return the observer for another loop of the same role."""
        return replace(self, loop=self.loop.for_loop(name))

    def started(self, systems: Collection[str]) -> None:
        """Set what the role will count to zero: Prometheus misses the first step of a later series."""
        self.metrics.init("termijn_batches_tried_again_total", role=self.role)
        for name in self.COUNTED_BY_SYSTEM:
            for system in systems:
                self.metrics.init(name, system=system)

    def heartbeat(self) -> None:
        """Note that the loop is alive."""
        self.loop.heartbeat()

    def ready(self) -> None:
        """Mark the role as ready."""
        self.loop.mark_ready()

    def batch_retried(self, why: str) -> None:
        """Count and log a batch that failed and will be retried."""
        self.metrics.count("termijn_batches_tried_again_total", role=self.role)
        self.loop.mark_not_ready("retrying; the log has the cause")
        self.log.warning("retrying a batch", why=why.partition("\n")[0])

    def signing_disabled(self, is_disabled: bool) -> None:
        """Note whether the role neither signs nor verifies."""
        self.metrics.set("termijn_signing_off", is_disabled)
        if is_disabled:
            self.log.error("signing is off: anyone who can write to Kafka can command an erasure")


@dataclass(slots=True, kw_only=True)
class ConsumerObserver(RoleObserver):
    """The observer of a role that reads topics."""

    def batch_applied(self, messages: int, seconds: float) -> None:
        """Note a batch that was applied."""
        self.metrics.observe("termijn_batch_seconds", seconds, role=self.role)
        self.log.info("applied a batch", messages=messages, seconds=round(seconds, 3))

    def lag_measured(self, topic: str, partition: int, messages: int) -> None:
        """Note how many messages of a partition are not read yet."""
        labels = {"role": self.role, "topic": topic, "partition": str(partition)}
        self.metrics.set("termijn_lag_messages", messages, **labels)

    def gap_found(self, gap: OffsetGap) -> None:
        """Log messages that Kafka deleted before they were read."""
        self.metrics.set("termijn_gaps", 1)
        self.log.error(
            "found a gap in the log",
            topic=gap.log.topic,
            partition=gap.log.partition,
            expected=gap.expected,
            low=gap.low,
            high=gap.high,
        )

    def dead_lettered(self, letter: DeadLetter) -> None:
        """Count and log a message that was parked."""
        self.metrics.count("termijn_dead_letters_total", role=letter.role, reason=letter.reason)
        self.log.warning(
            "parked a dead letter",
            reason=letter.reason,
            detail=letter.detail,
            topic=letter.topic,
            partition=letter.partition,
            offset=letter.offset,
        )


@dataclass(slots=True, kw_only=True)
class WaitingObserver(RoleObserver):
    """The observer of a role that waits until the ledger has recorded every message."""

    _waits: bool = False

    def waiting_for_catch_up(self, spots: Sequence[str]) -> None:
        """Note the partitions that are not recorded yet; with none the role continues."""
        self.metrics.set("termijn_deleter_blind", len(spots))
        if spots and not self._waits:
            self.log.warning("waiting for unread events", partitions=len(spots), first=spots[0])
        self._waits = bool(spots)
