"""The outbox: commands are written here, with their records, before they are sent, and stay as history."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select

from services.ledger import tables
from services.ledger.command_draft import CommandDraft
from services.ledger.command_state import CARRIED_OUT, NOT_CARRIED_OUT, TRANSFERRED, next_state
from services.ledger.rows import COMMAND_COLUMNS, CommandRow, command_rows
from services.ledger.state_changes import transition
from services.ledger.subject_lock import lock_subjects
from services.ledger.wordings import store_wordings
from services.policy.actions import PROTECTIVE
from services.policy.model import Policy
from services.policy.reasons import POLICY_CHANGED
from services.storage import audit_outbox
from services.storage.audit_outbox import AuditEntry
from services.storage.bulk import insert, select_in, update_each

Step = tuple[UUID, str, str]
"""Record, system and step."""
_NONE_TAKEN: Mapping[UUID, Collection[Step]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRequest:
    """A request to lease new commands as they are written; the same process dispatches them at once."""

    until: datetime
    """When the lease ends, UTC: another dispatch may then take commands that were not sent."""
    room: int
    """How many commands may be leased."""
    stopped_systems: frozenset[str] = frozenset()
    """Systems to which nothing new is sent, except commands that protect data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteResult:
    """The ids of commands that were written, in the order of their drafts."""

    commands: tuple[UUID, ...]
    leased: tuple[UUID, ...] = ()
    """The commands that were leased at once: they are `sending`."""


def insert_commands(
    connection: Connection,
    drafts: Sequence[CommandDraft],
    policy_version: str,
    now: datetime,
    lease: LeaseRequest | None = None,
) -> WriteResult:
    """Write commands to the outbox; the caller has locked their subjects.

    With a `lease`, commands that protect data and as many others as there is room for are leased at once.
    """
    numbers = _next_seq(connection, drafts)
    ids = [draft.command_id(number) for draft, number in zip(drafts, numbers, strict=True)]
    wordings = [draft.wording(policy_version) for draft in drafts]
    wording_ids = store_wordings(connection, set(wordings))
    leased: list[UUID] = []
    rows = []
    for command_id, draft, number, wording in zip(ids, drafts, numbers, wordings, strict=True):
        row = command_row(command_id, draft, number, wording_ids[wording], now)
        if lease is not None and (
            draft.action in PROTECTIVE
            or (draft.system not in lease.stopped_systems and len(leased) < lease.room)
        ):
            leased.append(command_id)
            row |= {"state": next_state("unsent", "sending"), "next_attempt_at": lease.until}
        rows.append(row)
    insert(connection, tables.command, rows)
    audit_outbox.enqueue(
        connection,
        [AuditEntry(now, "commanded", body) for body in _count_commands(drafts, policy_version)],
    )
    insert_members(connection, ids, drafts)
    return WriteResult(commands=tuple(ids), leased=tuple(leased))


def command_row(
    command_id: UUID, draft: CommandDraft, number: int, wording_id: int, now: datetime
) -> dict[str, Any]:
    """Return the row of a command that is not sent yet."""
    record = draft.records[0] if len(draft.records) == 1 else None
    return {
        "command_id": command_id,
        "wording_id": wording_id,
        "record_id": record,
        "step": draft.step,
        "live": record is not None,
        "system": draft.system,
        "subject": draft.subject,
        "names_subject": draft.names_subject,
        "action": draft.action,
        "epoch": max((epoch for _, _, epoch in draft.epochs), default=0),
        "seq": number,
        "due_at": draft.due_at,
        "not_before": draft.not_before,
        "erase_by": draft.erase_by,
        "supersedes": draft.supersedes,
        "request": draft.request,
        "created_at": now,
        "state": "unsent",
        "attempt": 0,
        "next_attempt_at": now,
    }


def _count_commands(
    drafts: Sequence[CommandDraft], policy_version: str
) -> Iterator[Mapping[str, Any]]:
    """Yield how many commands, and how many records, there are for each system and action."""
    commands: Counter[tuple[str, str]] = Counter()
    records: Counter[tuple[str, str]] = Counter()
    for draft in drafts:
        commands[draft.system, draft.action] += 1
        records[draft.system, draft.action] += len(draft.records)
    for (system, action), count in sorted(commands.items()):
        yield {
            **{"system": system, "action": action, "commands": count},
            **{"records": records[system, action], "policy_version": policy_version},
        }


def insert_members(
    connection: Connection,
    ids: Sequence[UUID],
    drafts: Sequence[CommandDraft],
    taken: Mapping[UUID, Collection[Step]] = _NONE_TAKEN,
) -> None:
    """Insert the records of commands that name several, and the retention clocks of all commands.

    `taken` are the steps, by command, that another command does.
    """
    insert(
        connection,
        tables.command_record,
        [
            {
                "command_id": command_id,
                "record_id": record,
                "system": draft.system,
                "step": draft.step,
                "live": (record, draft.system, draft.step) not in taken.get(command_id, ()),
            }
            for command_id, draft in zip(ids, drafts, strict=True)
            if len(draft.records) > 1
            for record in draft.records
        ],
    )
    insert(
        connection,
        tables.command_clock,
        [
            {"clock_id": clock, "command_id": command_id, "epoch": epoch}
            for command_id, draft in zip(ids, drafts, strict=True)
            for _, clock, epoch in draft.epochs
        ],
    )


