"""Apply acknowledgements of systems: each is stored, and changes the state of its command."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Column, Connection, Select, select

from schemas.cloudevents import format_rfc3339
from services.deleter.acknowledged_command import ACKNOWLEDGED_COLUMNS, AcknowledgedCommand
from services.deleter.acknowledgement import (
    Acknowledgement,
    ReusedAcknowledgement,
    Status,
    UnknownCommand,
    UnusableAcknowledgement,
)
from services.ledger import outbox, tables
from services.ledger.command_state import RELEASED, CommandEvent, IllegalTransition, State
from services.policy.model import Policy
from services.policy.reasons import VERIFICATION_REASONS
from services.storage import audit_outbox
from services.storage.audit_outbox import AuditEntry
from services.storage.bulk import insert, select_in, update_each

RETRY_AFTER_REFUSAL: Final = timedelta(days=1)
"""How long after a refusal a system that may not refuse is sent the command again."""
_RECALL_EVENTS: Final[Mapping[Status, CommandEvent]] = {
    "recalled": "done",
    "done": "done",
    "already_done": "already_done",
}
"""The statuses that end a recall. No other status confirms it: a system may report `nothing_held` about
data that it has erased."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcknowledgementResult:
    """The changes made by an acknowledgement."""

    state: State
    """The new state of its command."""
    is_unexpected: bool
    """Whether the system reports that it held nothing, although the ledger has records."""
    repeated: bool
    """Whether the same acknowledgement was applied before."""
    reopened: bool = False
    """Whether data that was acknowledged as erased was still there: its erasure is commanded again."""
    duration: timedelta | None = None
    """If it settled the command: the time since that was first sent."""
    verified_after: timedelta | None = None
    """If it verifies an erasure: the time since that was commanded."""


def apply_acknowledgement(
    connection: Connection, answer: Acknowledgement, policy: Policy, now: datetime
) -> AcknowledgementResult:
    """Apply an acknowledgement that arrived at `now`, UTC.

    Raises:
        UnknownCommand: the system has no such command.
        ReusedAcknowledgement: the system has given its id to another acknowledgement.
        IllegalTransition: this status is not possible in the command's state.
    """
    [result] = apply_acknowledgements(connection, [answer], policy, now)
    if not isinstance(result, AcknowledgementResult):
        raise result
    return result


def apply_acknowledgements(
    connection: Connection, answers: Sequence[Acknowledgement], policy: Policy, now: datetime
) -> list[AcknowledgementResult | UnusableAcknowledgement]:
    """Apply acknowledgements in their order; the results are as if each were applied alone.

    The commands are read and locked once, and written once, after the last acknowledgement. An
    acknowledgement that cannot be applied changes nothing, and its error is in its place in the result.
    """
    batch = _AcknowledgementBatch(connection, answers, policy, now)
    results: list[AcknowledgementResult | UnusableAcknowledgement] = []
    for answer in answers:
        try:
            results.append(batch.apply(answer))
        except (UnknownCommand, ReusedAcknowledgement, IllegalTransition) as cause:
            results.append(cause)
    batch.write()
    return results


