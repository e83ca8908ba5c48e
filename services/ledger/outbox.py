"""The journal: which commands there are, what they cover, and which of them a moved clock made stale."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID, uuid5

from sqlalchemy import Connection, Row, select, update

from services.ledger import tables
from services.ledger.command_state import (
    NOT_CARRIED_OUT,
    RELEASED,
    SETTLED,
    CommandEvent,
    State,
    next_state,
)
from services.policy.actions import PROTECTIVE
from services.policy.model import Policy
from services.policy.reasons import POLICY_CHANGED
from services.storage import audit_outbox
from services.storage.audit_outbox import AuditEntry
from services.storage.bulk import insert, insert_or_ignore, select_in, update_in, upsert

_COMMAND_NAMESPACE = UUID("5b0f6bb4-6d0d-5a4e-9a57-7b6b0f7a1c04")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandDraft:
    """A command before it has its id and its number."""

    system: str
    subject: str
    action: str
    step: str
    rules: tuple[str, ...]
    purposes: tuple[str, ...]
    reason: str
    due_at: datetime
    not_before: datetime | None
    erase_by: datetime | None
    epochs: tuple[tuple[str, UUID, int], ...] = ()
    """The clocks that it depends on: name, id and epoch."""
    records: tuple[UUID, ...] = ()
    names_subject: bool = True
    acts: int = 0
    """How much was said about the subjects when it was drafted."""
    supersedes: UUID | None = None
    request: str | None = None
    """The request that it serves."""

    @property
    def cause(self) -> str:
        """What made it due: the clocks with their epochs, what was said, or the event itself."""
        said = [f"acts#{self.acts}"] if self.acts else []
        clocks = [f"{name}#{epoch}" for name, _, epoch in sorted(self.epochs)]
        return ",".join([*clocks, *said]) or "event"

    def command_id(self, number: int) -> UUID:
        """Its id under the number that it gets: what is asked for again has another."""
        parts = [self.system, self.action, self.step, self.cause, str(self.supersedes)]
        records = sorted(map(str, self.records))
        return uuid5(_COMMAND_NAMESPACE, json.dumps([number, *parts, *records]))


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRequest:
    """Whoever writes commands may take them at once, as the relay takes those that lie in the outbox."""

    until: datetime
    """When another relay tries those that have not gone out, UTC."""
    room: int
    """How many may be taken."""
    stopped_systems: frozenset[str] = frozenset()
    """Systems to which nothing new goes but what protects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteResult:
    """Commands that lie in the outbox, in the order of their drafts."""

    commands: tuple[UUID, ...]
    leased: tuple[UUID, ...] = ()
    """Those that were taken at once: they are `sending`."""


LockPurpose = Literal["say", "command", "record"]
"""What the lock of a subject is for. Saying keeps everybody else away; commanding keeps away who says or
commands; recording keeps away only who says, so that what is recorded beside it is looked at for it."""


def lock_subjects(
    connection: Connection, subjects: Collection[str], purpose: LockPurpose
) -> dict[str, Row[Any]]:
    """Take the one lock of each subject, in order; it is held until the transaction ends."""
    ordered = sorted(set(subjects))
    insert_or_ignore(connection, tables.subject, [{"subject": one} for one in ordered])
    query = select(tables.subject).order_by(tables.subject.c.subject)
    # FOR UPDATE, FOR NO KEY UPDATE or FOR KEY SHARE
    query = query.with_for_update(key_share=purpose != "say", read=purpose == "record")
    return {
        row.subject: row for row in select_in(connection, query, tables.subject.c.subject, ordered)
    }


