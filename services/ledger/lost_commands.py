"""Commands that were sent and that the ledger lost when it was restored: they come back into the outbox."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter, itemgetter
from uuid import UUID

from sqlalchemy import Connection, and_, or_, select

from services.ledger import tables
from services.ledger.command_draft import CommandDraft
from services.ledger.command_state import CARRIED_OUT
from services.ledger.outbox import Step, active_obligations, command_row, insert_members
from services.ledger.purpose_commands import release_members, set_live
from services.ledger.wordings import store_wordings
from services.storage.bulk import insert, select_in, update_each


@dataclass(frozen=True, slots=True, kw_only=True)
class LostCommand:
    """A command that was sent, and that the ledger lost when it was restored from a backup."""

    command_id: UUID
    draft: CommandDraft
    seq: int
    policy_version: str


def insert_lost_commands(
    connection: Connection, commands: Sequence[LostCommand], now: datetime
) -> None:
    """Write commands to the outbox that were sent before; the caller has locked their subjects.

    They are not leased, and marked as sent by the caller. Of records for which another command does the
    same step, that one stays the one that does it, unless it is being recalled, or is a notice that was
    given again by one of these.
    """
    _release_steps(connection, commands)
    drafts = [item.draft for item in commands]
    taken = _taken_steps(connection, commands)
    wordings = store_wordings(
        connection, {item.draft.wording(item.policy_version) for item in commands}
    )
    rows = []
    for item in commands:
        wording_id = wordings[item.draft.wording(item.policy_version)]
        row = command_row(item.command_id, item.draft, item.seq, wording_id, now)
        is_taken = (row["record_id"], row["system"], row["step"]) in taken[item.command_id]
        rows.append({**row, "live": row["live"] and not is_taken})
    insert(connection, tables.command, rows)
    _raise_seq(connection, commands)
    insert_members(connection, [item.command_id for item in commands], drafts, taken)


def take_steps(connection: Connection, commands: Collection[UUID]) -> None:
    """Let commands do their steps again that were cancelled, and were sent all the same.

    A later change must recall them, and no other command may do the same. The caller has locked their
    subjects. A step that another command does stays with that one.
    """
    member, command = tables.member.c, tables.command.c
    query = (
        select(member.command_id, member.record_id, member.system, member.step)
        .join(tables.command, command.command_id == member.command_id)
        .order_by(command.seq.desc())
    )
    rows = list(select_in(connection, query, member.command_id, commands))
    active = active_obligations(connection, {row.record_id for row in rows})
    taken = {(record, *step) for record, steps in active.items() for step in steps}
    taking = set()
    for row in rows:
        if (step := (row.record_id, row.system, row.step)) not in taken:
            taken.add(step)
            taking.add((row.command_id, row.record_id))
    set_live(connection, taking, live=True)


def find_needless(connection: Connection, commands: Collection[UUID]) -> set[UUID]:
    """Return those of the commands of which others do every step, which are not being recalled."""
    member, command = tables.member.c, tables.command.c
    query = select(member.command_id, member.record_id, member.system, member.step, member.live)
    rows = list(select_in(connection, query, member.command_id, commands))
    done = (
        select(member.record_id, member.system, member.step)
        .join(tables.command, command.command_id == member.command_id)
        .where(member.live, command.state != "recalling")
    )
    records = {row.record_id for row in rows}
    steps = {tuple(row) for row in select_in(connection, done, member.record_id, records)}
    needed = {
        row.command_id
        for row in rows
        if row.live or (row.record_id, row.system, row.step) not in steps
    }
    return {row.command_id for row in rows} - needed


def _release_steps(connection: Connection, commands: Sequence[LostCommand]) -> None:
    """Take from commands that are being recalled, and from notices given before, the steps of these."""
    steps = {
        (record, item.draft.system, item.draft.step): item.seq
        for item in sorted(commands, key=attrgetter("seq"))
        for record in item.draft.records
    }
    member, command = tables.member.c, tables.command.c
    is_given = and_(command.action == "notify", command.state.in_(CARRIED_OUT))
    query = (
        select(member.command_id, member.record_id, member.system, member.step)
        .add_columns(command.state, command.seq)
        .join(tables.command, command.command_id == member.command_id)
        .where(member.live, or_(command.state == "recalling", is_given))
    )
    rows = select_in(connection, query, member.record_id, {record for record, _, _ in steps})
    released = {
        (row.command_id, row.record_id)
        for row in rows
        if (seq := steps.get((row.record_id, row.system, row.step))) is not None
        and (row.state == "recalling" or row.seq < seq)
    }
    release_members(connection, released)


def _taken_steps(
    connection: Connection, commands: Sequence[LostCommand]
) -> Mapping[UUID, Collection[Step]]:
    """Return, by lost command, the steps that a command in the ledger does, or a later one of the lost."""
    records = {record for item in commands for record in item.draft.records}
    taken = {
        (record, *step)
        for record, steps in active_obligations(connection, records).items()
        for step in steps
    }
    by_command: dict[UUID, Collection[Step]] = {}
    for item in sorted(commands, key=attrgetter("seq"), reverse=True):
        by_command[item.command_id] = frozenset(taken)
        taken |= {(record, item.draft.system, item.draft.step) for record in item.draft.records}
    return by_command


def _raise_seq(connection: Connection, commands: Sequence[LostCommand]) -> None:
    """Let the next commands of these subjects get higher numbers than commands that were sent before."""
    highest: defaultdict[str, int] = defaultdict(int)
    for item in commands:
        highest[item.draft.subject] = max(item.seq, highest[item.draft.subject])
    column = tables.subject.c
    query = select(column.subject, column.seq)
    rows = [
        {"subject": row.subject, "seq": max(row.seq, highest[row.subject])}
        for row in select_in(connection, query, column.subject, highest)
    ]
    update_each(connection, tables.subject, sorted(rows, key=itemgetter("subject")))
