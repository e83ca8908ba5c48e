"""Settling: what the systems answer. Each answer is kept; the command's state follows from it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Column, Connection, Select, and_, or_, select, update

from schemas.cloudevents import format_rfc3339
from schemas.errors import TermijnError
from services.ledger import outbox, tables
from services.ledger.command_state import (
    RELEASED,
    SETTLED,
    CommandEvent,
    IllegalTransition,
    State,
    next_state,
)
from services.policy.calendar import parse_period
from services.policy.model import Policy
from services.policy.reasons import VERIFICATION_REASONS
from services.storage import audit_outbox
from services.storage.audit_outbox import AuditEntry
from services.storage.bulk import insert, select_in, update_each

Status = Literal["done", "nothing_held", "partial", "refused", "failed", "recalled", "already_done"]
RETRY_AFTER_REFUSAL = timedelta(days=1)
"""How long after a refusal by whoever may not refuse it is told again."""
_RECALL_EVENTS: Mapping[Status, CommandEvent] = {
    "recalled": "done",
    "done": "done",
    "already_done": "already_done",
}
"""What ends a recall. Whatever else is answered does not say that anything was taken back: `nothing_held`
may be said of what was erased."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """An acknowledgement; `at` is when the system answered, UTC."""

    acknowledgement_id: str
    command_id: UUID
    system: str
    attempt: int
    status: Status
    counts: Mapping[str, int]
    ground: str | None
    at: datetime
    disclosure: str | None = None
    """What the system holds, encrypted to the request's key."""


class UnknownCommand(TermijnError):
    """A system acknowledged a command that it was never sent; the answer is parked as a dead letter.

    The operator looks for a system that mixes up topics, or for a ledger restored from a backup.
    """

    def __init__(self, command_id: UUID, system: str | None = None) -> None:
        where = f" of {system}" if system else ""
        super().__init__(f"there is no command {command_id}{where}")
        self.command_id = command_id
        self.system = system


class ReusedAcknowledgement(TermijnError):
    """A system gave the id of one answer to another; the later one is parked as a dead letter.

    It does not count, so that its command stays open. Whoever runs the system has it give each answer
    an id of its own; the command is told again, and answered anew.
    """

    def __init__(self, system: str) -> None:
        super().__init__(
            f"{system}: the id of an answer is that of another answer before it;"
            " this one does not count"
        )
        self.system = system