def insert_commands(
    connection: Connection,
    drafts: Sequence[CommandDraft],
    policy_version: str,
    now: datetime,
    lease: LeaseRequest | None = None,
) -> WriteResult:
    """Write commands to the outbox; their subjects are locked by the caller."""
    numbers = _next_seq(connection, drafts)
    ids = [draft.command_id(number) for draft, number in zip(drafts, numbers, strict=True)]
    leased: list[UUID] = []
    commands = []
    for identity, draft, number in zip(ids, drafts, numbers, strict=True):
        taken = lease is not None and (
            draft.action in PROTECTIVE
            or (draft.system not in lease.stopped_systems and len(leased) < lease.room)
        )
        if taken:
            leased.append(identity)
        commands.append(
            {
                "command_id": identity,
                "system": draft.system,
                "subject": draft.subject,
                "names_subject": draft.names_subject,
                "action": draft.action,
                "rules": json.dumps(draft.rules),
                "purposes": json.dumps(draft.purposes),
                "reason": draft.reason,
                "cause": draft.cause,
                "epoch": max((epoch for _, _, epoch in draft.epochs), default=0),
                "seq": number,
                "due_at": draft.due_at,
                "not_before": draft.not_before,
                "erase_by": draft.erase_by,
                "policy_version": policy_version,
                "supersedes": draft.supersedes,
                "request": draft.request,
                "created_at": now,
                "state": next_state("unsent", "sending") if taken else "unsent",
                "attempt": 0,
                "next_attempt_at": lease.until if lease and taken else now,
            }
        )
    insert(connection, tables.command, commands)
    audit_outbox.enqueue(
        connection,
        [
            AuditEntry(now, "commanded", identity, {"records": len(draft.records)})
            for identity, draft in zip(ids, drafts, strict=True)
        ],
    )
    insert(
        connection,
        tables.member,
        [
            {
                "command_id": identity,
                "record_id": record,
                "system": draft.system,
                "step": draft.step,
                "live": True,
            }
            for identity, draft in zip(ids, drafts, strict=True)
            for record in draft.records
        ],
    )
    insert(
        connection,
        tables.command_clock,
        [
            {"clock_id": clock, "command_id": identity, "epoch": epoch}
            for identity, draft in zip(ids, drafts, strict=True)
            for _, clock, epoch in draft.epochs
        ],
    )
    return WriteResult(commands=tuple(ids), leased=tuple(leased))


def active_obligations(
    connection: Connection, records: Collection[UUID]
) -> dict[UUID, frozenset[tuple[str, str]]]:
    """The (system, step) pairs that a command does or has done to each record."""
    query = select(tables.member.c.record_id, tables.member.c.system, tables.member.c.step)
    found: defaultdict[UUID, set[tuple[str, str]]] = defaultdict(set)
    for row in select_in(
        connection, query.where(tables.member.c.live), tables.member.c.record_id, records
    ):
        found[row.record_id].add((row.system, row.step))
    return {record: frozenset(pairs) for record, pairs in found.items()}


def unsent_erasures(
    connection: Connection, records: Collection[UUID]
) -> Mapping[UUID, Collection[str]]:
    """By record, the systems that are to erase it and have certainly, or perhaps, not been told yet."""
    member, command = tables.member.c, tables.command.c
    query = (
        select(member.record_id, member.system)
        .join(tables.command, command.command_id == member.command_id)
        .where(member.live, member.step == "erase", command.attempt == 0)
    )
    found: defaultdict[UUID, set[str]] = defaultdict(set)
    for row in select_in(connection, query, member.record_id, records):
        found[row.record_id].add(row.system)
    return found


def invalidate_by_clock(
    connection: Connection, clocks: Collection[UUID], policy: Policy, now: datetime
) -> None:
    """Take back what was commanded under anchors that have changed.

    What has not left is cancelled; what has left and is not acknowledged is recalled. What was carried
    out stands.
    """
    query = (
        select(tables.command)
        .join(
            tables.command_clock,
            tables.command_clock.c.command_id == tables.command.c.command_id,
        )
        .where(tables.command.c.state.in_(NOT_CARRIED_OUT))
        .with_for_update(of=tables.command)
    )
    found = select_in(connection, query, tables.command_clock.c.clock_id, clocks)
    cancel_or_recall(connection, list({row.command_id: row for row in found}.values()), policy, now)


def commands_for_obligations(
    connection: Connection, steps: Collection[tuple[UUID, str, str]]
) -> list[Row[Any]]:
    """The commands, not carried out yet, that do these steps: (record, system, step); locked."""
    member = tables.member.c
    query = (
        select(tables.command, member.record_id, member.step)
        .join(tables.member, member.command_id == tables.command.c.command_id)
        .where(member.live, tables.command.c.state.in_(NOT_CARRIED_OUT))
        .with_for_update(of=tables.command)
    )
    found = select_in(connection, query, member.record_id, {record for record, _, _ in steps})
    asked = set(steps)
    rows = {row.command_id: row for row in found if (row.record_id, row.system, row.step) in asked}
    return list(rows.values())