class _AcknowledgementBatch:
    """Acknowledgements that are being applied, and their commands as changed so far."""

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
        for command in self._before.values():
            if command.action == "recall" and command.supersedes:
                self._recalls[command.supersedes].append(command.command_id)
        column = tables.acknowledgement.c.acknowledgement_id
        ids = {answer.acknowledgement_id for answer in answers}
        self._known_content = {
            (row.system, row.acknowledgement_id): _content(row, json.loads(row.counts))
            for row in select_in(connection, select(tables.acknowledgement), column, ids)
        }
        self._acknowledgement_rows: list[dict[str, object]] = []
        self._audit_entries: list[AuditEntry] = []

    def apply(self, answer: Acknowledgement) -> AcknowledgementResult:
        """Apply one acknowledgement; if that raises, everything is as before.

        1. Find its command, and whether the same acknowledgement was applied before.
        2. Change the command's state, and those of related commands: its recalls, or the command that it
           recalls or verifies.
        3. Schedule the verification or repetition that has to follow.
        4. Store the acknowledgement, and the changes for the evidence.

        Raises:
            UnknownCommand: the system has no such command.
            ReusedAcknowledgement: the system has given its id to another acknowledgement.
            IllegalTransition: this status is not possible in the command's state.
        """
        # Step 1: find its command.
        command = self._commands.get(answer.command_id)
        if command is None or command.system != answer.system:
            raise UnknownCommand(answer.command_id, answer.system)
        identity, content = (answer.system, answer.acknowledgement_id), _content(answer)
        if identity in self._known_content:
            if self._known_content[identity] != content:
                raise ReusedAcknowledgement(answer.system)
            return AcknowledgementResult(state=command.state, is_unexpected=False, repeated=True)
        # Step 2: change states.
        after = command.after(_event_of(command, answer), self._now, outcome=answer.status)
        if after.state == "refused" != command.state:
            after = self._apply_refusal(after)
        changed = [after]
        if command.state == "recalling" and after.state != "recalling":
            changed += self._end_recalls(command.command_id)
        if command.action == "recall" and command.supersedes:
            changed = self._apply_recall(after, command.supersedes, answer)
        reopened, verified_after = False, None
        if command.action == "verify" and command.supersedes and after.state == "acknowledged":
            original = self._apply_verification(command, answer)
            reopened = original.state == "reopened" != self._commands[original.command_id].state
            changed.append(original)
            if original.state == "erased" != self._commands[original.command_id].state:
                verified_after = self._now - original.created_at
        # Step 3: schedule a verification or repetition.
        changed = [self._schedule_follow_up(item) for item in changed]
        after, *others = changed
        # Step 4: store the acknowledgement.
        self._audit_entries.append(_audit_entry(answer, after.state, self._now))
        self._audit_entries += [
            AuditEntry(self._now, "state", other.command_id, {"state": other.state})
            for other in others
            if other.state != self._commands[other.command_id].state
        ]
        self._commands.update((item.command_id, item) for item in changed)
        self._known_content[identity] = content
        self._acknowledgement_rows.append(_to_row(answer, self._now))
        is_settled = after.settled_at is not None and command.settled_at is None
        return AcknowledgementResult(
            state=after.state,
            is_unexpected=answer.status == "nothing_held" and command.action != "verify",
            repeated=False,
            reopened=reopened,
            duration=self._now - after.first_sent_at
            if is_settled and after.first_sent_at
            else None,
            verified_after=verified_after,
        )

    def write(self) -> None:
        """Write the acknowledgements and every command that has changed."""
        insert(self._connection, tables.acknowledgement, self._acknowledgement_rows)
        audit_outbox.enqueue(self._connection, self._audit_entries)
        pairs = [(before, self._commands[id]) for id, before in sorted(self._before.items())]
        rows = [after.changed_columns() for before, after in pairs if after != before]
        update_each(self._connection, tables.command, rows)
        released = [
            after
            for before, after in pairs
            if after.state in RELEASED and before.state not in RELEASED
        ]
        outbox.release_records(self._connection, [command.command_id for command in released])
        for command in released:
            if command.state == "recalled":
                outbox.schedule_rescan(self._connection, command.command_id, self._now)

    def _end_recalls(self, original: UUID) -> list[AcknowledgedCommand]:
        """Return, as ended, the recalls of a command that was acknowledged: nothing is left to recall."""
        recalls = [self._commands[recall] for recall in self._recalls[original]]
        return [
            recall.after("clock_changed" if recall.state == "unsent" else "done", self._now)
            for recall in recalls
        ]

    def _apply_refusal(self, refused: AcknowledgedCommand) -> AcknowledgedCommand:
        """Escalate a refusal and repeat the command later, unless a controller refused: that is final."""
        if self._policy.systems[refused.system].role == "controller":
            return refused
        again = self._now + RETRY_AFTER_REFUSAL
        return replace(refused, escalated_at=self._now, settled_at=None, next_attempt_at=again)

    def _apply_recall(
        self, recall: AcknowledgedCommand, original: UUID, answer: Acknowledgement
    ) -> list[AcknowledgedCommand]:
        """Return a recall, and the recalled command if that changes; a refused recall escalates both."""
        command = self._commands[original]
        if answer.status in _RECALL_EVENTS:
            event: CommandEvent = "already_done" if answer.status == "already_done" else "recalled"
            return [recall, command.after(event, self._now, outcome=event)]
        if answer.status != "refused" or command.state != "recalling":
            return [recall]
        return [
            replace(item, escalated_at=item.escalated_at or self._now) for item in (recall, command)
        ]

    def _apply_verification(
        self, verification: AcknowledgedCommand, answer: Acknowledgement
    ) -> AcknowledgedCommand:
        """Return the verified command; the result of its first verification stays."""
        assert verification.supersedes is not None
        original = self._commands[verification.supersedes]
        is_present = answer.status == "done" and any(answer.counts.values())
        return original.after("still_present" if is_present else "proven", self._now)

    def _schedule_follow_up(self, command: AcknowledgedCommand) -> AcknowledgedCommand:
        """Return a command with its follow-up scheduled: a verification, a repetition, or nothing."""
        if (
            command.action not in VERIFICATION_REASONS
            or command.state == self._commands[command.command_id].state
        ):
            return command
        if command.state == "reopened":
            return replace(command, follow_up_at=self._now)
        if command.state != "acknowledged":
            return command
        system = self._policy.systems[command.system]
        if system.role != "controller" and system.reread == "attested":
            return command.after("attested_only", self._now)
        if system.verify_delay is None:
            return command
        return replace(command, follow_up_at=self._now + system.verify_delay)

    def _load_commands(self, ids: Collection[UUID]) -> dict[UUID, AcknowledgedCommand]:
        """Lock and return commands, those that they recall or verify, and the recalls of all of these."""
        column = tables.command.c
        query = select(*ACKNOWLEDGED_COLUMNS).order_by(column.command_id).with_for_update()
        commands = self._select_commands(query, column.command_id, ids)
        recalling = {item.command_id for item in commands.values() if item.state == "recalling"}
        referenced = {
            item.supersedes for item in commands.values() if item.action in ("recall", "verify")
        }
        originals = {original for original in referenced if original and original not in commands}
        commands |= self._select_commands(query, column.command_id, originals)
        recalling |= {original for original in originals if commands[original].state == "recalling"}
        recalls = query.where(column.action == "recall")
        return commands | self._select_commands(recalls, column.supersedes, recalling)

    def _select_commands(
        self, query: Select[Any], column: Column[Any], values: Collection[UUID]
    ) -> dict[UUID, AcknowledgedCommand]:
        rows = select_in(self._connection, query, column, values)
        return {row.command_id: AcknowledgedCommand(**row._mapping) for row in rows}