UnusableAcknowledgement = UnknownCommand | ReusedAcknowledgement | IllegalTransition
"""Why an answer cannot be taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcknowledgementResult:
    """What an answer came to."""

    state: State
    is_unexpected: bool
    """The system says that it held nothing, where the ledger knows records."""
    repeated: bool
    """The same acknowledgement was here before."""
    reopened: bool = False
    """What was said to be erased was still there: it is commanded again."""
    duration: timedelta | None = None
    """For the answer that settled the command: the time since it first went out."""
    verified_after: timedelta | None = None
    """For the answer that proves an erasure: the time since that was commanded."""


def apply_acknowledgement(
    connection: Connection, answer: Acknowledgement, policy: Policy, now: datetime
) -> AcknowledgementResult:
    """Take an answer into the journal.

    Raises:
        UnknownCommand: there is no such command for that system.
        ReusedAcknowledgement: its system has given its id to another answer.
        IllegalTransition: the command cannot be answered so.
    """
    [result] = apply_acknowledgements(connection, [answer], policy, now)
    if not isinstance(result, AcknowledgementResult):
        raise result
    return result


def apply_acknowledgements(
    connection: Connection, answers: Sequence[Acknowledgement], policy: Policy, now: datetime
) -> list[AcknowledgementResult | UnusableAcknowledgement]:
    """Take answers into the journal, one after the other; each comes to what it would alone.

    The commands are read and locked once, and written once as they stand after the last answer. An
    answer that cannot be taken is named in its place and changes nothing.
    """
    batch = _AcknowledgementBatch(connection, answers, policy, now)
    found: list[AcknowledgementResult | UnusableAcknowledgement] = []
    for answer in answers:
        try:
            found.append(batch.apply(answer))
        except (UnknownCommand, ReusedAcknowledgement, IllegalTransition) as cause:
            found.append(cause)
    batch.write()
    return found


class _AcknowledgementBatch:
    """Answers in the making: the commands that they are about, as the answers so far leave them."""

    def __init__(
        self,
        connection: Connection,
        answers: Sequence[Acknowledgement],
        policy: Policy,
        now: datetime,
    ) -> None:
        self._connection = connection
        self._policy = policy
        self._now = now
        self._before = self._load_commands({answer.command_id for answer in answers})
        self._commands = dict(self._before)
        self._recalls: defaultdict[UUID, list[UUID]] = defaultdict(list)
        for one in self._before.values():
            if one.action == "recall" and one.supersedes:
                self._recalls[one.supersedes].append(one.command_id)
        column = tables.acknowledgement.c.acknowledgement_id
        names = {answer.acknowledgement_id for answer in answers}
        self._known_content = {
            (row.system, row.acknowledgement_id): _content(row, json.loads(row.counts))
            for row in select_in(connection, select(tables.acknowledgement), column, names)
        }
        self._acknowledgement_rows: list[dict[str, object]] = []
        self._audit_entries: list[AuditEntry] = []

    def apply(self, answer: Acknowledgement) -> AcknowledgementResult:
        """What one answer comes to; raises, and then leaves everything as it was."""
        command = self._commands.get(answer.command_id)
        if command is None or command.system != answer.system:
            raise UnknownCommand(answer.command_id, answer.system)
        identity, content = (answer.system, answer.acknowledgement_id), _content(answer)
        if identity in self._known_content:
            if self._known_content[identity] != content:
                raise ReusedAcknowledgement(answer.system)
            return AcknowledgementResult(state=command.state, is_unexpected=False, repeated=True)
        happening: CommandEvent = answer.status
        if command.action == "recall":
            happening = _RECALL_EVENTS.get(answer.status, "failed")
        if command.action == "verify":
            happening = _verification_event(command, answer)
        left = command.after(happening, self._now, outcome=answer.status)
        if left.state == "refused" != command.state:
            left = self._apply_refusal(left)
        changed = [left]
        if command.state == "recalling" and left.state != "recalling":
            changed += self._end_recalls(command.command_id)
        if command.action == "recall" and command.supersedes:
            changed = self._apply_recall(left, command.supersedes, answer)
        reopened, proof = False, None
        if command.action == "verify" and command.supersedes and left.state == "acknowledged":
            original = self._apply_verification(command, answer)
            reopened = original.state == "reopened" != self._commands[original.command_id].state
            changed.append(original)
            if original.state == "erased" != self._commands[original.command_id].state:
                proof = self._now - original.created_at
        changed = [self._schedule_follow_up(one) for one in changed]
        left, *others = changed
        self._audit_entries.append(_evidence_body(answer, left.state, self._now))
        self._audit_entries += [
            AuditEntry(self._now, "state", one.command_id, {"state": one.state})
            for one in others
            if one.state != self._commands[one.command_id].state
        ]
        self._commands.update((one.command_id, one) for one in changed)
        self._known_content[identity] = content
        self._acknowledgement_rows.append(_row(answer, self._now))
        suspicious = answer.status == "nothing_held" and command.action != "verify"
        settled = left.settled_at is not None and command.settled_at is None
        took = self._now - left.first_sent_at if settled and left.first_sent_at else None
        return AcknowledgementResult(
            state=left.state,
            is_unexpected=suspicious,
            repeated=False,
            reopened=reopened,
            duration=took,
            verified_after=proof,
        )

    def write(self) -> None:
        """Write what has changed."""
        insert(self._connection, tables.acknowledgement, self._acknowledgement_rows)
        audit_outbox.enqueue(self._connection, self._audit_entries)
        pairs = [(one, self._commands[id]) for id, one in sorted(self._before.items())]
        written = [left.changed_columns() for before, left in pairs if left != before]
        update_each(self._connection, tables.command, written)
        freed = [
            left
            for before, left in pairs
            if left.state in RELEASED and before.state not in RELEASED
        ]
        outbox.release_records(self._connection, [one.command_id for one in freed])
        for one in freed:
            if one.state == "recalled":
                outbox.schedule_rescan(self._connection, one.command_id, self._now)

    def _end_recalls(self, original: UUID) -> list[_Command]:
        """The command itself was answered: its recall has nothing left to take back."""
        recalls = [self._commands[one] for one in self._recalls[original]]
        return [
            one.after("clock_changed" if one.state == "unsent" else "done", self._now)
            for one in recalls
        ]

    def _apply_refusal(self, left: _Command) -> _Command:
        """A controller's refusal is final; whoever else refuses has to do it, and is told again."""
        if self._policy.systems[left.system].role == "controller":
            return left
        again = self._now + RETRY_AFTER_REFUSAL
        return replace(left, escalated_at=self._now, settled_at=None, next_attempt_at=again)

    def _apply_recall(
        self, recall: _Command, original: UUID, answer: Acknowledgement
    ) -> list[_Command]:
        """A recall with what it takes back; a refusal takes nothing back, and is somebody's business."""
        about = self._commands[original]
        if answer.status in _RECALL_EVENTS:
            happening: CommandEvent = (
                "already_done" if answer.status == "already_done" else "recalled"
            )
            return [recall, about.after(happening, self._now, outcome=happening)]
        if answer.status != "refused" or about.state != "recalling":
            return [recall]
        return [replace(one, escalated_at=one.escalated_at or self._now) for one in (recall, about)]

    def _apply_verification(self, check: _Command, answer: Acknowledgement) -> _Command:
        """What a check says about the command that it checks; what it said first stands."""
        assert check.supersedes is not None
        original = self._commands[check.supersedes]
        found = answer.status == "done" and any(answer.counts.values())
        return original.after("still_present" if found else "proven", self._now)

    def _schedule_follow_up(self, left: _Command) -> _Command:
        """The command with what has to follow on its answer: a check, a repetition, or no more."""
        if (
            left.action not in VERIFICATION_REASONS
            or left.state == self._commands[left.command_id].state
        ):
            return left
        if left.state == "reopened":
            return replace(left, follow_up_at=self._now)
        if left.state != "acknowledged":
            return left
        system = self._policy.systems[left.system]
        if system.role != "controller" and system.reread == "attested":
            return left.after("attested_only", self._now)
        if system.verify_delay is None:
            return left
        return replace(left, follow_up_at=self._now + system.verify_delay)

    def _load_commands(self, ids: Collection[UUID]) -> dict[UUID, _Command]:
        """The commands, with the recalls of those that are recalled, and what others recall or check."""
        column = tables.command.c
        query = select(*_COLUMNS).order_by(column.command_id).with_for_update()
        found = self._select_commands(query, column.command_id, ids)
        recalling = {one.command_id for one in found.values() if one.state == "recalling"}
        about = {one.supersedes for one in found.values() if one.action in ("recall", "verify")}
        originals = {one for one in about if one and one not in found}
        found |= self._select_commands(query, column.command_id, originals)
        recalling |= {one for one in originals if found[one].state == "recalling"}
        recalls = query.where(column.action == "recall")
        return found | self._select_commands(recalls, column.supersedes, recalling)

    def _select_commands(
        self, query: Select[Any], column: Column[Any], values: Collection[UUID]
    ) -> dict[UUID, _Command]:
        rows = select_in(self._connection, query, column, values)
        return {row.command_id: _Command(**row._mapping) for row in rows}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Command:
    """What answers look at in a command, and what they change."""

    command_id: UUID
    system: str
    action: str
    supersedes: UUID | None
    state: State
    created_at: datetime
    first_sent_at: datetime | None
    next_attempt_at: datetime | None
    settled_at: datetime | None
    escalated_at: datetime | None
    outcome: str | None
    follow_up_at: datetime | None

    def after(self, happening: CommandEvent, now: datetime, outcome: str | None = None) -> _Command:
        """The command after something happened to it; what is settled stands.

        Raises:
            IllegalTransition: it cannot happen in its state.
        """
        state = next_state(self.state, happening)
        if state == self.state and (outcome is None or state in SETTLED):
            return self
        said: dict[str, Any] = {} if outcome is None else {"outcome": outcome}
        return replace(self, **outbox.columns_for_state(state, now), **said)

    def changed_columns(self) -> dict[str, Any]:
        """Its key, with all that answers change."""
        return {name: getattr(self, name) for name in ("command_id", *_CHANGED)}