def cancel_or_recall(
    connection: Connection, commands: Sequence[Row[Any]], policy: Policy, now: datetime
) -> list[UUID]:
    """Cancel the commands that have not left and recall those that have; the cancelled ones' ids."""
    states = transition(connection, commands, "stale", now)
    pairs = list(zip(commands, states, strict=True))
    recalls = [_write_recalls(row) for row, state in pairs if state == "recalling"]
    if recalls:
        lock_subjects(connection, {draft.subject for draft in recalls}, "command")
        insert_commands(connection, recalls, policy.version, now)
    return [row.command_id for row, state in pairs if state == "cancelled"]


def transition(
    connection: Connection,
    commands: Sequence[Any],
    event: CommandEvent,
    now: datetime,
    **changes: Any,
) -> list[State]:
    """Let something happen to commands whose rows are locked, and say what each is then.

    `changes` are further columns that get a new value, for the commands that it changes anything of.

    Raises:
        IllegalTransition: it cannot happen to one of them in its state; none was changed.
    """
    states = [next_state(command.state, event) for command in commands]
    by_state: defaultdict[State, list[UUID]] = defaultdict(list)
    freed = []
    happened = []
    for command, state in zip(commands, states, strict=True):
        if event == "sent":
            body = {"attempt": changes["attempt"]}
            happened.append(AuditEntry(now, "sent", command.command_id, body))
        elif state != command.state and (event != "sending" or command.state == "refused"):
            happened.append(AuditEntry(now, "state", command.command_id, {"state": state}))
        if state != command.state or (changes and state not in SETTLED):
            by_state[state].append(command.command_id)
        if state in RELEASED and command.state not in RELEASED:
            freed.append(command.command_id)
    for state, ids in by_state.items():
        values = {**columns_for_state(state, now), **changes}
        update_in(
            connection, update(tables.command).values(values), tables.command.c.command_id, ids
        )
    release_records(connection, freed)
    audit_outbox.enqueue(connection, happened)
    return states


def release_records(connection: Connection, commands: Collection[UUID]) -> None:
    """Let other commands do to the records of these what these will not."""
    member = tables.member
    update_in(connection, update(member).values(live=False), member.c.command_id, commands)


def columns_for_state(state: State, now: datetime) -> dict[str, Any]:
    """What a command's row says once it is in a state."""
    if state in SETTLED:
        return {"state": state, "settled_at": now, "next_attempt_at": None}
    return {"state": state, "next_attempt_at": None} if state == "recalling" else {"state": state}


def schedule_rescan(connection: Connection, command: UUID, at: datetime) -> None:
    """Make the records of a command due for another look."""
    records = select(tables.member.c.record_id).where(tables.member.c.command_id == command)
    connection.execute(
        update(tables.record).where(tables.record.c.record_id.in_(records)).values(next_due=at)
    )


def resend_outstanding(connection: Connection, now: datetime) -> None:
    """Make every command that is out and unanswered due again: the bus that carried it is gone."""
    column = tables.command.c
    connection.execute(
        update(tables.command)
        .where(column.state.in_(("sending", "sent")), column.next_attempt_at.is_not(None))
        .values(next_attempt_at=now)
    )


def _write_recalls(command: Any) -> CommandDraft:
    return CommandDraft(
        system=command.system,
        subject=command.subject,
        action="recall",
        step="recall",
        rules=tuple(json.loads(command.rules)),
        purposes=tuple(json.loads(command.purposes)),
        reason=POLICY_CHANGED,
        due_at=command.due_at,
        not_before=None,
        erase_by=command.erase_by,
        names_subject=command.names_subject,
        supersedes=command.command_id,
    )


def _next_seq(connection: Connection, drafts: Sequence[CommandDraft]) -> list[int]:
    """The next `seq` of each draft's system and subject."""
    subjects = {draft.subject for draft in drafts}
    last: dict[tuple[str, str], int] = {
        (row.system, row.subject): row.last
        for row in select_in(
            connection, select(tables.sequence), tables.sequence.c.subject, subjects
        )
    }
    numbers = []
    touched: dict[tuple[str, str], int] = {}
    for draft in drafts:
        pair = (draft.system, draft.subject)
        touched[pair] = touched.get(pair, last.get(pair, 0)) + 1
        numbers.append(touched[pair])
    rows: list[Mapping[str, Any]] = [
        {"system": system, "subject": subject, "last": number}
        for (system, subject), number in sorted(touched.items())
    ]
    upsert(connection, tables.sequence, rows, ("last",))
    return numbers
