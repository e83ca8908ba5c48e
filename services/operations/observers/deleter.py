"""The deleter's observer: commands, the state of the ledger, the evidence log and the purge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, get_args
from uuid import UUID

from services.deleter.command_recovery import RecoveryResult
from services.deleter.dispatch import SentCommand
from services.deleter.surge import Surge
from services.events.history import event_type_of_group
from services.evidence.purge.scan import KINDS
from services.evidence.self_check import SelfCheckResult
from services.kafka.record_metadata import RecordMetadata
from services.ledger.blind_spots import Reach
from services.ledger.command_state import OUTSTANDING
from services.ledger.forecasts import OpenSurge
from services.operations.holding_counts import HoldingCounts
from services.operations.observers.base import RoleObserver, WaitingObserver
from services.operations.status import LedgerStatus


@dataclass(slots=True, kw_only=True)
class DeleterObserver(WaitingObserver):
    """Turns what the deleter reports into metrics and log lines."""

    COUNTED_BY_SYSTEM: ClassVar[tuple[str, ...]] = ("termijn_lateness_seconds",)

    def started(self, systems: Collection[str]) -> None:
        """Set what the deleter will count to zero."""
        RoleObserver.started(self, systems)
        self.metrics.init("termijn_commands_recovered_total")
        for kind in KINDS:
            self.metrics.init("termijn_ledger_forgotten_total", kind=kind)

    def not_sealed_since(self, at: datetime) -> None:
        """Note the instant, UTC, after which no head of the evidence log was signed."""
        self.metrics.set("termijn_evidence_sealed_timestamp_seconds", at.timestamp())

    def commands_sent(
        self, commands: Sequence[SentCommand], nothing_due_at: datetime | None = None
    ) -> None:
        """Count the commands that were sent, and how late the first attempts were.

        A command that was due by `nothing_due_at` became known only after that instant: it was overdue on
        arrival, which is counted apart, so its lateness counts from then.
        """
        sent = Counter((command.system, command.action) for command in commands)
        for (system, action), count in sent.items():
            self.metrics.count("termijn_commands_sent_total", count, system=system, action=action)
        first_sent = Counter(
            (command.system, command.due_at, command.at)
            for command in commands
            if command.attempt == 1
        )
        for (system, due_at, at), count in first_sent.items():
            late = (at - max(due_at, nothing_due_at or due_at)).total_seconds()
            self.metrics.observe("termijn_lateness_seconds", late, count, system=system)
        if commands:
            self.log.info("sent commands", commands=len(commands))

    def commands_escalated(self, commands: Sequence[tuple[str, UUID]]) -> None:
        """Log the commands that their systems have not acknowledged in time."""
        for system, command_id in commands:
            self.log.error("escalated a command", system=system, command=str(command_id))

    def command_undeliverable(self, system: str, command: UUID, why: str) -> None:
        """Log a command that Kafka rejects at every attempt."""
        self.log.error(
            "set aside an undeliverable command", system=system, command=str(command), why=why
        )

    def commands_recovered(self, result: RecoveryResult) -> None:
        """Count and log commands that a restored ledger did not know to be sent."""
        self.metrics.count("termijn_commands_recovered_total", len(result.commands))
        self.log.error(
            "recovered commands that the ledger did not know to be sent; was it restored?",
            recovered=len(result.commands),
            without_records=result.lost,
        )

    def command_unreadable(self, place: RecordMetadata, why: str) -> None:
        """Log a message on a command topic that no deleter has signed, or that cannot be read."""
        self.log.error("cannot recover a message on a command topic", **place._asdict(), why=why)

    def rate_cap_reached(self, cap: int) -> None:
        """Log that the hourly cap on commands was reached."""
        self.log.error("reached the hourly cap and paused", commands_per_hour=cap)

    def surge_found(self, surges: Sequence[Surge]) -> None:
        """Log the surges, and note them at once: the next measurement may be a while away."""
        for surge in surges:
            self.log.error(
                "found a surge and paused",
                rule=surge.flow.rule,
                system=surge.flow.system,
                due_today=surge.claimed,
                forecast=surge.expectation.obligations,
                forecast_at=surge.expectation.forecast_at.isoformat(),
            )
        self._note_surges({(s.flow.rule, s.flow.system): s.claimed for s in surges})

    def surges_measured(self, surges: Sequence[OpenSurge]) -> None:
        """Note the surges that no operator has released yet."""
        self._note_surges({(surge.rule, surge.system): surge.claimed for surge in surges})

    def _note_surges(self, obligations: Mapping[tuple[str, str], int]) -> None:
        self.metrics.replace_labels("termijn_surge_obligations", obligations)

    def surge_not_compared(self) -> None:
        """Log that the surge guard has no forecast, and so does not act."""
        self.log.warning("has no forecast to compare what is due with, so a surge is not stopped")

    def forecast_made(self) -> None:
        """Log that the daily forecast was made."""
        self.log.info("made a forecast of what becomes due")

    def forecast_measured(self, at: datetime | None) -> None:
        """Note when the last forecast was made, UTC; None if there is none."""
        self.metrics.set("termijn_forecast_timestamp_seconds", at.timestamp() if at else 0.0)

    def clock_skewed(self, seconds: float) -> None:
        """Note how far this machine's clock is ahead of the database's, in seconds."""
        self.metrics.set("termijn_clock_disagreement_seconds", seconds)

    def scheduled_policy_late(self, late: timedelta) -> None:
        """Note for how long the scheduled policy's day has come without its activation."""
        self.metrics.set("termijn_scheduled_policy_late_seconds", late.total_seconds())

    def policy_activated(self, policy: str) -> None:
        """Log that the scheduled policy has become active."""
        self.log.info("activated the scheduled policy", policy=policy)

    def policy_not_activated(self, policy: str, problem: str) -> None:
        """Log why the scheduled policy could not be activated."""
        self.log.error("could not activate the scheduled policy", policy=policy, why=problem)

    def status_measured(self, status: LedgerStatus) -> None:
        """Note the state of the ledger as a whole."""
        metrics = self.metrics
        metrics.set("termijn_due_backlog", status.due)
        due_for = status.at - (status.oldest_due_at or status.at)
        metrics.set("termijn_oldest_due_seconds", due_for.total_seconds())
        metrics.replace_labels(
            "termijn_oldest_overdue_seconds",
            {
                (k,): (status.at - erase_by).total_seconds()
                for k, erase_by in status.overdue_by.items()
            },
        )
        metrics.set("termijn_gaps", len(status.gaps))
        metrics.set("termijn_stops", len(status.pauses))
        metrics.set("termijn_key_conflicts", status.key_conflicts)
        metrics.replace_labels(
            "termijn_commands_outstanding",
            {k: v for k, v in status.commands.items() if k[1] in (*OUTSTANDING, "refused")},
        )
        metrics.replace_labels(
            "termijn_commands_escalated", {(k,): v for k, v in status.escalated.items()}
        )
        metrics.replace_labels(
            "termijn_commands_undeliverable", {(k,): v for k, v in status.undeliverable.items()}
        )
        metrics.replace_labels(
            "termijn_dead_letters_parked", {(k,): v for k, v in status.dead_letters.items()}
        )
        spots = dict.fromkeys(get_args(Reach), 0) | dict(status.kept_back)
        metrics.replace_labels("termijn_blind_spots", {(k,): v for k, v in spots.items()})
        held_back: Counter[tuple[str]] = Counter()
        for backfill in status.backfills:
            if backfill.is_history:
                held_back[event_type_of_group(backfill.backfill),] += (
                    backfill.records + backfill.clocks
                )
        metrics.replace_labels("termijn_history_held_back", held_back)
        metrics.replace_labels(
            "termijn_clocks_open_too_long", {(k,): v for k, v in status.open_too_long.items()}
        )

    def holdings_counted(self, holdings: HoldingCounts) -> None:
        """Note the holdings as far as they are counted."""
        self.metrics.replace_labels("termijn_holdings", holdings.holdings)
        self.metrics.set("termijn_holdings_counted_ratio", holdings.coverage)

    def audit_log_checked(self, result: SelfCheckResult) -> None:
        """Note the result of a check of the evidence log."""
        self.metrics.set("termijn_evidence_broken", result.broken is not None)
        if result.sealed_at is not None:
            sealed = result.sealed_at.timestamp()
            self.metrics.set("termijn_evidence_sealed_timestamp_seconds", sealed)
        if result.broken is not None:
            self.log.error("evidence log is broken", what=result.broken)

    def heads_not_published(self, why: str) -> None:
        """Count and log heads of the evidence log that could not be published and will be retried."""
        self.metrics.count("termijn_batches_tried_again_total", role=self.role)
        self.log.warning("could not publish evidence heads", why=why.partition("\n")[0])

    def rows_purged(self, counts: Mapping[str, int]) -> None:
        """Count and log what was purged from the ledger after its proof term."""
        for kind, count in counts.items():
            self.metrics.count("termijn_ledger_forgotten_total", count, kind=kind)
        self.log.info("purged rows", **counts)