_CHANGED = ("state", "next_attempt_at", "settled_at", "escalated_at", "outcome", "follow_up_at")
_COLUMNS = tuple(tables.command.c[one.name] for one in fields(_Command))


def escalate(connection: Connection, policy: Policy, now: datetime) -> list[tuple[str, UUID]]:
    """Mark the commands whose system has been silent for longer than it may, and name them."""
    column = tables.command.c
    silent = [
        and_(
            column.system == name,
            column.first_sent_at <= now - parse_period(system.acknowledge_within).exact,
        )
        for name, system in policy.systems.items()
    ]
    query = (
        select(column.system, column.command_id)
        .where(column.state.in_(("sent", "sending", "recalling")))
        .where(column.escalated_at.is_(None), or_(*silent))
        .with_for_update(skip_locked=True)
    )
    found = [(row.system, row.command_id) for row in connection.execute(query)]
    for _, command_id in found:
        _escalate(connection, command_id, now)
    return found


def close_command(connection: Connection, command_id: UUID, now: datetime) -> State:
    """Give a command up: an operator answers for it from now on, and with a recall for what it recalls.

    Raises:
        UnknownCommand: there is no such command.
        IllegalTransition: it is settled already.
    """
    command = connection.execute(
        select(tables.command).where(tables.command.c.command_id == command_id).with_for_update()
    ).one_or_none()
    if command is None:
        raise UnknownCommand(command_id)
    closed = [command]
    if command.action == "recall":  # what it was to take back would wait for its answer for ever
        about = tables.command.c.command_id == command.supersedes
        waiting = tables.command.c.state == "recalling"
        query = select(tables.command).where(about, waiting).with_for_update()
        closed += connection.execute(query)
    state, *_ = outbox.transition(connection, closed, "closed_by_operator", now, outcome="closed")
    for recalled in closed[1:]:  # what asks for it again by now asked in vain while it was recalled
        outbox.schedule_rescan(connection, recalled.command_id, now)
    return state