def active_obligations(
    connection: Connection, records: Collection[UUID]
) -> dict[UUID, frozenset[tuple[str, str]]]:
    """Return the (system, step) pairs that a command does, or has done, by record."""
    query = select(tables.member.c.record_id, tables.member.c.system, tables.member.c.step)
    active: defaultdict[UUID, set[tuple[str, str]]] = defaultdict(set)
    for row in select_in(
        connection, query.where(tables.member.c.live), tables.member.c.record_id, records
    ):
        active[row.record_id].add((row.system, row.step))
    return {record: frozenset(pairs) for record, pairs in active.items()}


def transferred_records(
    connection: Connection, records: Collection[UUID], policy: Policy
) -> Mapping[UUID, Collection[str]]:
    """Return, by record, the systems that have handed it over to an archive, and acknowledged that."""
    if not policy.transfers_data:
        return {}
    member, command = tables.member.c, tables.command.c
    query = (
        select(member.record_id, member.system)
        .join(tables.command, command.command_id == member.command_id)
        .where(member.live, member.step == "transfer", command.state.in_(CARRIED_OUT))
        .where(command.outcome == TRANSFERRED)
    )
    systems: defaultdict[UUID, set[str]] = defaultdict(set)
    for row in select_in(connection, query, member.record_id, records):
        systems[row.record_id].add(row.system)
    return systems


def unsent_erasures(
    connection: Connection, records: Collection[UUID]
) -> Mapping[UUID, Collection[str]]:
    """Return, by record, the systems to which its erasure was not sent yet, or possibly not."""
    member, command = tables.member.c, tables.command.c
    query = (
        select(member.record_id, member.system)
        .join(tables.command, command.command_id == member.command_id)
        .where(member.live, member.step == "erase", command.attempt == 0)
    )
    systems: defaultdict[UUID, set[str]] = defaultdict(set)
    for row in select_in(connection, query, member.record_id, records):
        systems[row.record_id].add(row.system)
    return systems


def invalidate_by_clock(
    connection: Connection, clocks: Collection[UUID], policy: Policy, now: datetime
) -> None:
    """Cancel or recall commands that depend on clocks which have changed.

    A command that was not sent is cancelled; one that was sent and is not acknowledged is recalled. A
    command that was carried out stays as it is.
    """
    query = (
        select(*COMMAND_COLUMNS)
        .join(
            tables.command_clock,
            tables.command_clock.c.command_id == tables.command.c.command_id,
        )
        .where(tables.command.c.state.in_(NOT_CARRIED_OUT))
        .with_for_update(of=tables.command)
    )
    rows = command_rows(
        connection, select_in(connection, query, tables.command_clock.c.clock_id, clocks)
    )
    cancel_or_recall(connection, list({row.command_id: row for row in rows}.values()), policy, now)


def commands_for_obligations(
    connection: Connection, steps: Collection[tuple[UUID, str, str]]
) -> list[CommandRow]:
    """Return and lock the commands, not carried out yet, for these steps: record, system and step."""
    member = tables.member.c
    query = (
        select(*COMMAND_COLUMNS, member.record_id, member.step)
        .join(tables.member, member.command_id == tables.command.c.command_id)
        .where(member.live, tables.command.c.state.in_(NOT_CARRIED_OUT))
        .with_for_update(of=tables.command)
    )
    obligations = set(steps)
    rows = select_in(connection, query, member.record_id, {record for record, _, _ in steps})
    commands = {
        row.command_id: row[:-2]
        for row in rows
        if (row.record_id, row.system, row.step) in obligations
    }
    return command_rows(connection, commands.values())


def cancel_or_recall(
    connection: Connection, commands: Sequence[CommandRow], policy: Policy, now: datetime
) -> list[UUID]:
    """Cancel the commands that were not sent and recall those that were; return the cancelled ones' ids."""
    states = transition(connection, commands, "clock_changed", now)
    pairs = list(zip(commands, states, strict=True))
    recalls = [_draft_recall(row) for row, state in pairs if state == "recalling"]
    if recalls:
        lock_subjects(connection, {draft.subject for draft in recalls}, "command")
        insert_commands(connection, recalls, policy.version, now)
    return [row.command_id for row, state in pairs if state == "cancelled"]


def _draft_recall(command: CommandRow) -> CommandDraft:
    return CommandDraft.referring_to(
        command,
        action="recall",
        reason=POLICY_CHANGED,
        due_at=command.due_at,
        erase_by=command.erase_by,
    )


def _next_seq(connection: Connection, drafts: Sequence[CommandDraft]) -> list[int]:
    """Return the next number of each draft's subject, and count it."""
    column = tables.subject.c
    query = select(column.subject, column.seq)
    subjects = {draft.subject for draft in drafts}
    last: dict[str, int] = {
        row.subject: row.seq for row in select_in(connection, query, column.subject, subjects)
    }
    numbers = []
    for draft in drafts:
        last[draft.subject] += 1
        numbers.append(last[draft.subject])
    rows = [{"subject": subject, "seq": number} for subject, number in sorted(last.items())]
    update_each(connection, tables.subject, rows)
    return numbers
