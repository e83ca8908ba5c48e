"""The lines of a certificate: erased, retained and outstanding data, added up record by record."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from services.evidence.certificate import (
    EntryProof,
    ErasedItem,
    OutstandingItem,
    OutstandingReason,
    Proof,
    RetainedItem,
)
from services.ledger.command_state import TRANSFERRED
from services.ledger.facts import LedgerFacts
from services.policy import obligations, rights_effects
from services.policy.actions import VERIFIED
from services.policy.model import Policy
from services.policy.reasons import ARTICLES
from services.policy.retention_windows import Window, compute_window
from services.policy.tagged_event import TaggedEvent
from services.requests.subject_data import CommandSummary

_PROOFS: Mapping[str, Proof] = {"erased": "read_again", "attested": "attested"}


_OUTSTANDING_REASON: Mapping[str, OutstandingReason] = {
    "acknowledged": "not_proven",
    "refused": "refused",
    "closed": "given_up",
    "reopened": "reopened",
}


class _LineKey(NamedTuple):
    """The key of a line: a system, what it did, and a type of event."""

    system: str
    action: str
    type: str


@dataclass(slots=True, kw_only=True)
class CertificateLines:
    """Adds up a subject's records to the lines of a certificate."""

    subject: str
    policy: Policy
    now: datetime
    records: int = 0
    _commands: Counter[tuple[_LineKey, CommandSummary]] = field(default_factory=Counter)
    _retained: Counter[RetainedItem] = field(default_factory=Counter)
    _outstanding: Counter[OutstandingItem] = field(default_factory=Counter)

    def add(
        self,
        tagged: TaggedEvent,
        facts: LedgerFacts,
        commands: Mapping[tuple[str, str], CommandSummary],
    ) -> None:
        """Add one record, with the commands that cover it by system and obligation."""
        self.records += 1
        windows = [
            compute_window(holding, tagged.time, facts, self.policy)
            for holding in tagged.holdings
            if holding.subject == self.subject
        ]
        planned = obligations.obligations_of(tagged, self.subject, facts, self.policy)
        due = {step.system for step in planned if step.action == "erase" and step.due <= self.now}
        standing = facts.subject_state(self.subject)
        under_hold = bool(standing.holds) and rights_effects.is_under_legal_hold(
            self.now, tagged.id, standing
        )
        for (system, action), command in commands.items():
            if action in (*VERIFIED, "transfer"):
                self._command_of(_LineKey(system, action, tagged.type), command)
        for system in sorted({system for view in windows for system in view.holding.systems}):
            if (system, "erase") in commands or (
                system not in due and (system, "transfer") in commands
            ):
                continue
            serving = [view for view in windows if system in view.holding.systems]
            if under_hold:
                self._add_retained(system, tagged, serving, "hold")
            elif system in due:
                self._add_outstanding(_LineKey(system, "erase", tagged.type), "not_told", None)
            else:
                self._add_retained(system, tagged, serving, "basis")

    def proven(self) -> set[CommandSummary]:
        """Return the erasure commands whose effect the ledger proves."""
        return {command for _, command in self._commands}

    def erased(self, backing: Mapping[UUID, EntryProof]) -> Iterator[ErasedItem]:
        """Yield a line for each system, action, type and kind of proof."""
        lines: defaultdict[tuple[_LineKey, Proof], list[tuple[CommandSummary, int]]] = defaultdict(
            list
        )
        for (line_key, command), records in self._commands.items():
            if command.command_id in backing:
                proof = _PROOFS.get(command.state, "notified")
                if line_key.action == "transfer":
                    proof = "transferred"
                lines[line_key, proof].append((command, records))
        for (line_key, proof), members in sorted(lines.items()):
            commands = {command.command_id for command, _ in members}
            at = [command.acknowledged_at for command, _ in members if command.acknowledged_at]
            yield ErasedItem(
                **line_key._asdict(),
                categories=self._categories(line_key.type),
                articles=tuple(sorted({ARTICLES[command.reason] for command, _ in members})),
                records=sum(records for _, records in members),
                commanded_at=min(command.created_at for command, _ in members),
                carried_out_at=max(at, default=None),
                proven_at=max(
                    filter(None, (command.settled_at for command, _ in members)), default=None
                ),
                proof=proof,
                nothing_held=any(command.outcome == "nothing_held" for command, _ in members),
                evidence=tuple(
                    sorted(
                        (backing[command_id] for command_id in commands), key=lambda ref: ref.number
                    )
                ),
            )

    def retained(self) -> Iterator[RetainedItem]:
        """Yield the lines of data that is kept."""
        for line, records in sorted(self._retained.items(), key=_sort_key):
            yield replace(line, records=records)

    def outstanding(
        self, backing: Mapping[UUID, EntryProof], unlinkable: Collection[UUID]
    ) -> Iterator[OutstandingItem]:
        """Yield the lines of data that is due, or proven by no entry that can be shown."""
        for (line_key, command), records in self._commands.items():
            if command.command_id not in backing:
                is_unlinkable = command.command_id in unlinkable
                why: OutstandingReason = "unlinkable" if is_unlinkable else "unsealed"
                self._add_outstanding(line_key, why, command.settled_at, records)
        for line, records in sorted(self._outstanding.items(), key=_sort_key):
            yield replace(line, records=records)

    def _command_of(self, line_key: _LineKey, command: CommandSummary) -> None:
        controller = self.policy.systems[line_key.system].role == "controller"
        is_transfer = line_key.action == "transfer"
        if is_transfer and command.is_done:
            if command.outcome == TRANSFERRED:
                self._commands[line_key, command] += 1
            else:
                self._add_outstanding(line_key, "not_transferred", command.settled_at)
        elif command.state in _PROOFS or (command.state == "acknowledged" and controller):
            self._commands[line_key, command] += 1
        elif command.state == "refused" and controller:
            self._retain(line_key.system, line_key.type, why="refused", ground=command.ground)
        else:
            why: OutstandingReason = "silent" if command.escalated else "under_way"
            since = command.settled_at or command.sent_at
            self._add_outstanding(line_key, _OUTSTANDING_REASON.get(command.state, why), since)

    def _add_retained(
        self, system: str, tagged: TaggedEvent, serving: Sequence[Window], why: Any
    ) -> None:
        """Count the holdings that keep a record: all under a legal hold, else those that are not due."""
        still_needed = [
            view
            for view in serving
            if why == "hold" or (at := view.due_at[system]) is None or at > self.now
        ]
        for view in still_needed or serving:
            basis = self.policy.bases[view.holding.basis]
            self._retain(
                system,
                tagged.type,
                why=why,
                purpose=view.holding.purpose,
                basis=view.holding.basis,
                article="GDPR 17(3)(e)" if why == "hold" else basis.article,
                until=None if why == "hold" else view.due_at[system],
            )

    def _retain(self, system: str, type: str, **fields: Any) -> None:
        blank = dict.fromkeys(("purpose", "basis", "article", "ground", "until"))
        line = RetainedItem(
            system=system,
            type=type,
            categories=self._categories(type),
            records=0,
            **{**blank, **fields},
        )
        self._retained[line] += 1

    def _add_outstanding(
        self, line_key: _LineKey, why: OutstandingReason, since: datetime | None, records: int = 1
    ) -> None:
        line = OutstandingItem(
            **line_key._asdict(),
            categories=self._categories(line_key.type),
            why=why,
            since=since,
            records=0,
        )
        self._outstanding[line] += records

    def _categories(self, type: str) -> tuple[str, ...]:
        return tuple(sorted(self.policy.events[type].categories))


def _sort_key(pair: tuple[Any, int]) -> str:
    return repr(pair[0])