def _verification_event(command: _Command, answer: Acknowledgement) -> CommandEvent:
    """What an answer to a check is: one that counts nothing proves nothing, and is asked again.

    Raises:
        IllegalTransition: it is no answer to a check.
    """
    if answer.status in ("recalled", "already_done"):
        raise IllegalTransition(command.state, answer.status)
    return "partial" if answer.status == "done" and not answer.counts else answer.status


def _escalate(connection: Connection, command_id: UUID, now: datetime) -> None:
    connection.execute(
        update(tables.command)
        .where(tables.command.c.command_id == command_id)
        .values(escalated_at=now)
    )


def _content(answer: Any, counts: Mapping[str, int] | None = None) -> tuple[object, ...]:
    """What an answer says, an `Acknowledgement` or a row with its counts; the time is no part of it."""
    told = dict(answer.counts if counts is None else counts)
    return (answer.command_id, answer.attempt, answer.status, told, answer.ground)


def _row(answer: Acknowledgement, now: datetime) -> dict[str, object]:
    return {
        "acknowledgement_id": answer.acknowledgement_id,
        "command_id": answer.command_id,
        "system": answer.system,
        "attempt": answer.attempt,
        "status": answer.status,
        "counts": json.dumps(dict(answer.counts)),
        "ground": answer.ground,
        "at": answer.at,
        "received_at": now,
    }


def _evidence_body(answer: Acknowledgement, state: State, now: datetime) -> AuditEntry:
    body = {
        "status": answer.status,
        "counts": dict(answer.counts),
        "ground": answer.ground,
        "attempt": answer.attempt,
        "answered_at": format_rfc3339(answer.at),
        "state": state,
    }
    return AuditEntry(now, "answered", answer.command_id, body)