def _event_of(command: AcknowledgedCommand, answer: Acknowledgement) -> CommandEvent:
    """Return the event that an acknowledgement is for its command.

    A verification without counts proves nothing, and is sent again.

    Raises:
        IllegalTransition: this status is not possible for a verification.
    """
    if command.action == "recall":
        return _RECALL_EVENTS.get(answer.status, "failed")
    if command.action != "verify":
        return answer.status
    if answer.status in ("recalled", "already_done"):
        raise IllegalTransition(command.state, answer.status)
    return "partial" if answer.status == "done" and not answer.counts else answer.status


def _content(answer: Any, counts: Mapping[str, int] | None = None) -> tuple[object, ...]:
    """Return the content of an `Acknowledgement`, or of a row with its counts; the time does not count."""
    rows = dict(answer.counts if counts is None else counts)
    return (answer.command_id, answer.attempt, answer.status, rows, answer.ground)


def _to_row(answer: Acknowledgement, now: datetime) -> dict[str, object]:
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


def _audit_entry(answer: Acknowledgement, state: State, now: datetime) -> AuditEntry:
    body = {
        "status": answer.status,
        "counts": dict(answer.counts),
        "ground": answer.ground,
        "attempt": answer.attempt,
        "answered_at": format_rfc3339(answer.at),
        "state": state,
    }
    return AuditEntry(now, "answered", answer.command_id, body)
