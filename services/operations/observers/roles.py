"""Observing: what the roles do becomes metrics and logs. No subject, and no id of one, gets here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Self, get_args
from uuid import UUID

import structlog

from services.deleter.dispatch import SentCommand
from services.deleter.settlement import Acknowledgement, AcknowledgementResult
from services.events.history import type_of
from services.evidence.purge.scan import KINDS
from services.evidence.self_check import SelfCheckResult
from services.ledger.blind_spots import Reach
from services.ledger.command_state import OUTSTANDING
from services.ledger.recording import RecordingResult
from services.operations.health import LoopHealth
from services.operations.holding_counts import HoldingCounts as Holdings
from services.operations.metrics import Metrics
from services.operations.status import LedgerStatus
from services.requests.counts import RequestCounts as Rights
from services.storage.dead_letters import DeadLetter
from services.storage.offsets import OffsetGap

_ABOUT_SYSTEMS: Mapping[str, Sequence[str]] = {
    "deleter": ("termijn_lateness_seconds",),
    "acknowledgements": (
        "termijn_acknowledgement_seconds",
        "termijn_acknowledgements_suspicious_total",
        "termijn_erasures_reopened_total",
        "termijn_proof_seconds",
    ),
}
"""What a role counts by system and by nothing else."""


@dataclass(slots=True, kw_only=True)
class Observer:
    """Whom every role tells what it did."""

    role: str
    metrics: Metrics
    log: structlog.typing.FilteringBoundLogger
    loop: LoopHealth
    """How it fares, for `/livez` and `/readyz`."""
    _blind: bool = field(default=False)

    def beside(self, name: str) -> Self:
        """The same for another loop of the role."""
        return replace(self, loop=self.loop.beside(name))

    def began(self, systems: Collection[str]) -> None:
        """The role has started: what it will count about these systems is zero until then."""
        self.metrics.begin("termijn_batches_tried_again_total", role=self.role)
        for name in _ABOUT_SYSTEMS.get(self.role, ()):
            for system in systems:
                self.metrics.begin(name, system=system)
        for kind in KINDS if self.role == "deleter" else ():
            self.metrics.begin("termijn_ledger_forgotten_total", kind=kind)

    def went_round(self) -> None:
        """The role's loop went round."""
        self.loop.went_round()

    def able(self) -> None:
        """The role does its work."""
        self.loop.able()

    def applied(self, messages: int, seconds: float) -> None:
        """A batch was applied."""
        self.metrics.observe("termijn_batch_seconds", seconds, role=self.role)
        self.log.info("applied a batch", messages=messages, seconds=round(seconds, 3))

    def lag(self, topic: str, partition: int, messages: int) -> None:
        """How many messages of a partition are not read yet."""
        labels = {"role": self.role, "topic": topic, "partition": str(partition)}
        self.metrics.set("termijn_lag_messages", messages, **labels)

    def tried_again(self, why: str) -> None:
        """A batch was not applied and is read again."""
        self.metrics.count("termijn_batches_tried_again_total", role=self.role)
        self.loop.hindered("tries again; its log says why")
        self.log.warning("read a batch again", why=why.partition("\n")[0])

    def gap(self, gap: OffsetGap) -> None:
        """The log has lost something."""
        self.metrics.set("termijn_gaps", 1)
        self.log.error(
            "found a gap in the log",
            topic=gap.log.topic,
            partition=gap.log.partition,
            expected=gap.expected,
            low=gap.low,
            high=gap.high,
        )

    def concluded(self, right: str, outcome: str) -> None:
        """A request was answered or refused."""
        self.metrics.count("termijn_requests_concluded_total", right=right, outcome=outcome)
        self.log.info("concluded a request", right=right, outcome=outcome)

    def tagged(self, event_type: str, rules: Sequence[str], events: int, at: datetime) -> None:
        """Events of that type were tagged at an instant, UTC, each with holdings by these rules."""
        self.metrics.count("termijn_events_tagged_total", events, type=event_type)
        for rule in rules:
            self.metrics.count("termijn_holdings_tagged_total", events, rule=rule)
        self.metrics.set("termijn_last_tagged_timestamp_seconds", at.timestamp())

    def parked(self, letter: DeadLetter) -> None:
        """A message was parked."""
        self.metrics.count("termijn_dead_letters_total", role=letter.role, reason=letter.reason)
        self.log.warning(
            "parked a dead letter",
            reason=letter.reason,
            detail=letter.detail,
            topic=letter.topic,
            partition=letter.partition,
            offset=letter.offset,
        )

    def recorded(self, recorded: RecordingResult) -> None:
        """A batch was recorded."""
        self.metrics.count("termijn_events_recorded_total", recorded.new, outcome="new")
        self.metrics.count(
            "termijn_events_recorded_total", recorded.duplicates, outcome="duplicate"
        )
        self.metrics.count("termijn_activity_after_end_total", recorded.after_end)
        self.metrics.count("termijn_overdue_on_arrival_total", recorded.overdue)

    def answered(self, answer: Acknowledgement, settled: AcknowledgementResult) -> None:
        """An answer was taken into the journal."""
        self.metrics.count(
            "termijn_acknowledgements_total", system=answer.system, status=answer.status
        )
        if settled.reopened:
            self.metrics.count("termijn_erasures_reopened_total", system=answer.system)
            self.log.error(
                "found what was said to be erased",
                system=answer.system,
                command=str(answer.command_id),
            )
        if settled.took is not None:
            took = settled.took.total_seconds()
            self.metrics.observe("termijn_acknowledgement_seconds", took, system=answer.system)
        if settled.proof is not None:
            proof = settled.proof.total_seconds()
            self.metrics.observe("termijn_proof_seconds", proof, system=answer.system)
        if settled.suspicious:
            self.metrics.count("termijn_acknowledgements_suspicious_total", system=answer.system)
        self.log.debug(
            "took an answer",
            system=answer.system,
            command=str(answer.command_id),
            status=answer.status,
            state=settled.state,
        )

    def unverifiable(self, system: str, reason: str) -> None:
        """What came on a system's topic is not proven to be its answer."""
        self.metrics.count("termijn_unverifiable_total", system=system, reason=reason)
        self.log.error("refused an unverifiable answer", system=system, reason=reason)

    def unsigned(self, off: bool) -> None:
        """Whether the role neither signs nor verifies."""
        self.metrics.set("termijn_signing_off", off)
        if off:
            self.log.error("runs unsigned: whoever reaches the bus can command an erasure")

    def keyless(self, systems: Callable[[], Sequence[str]]) -> None:
        """Which systems have no key now: none of their answers counts until they have."""
        self.metrics.follow("termijn_systems_without_keys", lambda: len(systems()))
        for system in systems():
            self.log.warning("has no valid key of a system", system=system)

    def blind(self, spots: Sequence[str]) -> None:
        """Nothing was claimed, since these partitions are not recorded yet; or sight is back."""
        self.metrics.set("termijn_deleter_blind", len(spots))
        if spots and not self._blind:
            self.log.warning("waited for unread events", partitions=len(spots), first=spots[0])
        self._blind = bool(spots)

    def sent(self, commands: Sequence[SentCommand], nothing_due_at: datetime | None = None) -> None:
        """These commands went out; what was due by `nothing_due_at` became known only after it.

        That was overdue on arrival, which is counted apart and is nobody's lateness here.
        """
        for one in commands:
            system, action = one.system, one.action
            self.metrics.count("termijn_commands_sent_total", system=system, action=action)
            if one.attempt == 1:
                since = max(one.due_at, nothing_due_at or one.due_at)
                late = (one.at - since).total_seconds()
                self.metrics.observe("termijn_lateness_seconds", late, system=system)
        if commands:
            self.log.info("sent commands", commands=len(commands))

    def escalated(self, commands: Sequence[tuple[str, UUID]]) -> None:
        """These commands' systems have been silent for too long."""
        for system, command in commands:
            self.log.error("escalated a command", system=system, command=str(command))

    def undeliverable(self, system: str, command: UUID, why: str) -> None:
        """The bus takes this command at no attempt."""
        self.log.error("set a command aside", system=system, command=str(command), why=why)

    def capped(self, cap: int) -> None:
        """The hourly cap was reached."""
        self.log.error("stopped at the hourly cap", commands_per_hour=cap)

    def disagreed(self, seconds: float) -> None:
        """The clocks differ."""
        self.metrics.set("termijn_clock_disagreement_seconds", seconds)

    def looked(self, status: LedgerStatus) -> None:
        """The ledger was looked at as a whole."""
        metrics = self.metrics
        metrics.set("termijn_due_backlog", status.due)
        zero = timedelta()
        due = status.at - status.oldest_due_at if status.oldest_due_at else zero
        metrics.set("termijn_oldest_due_seconds", due.total_seconds())
        metrics.replace(
            "termijn_oldest_overdue_seconds",
            {(k,): (status.at - by).total_seconds() for k, by in status.overdue_by.items()},
        )
        metrics.set("termijn_gaps", len(status.gaps))
        metrics.set("termijn_stops", len(status.stops))
        metrics.set("termijn_key_conflicts", status.key_conflicts)
        metrics.replace(
            "termijn_commands_outstanding",
            {k: v for k, v in status.commands.items() if k[1] in (*OUTSTANDING, "refused")},
        )
        metrics.replace(
            "termijn_commands_escalated", {(k,): v for k, v in status.escalated.items()}
        )
        metrics.replace(
            "termijn_commands_undeliverable", {(k,): v for k, v in status.undeliverable.items()}
        )
        metrics.replace(
            "termijn_dead_letters_parked", {(k,): v for k, v in status.dead_letters.items()}
        )
        spots = dict.fromkeys(get_args(Reach), 0) | dict(status.kept_back)
        metrics.replace("termijn_blind_spots", {(k,): v for k, v in spots.items()})
        held: Counter[tuple[str]] = Counter()
        for one in status.backfills:
            if one.is_history:
                held[type_of(one.backfill),] += one.records + one.clocks
        metrics.replace("termijn_history_held_back", held)
        metrics.replace(
            "termijn_clocks_open_too_long", {(k,): v for k, v in status.open_too_long.items()}
        )

    def counted(self, holdings: Holdings) -> None:
        """The census of the holdings went a step further."""
        self.metrics.replace("termijn_holdings", holdings.holdings)
        self.metrics.set("termijn_holdings_counted_ratio", holdings.share)

    def rechecked(self, found: SelfCheckResult) -> None:
        """The log of evidence was looked at once more."""
        self.metrics.set("termijn_evidence_broken", found.broken is not None)
        if found.sealed_at is not None:
            sealed = found.sealed_at.timestamp()
            self.metrics.set("termijn_evidence_sealed_timestamp_seconds", sealed)
        if found.broken is not None:
            self.log.error("found the evidence broken", what=found.broken)

    def unpublished(self, why: str) -> None:
        """Heads of the evidence could not be published; they are kept, and sent again."""
        self.metrics.count("termijn_batches_tried_again_total", role=self.role)
        self.log.warning("could not publish heads", why=why.partition("\n")[0])

    def forgotten(self, counts: Mapping[str, int]) -> None:
        """So much is gone from the ledger: its proof's term was over."""
        for kind, count in counts.items():
            self.metrics.count("termijn_ledger_forgotten_total", count, kind=kind)
        self.log.info("forgot", **counts)

    def owed(self, rights: Rights) -> None:
        """The open requests and holds were counted."""
        metrics = self.metrics
        metrics.replace("termijn_requests_open", rights.requests)
        metrics.replace(
            "termijn_request_left_seconds",
            {(right,): left.total_seconds() for right, left in rights.left.items()},
        )
        metrics.set("termijn_requests_late", rights.late)
        metrics.set("termijn_holds_open", rights.holds)
