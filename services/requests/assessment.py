"""Assesses a request of a data subject: how far each system is with it, and what data stays where and why.

It reads the ledger and changes nothing. A large subject is read in chunks, and only counts are kept.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from services.deleter.planning import outstanding
from services.ledger.facts import LedgerFacts, load_tagged_events
from services.policy import obligations, rights_effects
from services.policy.model import Policy
from services.policy.obligation import Obligation
from services.policy.request_cases import Case
from services.policy.retention_windows import Window, compute_window
from services.policy.rights import RIGHTS
from services.policy.tagged_event import TaggedEvent
from services.requests.report import Outcome, ProcessingSummary, RetainedData, SystemOutcome
from services.requests.subject_data import (
    CommandSummary,
    load_commands,
    load_subject_facts,
    record_chunks,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """The progress of a request: what systems have done, and what data stays."""

    parts: tuple[SystemOutcome, ...]
    retained: tuple[RetainedData, ...]
    processing: tuple[ProcessingSummary, ...]
    only_request_records_left: bool
    """Whether the only data left is the records of requests themselves."""

    @property
    def has_commands(self) -> bool:
        """Whether any system was commanded."""
        return any(part.outcome != "under_way" or part.at for part in self.parts)

    def waiting_for(self, policy: Policy) -> tuple[str, ...]:
        """Return the systems that have not finished; only a controller's refusal is final (GDPR 19)."""
        owing = {
            part.system
            for part in self.parts
            if part.outcome in ("under_way", "silent")
            or (part.outcome == "refused" and policy.systems[part.system].role != "controller")
        }
        return tuple(sorted(owing))


def assess_request(connection: Connection, case: Case, policy: Policy, now: datetime) -> Assessment:
    """Assess a request whose identity is verified; `now` is UTC, by the database's clock.

    Events after the verification are not part of the request.
    """
    if case.verified_at is None:
        raise ValueError("a request is weighed from its verification on")
    tally = _AssessmentBuilder(case=case, verified_at=case.verified_at, policy=policy, now=now)
    for rows in record_chunks(connection, case.subject):
        events = load_tagged_events(connection, {row.event_id for row in rows}, policy)
        requested = [row for row in rows if events[row.event_id].time <= case.verified_at]
        facts = load_subject_facts(
            connection, case.subject, [events[row.event_id] for row in requested], policy
        )
        commands = load_commands(connection, {row.record_id for row in requested})
        for row in requested:
            tally.add(events[row.event_id], facts, commands.get(row.record_id, {}))
    return tally.build()


class _ProcessingKey(NamedTuple):
    """The key of a processing: how one use of data differs from another."""

    purpose: str
    basis: str
    rule: str


@dataclass(slots=True, kw_only=True)
class _ProcessingTotals:
    """The sums of one processing."""

    systems: set[str] = field(default_factory=set)
    categories: set[str] = field(default_factory=set)
    processes: set[str] = field(default_factory=set)
    times: list[datetime] = field(default_factory=list)
    until: datetime | None = None
    is_open: bool = False
    records: int = 0


@dataclass(slots=True, kw_only=True)
class _AssessmentBuilder:
    """Adds up the records of a subject to an assessment."""

    case: Case
    verified_at: datetime
    policy: Policy
    now: datetime
    _parts: Counter[SystemOutcome] = field(default_factory=Counter)
    _retained: Counter[RetainedData] = field(default_factory=Counter)
    _processing: defaultdict[_ProcessingKey, _ProcessingTotals] = field(
        default_factory=lambda: defaultdict(_ProcessingTotals)
    )
    _keeps_more: bool = False

    def add(
        self,
        tagged: TaggedEvent,
        facts: LedgerFacts,
        commands: Mapping[tuple[str, str], CommandSummary],
    ) -> None:
        """Add one record, with the commands that cover it by system and obligation."""
        windows = [
            compute_window(holding, tagged.time, facts, self.policy)
            for holding in tagged.holdings
            if holding.subject == self.case.subject
        ]
        planned = obligations.obligations_of(tagged, self.case.subject, facts, self.policy)
        erased = {
            system
            for (system, step), command in commands.items()
            if step == "erase" and command.is_done
        }
        if RIGHTS[self.case.right].discloses:
            self._add_processing(tagged, windows, erased)
        if self.case.right == "erasure":
            self._erasure(tagged, windows, planned, facts, commands)
            return
        reason = f"{RIGHTS[self.case.right].action} request {self.case.request}"
        due = [step for step in planned if step.due <= self.now]
        owed = {step.system for step in outstanding(due, commands) if step.key == reason}
        for system in sorted(owed | {system for system, step in commands if step == reason}):
            if (
                system not in erased
            ):  # what was lifted or erased before it was told needs no telling
                self._count(system, commands.get((system, reason)))

    def build(self) -> Assessment:
        """Return the assessment of all records that were added."""
        return Assessment(
            parts=tuple(
                replace(part, records=n) for part, n in sorted(self._parts.items(), key=_sort_key)
            ),
            retained=tuple(
                replace(item, records=n)
                for item, n in sorted(self._retained.items(), key=_sort_key)
            ),
            processing=tuple(
                ProcessingSummary(
                    purpose=way.purpose,
                    basis=way.basis,
                    rule=way.rule,
                    systems=tuple(sorted(spread.systems)),
                    categories=tuple(sorted(spread.categories)),
                    processes=tuple(sorted(spread.processes)),
                    first=min(spread.times),
                    last=max(spread.times),
                    until=None if spread.is_open else spread.until,
                    records=spread.records,
                )
                for way, spread in sorted(self._processing.items())
            ),
            only_request_records_left=not self._keeps_more,
        )

    def _erasure(
        self,
        tagged: TaggedEvent,
        windows: Sequence[Window],
        planned: Sequence[Obligation],
        facts: LedgerFacts,
        commands: Mapping[tuple[str, str], CommandSummary],
    ) -> None:
        due = {step.system: step for step in planned if step.action == "erase"}
        standing = facts.subject_state(self.case.subject)
        under_hold = bool(standing.holds) and rights_effects.is_under_legal_hold(
            self.now, tagged.id, standing
        )
        for system in sorted({system for view in windows for system in view.holding.systems}):
            command = commands.get((system, "erase"))
            step = due.get(system)
            if command is not None:
                self._count(system, command)
            elif step is not None and step.due <= self.now and not under_hold:
                self._count(system, None)
            else:
                self._add_retained(system, tagged, windows, under_hold=under_hold)

    def _add_retained(
        self, system: str, tagged: TaggedEvent, windows: Sequence[Window], *, under_hold: bool
    ) -> None:
        """Count why a system keeps a record: by each holding that is not due yet, or by a legal hold."""
        serving = [view for view in windows if system in view.holding.systems]
        going_on = [
            view
            for view in serving
            if (at := view.due_at[system]) is None or at > self.now or _latest(view, self.now)
        ]
        for view in going_on if not under_hold else ():
            by_law = self.policy.bases[view.holding.basis].is_statutory or (
                view.early_end is not None and view.not_before is not None
            )  # the request ends it, and the minimum beside its maximum keeps it nevertheless
            self._retained[
                RetainedData(
                    system=system,
                    purpose=view.holding.purpose,
                    why="legal_obligation" if by_law else "contract",
                    article="GDPR 17(3)(b)" if by_law else "GDPR 17(1)(a)",
                    until=view.due_at[system],
                    never_ends=self.policy.rules[view.holding.rule].never_ends,
                    records=0,
                    rule=view.holding.rule,
                )
            ] += 1
        if under_hold:
            for purpose in sorted({view.holding.purpose for view in serving}):
                self._retained[
                    RetainedData(
                        system=system,
                        purpose=purpose,
                        why="hold",
                        article="GDPR 17(3)(e)",
                        until=None,
                        records=0,
                    )
                ] += 1
        if not self.policy.events[tagged.type].act:
            self._keeps_more = True

    def _add_processing(
        self, tagged: TaggedEvent, windows: Sequence[Window], erased: Collection[str]
    ) -> None:
        """Count the purposes that a record is used for; a record that is erased everywhere has none."""
        event = self.policy.events[tagged.type]
        for view in windows:
            systems = set(view.holding.systems) - set(erased)
            if not systems:
                continue
            way = _ProcessingKey(view.holding.purpose, view.holding.basis, view.holding.rule)
            spread = self._processing[way]
            spread.systems |= systems
            spread.categories |= set(event.categories)
            spread.processes.add(event.process)
            spread.times = [min([*spread.times, tagged.time]), max([*spread.times, tagged.time])]
            is_minimum = self.policy.rules[view.holding.rule].kind == "at_least"
            ends = view.not_before if is_minimum else view.erase_by
            spread.is_open |= ends is None
            spread.until = max(filter(None, (spread.until, ends)), default=None)
            spread.records += 1

    def _awaits_verification(self, system: str) -> bool:
        return self.case.right == "erasure" and self.policy.systems[system].verify_delay is not None

    def _count(self, system: str, command: CommandSummary | None) -> None:
        outcome, at = _outcome(command)
        if command and command.state == "acknowledged" and self._awaits_verification(system):
            outcome, at = "under_way", command.sent_at  # reported, and not verified yet
        self._parts[
            SystemOutcome(
                system=system,
                action=RIGHTS[self.case.right].action,
                outcome=outcome,
                at=at,
                records=0,
                ground=command.ground if command and outcome == "refused" else None,
            )
        ] += 1


def _outcome(command: CommandSummary | None) -> tuple[Outcome, datetime | None]:
    """Return how far a system is with a record, and since when."""
    if command is None:
        return "under_way", None
    if command.state == "refused":
        return (
            "refused",
            command.settled_at or command.sent_at,
        )  # settled where the refusal is final
    if command.state == "closed":
        return "given_up", command.settled_at
    if command.is_done:
        nothing = command.outcome == "nothing_held"
        return ("nothing_held" if nothing else "done"), command.settled_at
    return ("silent" if command.escalated else "under_way"), command.sent_at


def _latest(view: Window, now: datetime) -> bool:
    return view.not_before is not None and view.not_before > now


def _sort_key(pair: tuple[Any, int]) -> str:
    return repr(pair[0])
