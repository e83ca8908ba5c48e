"""Verify erasures: a system reads the data again, and data that is still there is commanded again.

An acknowledgement only schedules this (`follow_up_at`). The verification or repetition is written here,
under the subjects' locks, as every other command is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, select, update

from schemas.errors import TermijnError
from services.ledger import outbox, state_changes, tables
from services.ledger.command_draft import CommandDraft
from services.ledger.command_state import CARRIED_OUT, RESTORED
from services.ledger.due import is_due
from services.ledger.purpose_commands import release_members
from services.ledger.rows import COMMAND_COLUMNS, CommandRow, command_rows
from services.ledger.subject_lock import lock_subjects
from services.policy.actions import CHANGING
from services.policy.model import Policy
from services.policy.reasons import BACKUP_RESTORED, STILL_PRESENT, VERIFICATION_REASONS
from services.policy.tagged_event import ClockKey
from services.storage.bulk import select_in, update_in

_OUT = ("sending", "sent", "recalling", "refused")
"""The states of commands that may have been carried out without an acknowledgement that was applied."""


class _MemberRecord(NamedTuple):
    record_id: UUID
    step: str


_EpochsByCommand = Mapping[UUID, Sequence[tuple[str, UUID, int]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationResult:
    """The result of one step of verification."""

    verifies: tuple[UUID, ...]
    """Commands that have a system read again what it has erased or pseudonymised."""
    repeated: tuple[UUID, ...]
    """Commands that repeat one whose records were still there."""
    handled: int


NO_RESULT = VerificationResult(verifies=(), repeated=(), handled=0)
"""The result of a step when nothing has to follow."""


class BackupTooOld(TermijnError):
    """A backup is older than a settled command that was purged since; nothing was commanded again.

    The system's owner restores a newer backup, or erases by hand what was erased since the backup. The
    ledger has purged these persons, because the term of their proof is over.
    """

    def __init__(self, system: str, purged_until: datetime) -> None:
        super().__init__(
            f"{system}: erasures settled by {purged_until.isoformat()} were purged from the ledger and"
            " cannot be commanded again; restore a newer backup"
        )
        self.system = system
        self.purged_until = purged_until


def verify_commands(
    connection: Connection, policy: Policy, now: datetime, *, limit: int
) -> VerificationResult:
    """Write the verifications and repetitions due by `now`, UTC, for up to `limit` acknowledged commands.

    A verification names the records and the id of the command that it verifies. A repetition has an id of
    its own and names the command that it supersedes. After a change of one of the command's clocks there is
    no repetition: the records are planned again from the facts.
    """
    rows = _commands_to_follow_up(connection, now, limit)
    if not rows:
        return NO_RESULT
    acknowledged = [row for row in rows if row.state == "acknowledged"]
    reopened = [row for row in rows if row.state == "reopened"]
    epochs, changed_clocks = _load_epochs(connection, {row.command_id for row in reopened})
    to_repeat = [row for row in reopened if row.command_id not in changed_clocks]
    state_changes.release_records(connection, [row.command_id for row in reopened])
    for row in reopened:
        if row.command_id in changed_clocks:
            state_changes.schedule_rescan(connection, row.command_id, now)
    records = _load_records(connection, {row.command_id for row in to_repeat})
    records = _without_steps_of_others(connection, to_repeat, records)
    to_repeat = [row for row in to_repeat if records[row.command_id]]
    checks = [_verify_draft(row) for row in acknowledged]
    repetitions = [_repeat_draft(row, records, epochs, now) for row in to_repeat]
    command_ids = outbox.insert_commands(
        connection, [*checks, *repetitions], policy.version, now
    ).commands
    column = tables.command.c.command_id
    handled_ids = [row.command_id for row in rows]
    update_in(connection, update(tables.command).values(follow_up_at=None), column, handled_ids)
    return VerificationResult(
        verifies=command_ids[: len(checks)],
        repeated=command_ids[len(checks) :],
        handled=len(rows),
    )


def recommand_since(connection: Connection, system: str, since: datetime, now: datetime) -> int:
    """Schedule a repetition of all commands that a system carried out since a backup; return how many.

    `since` is the time of the backup, UTC. Commands carried out before and proven after it are repeated as
    well, which does no harm. `verify_commands` writes the repetitions, each with an id of its own. Those of
    commands that are out follow once they are acknowledged: that may be about what was done before.

    Raises:
        BackupTooOld: a command settled since the backup is purged; nothing was scheduled.
    """
    through = tables.forgetting.c.through
    purged_until = connection.execute(
        select(through).with_for_update(read=True)
    ).scalar_one_or_none()
    if purged_until is not None and since <= purged_until:
        raise BackupTooOld(system, purged_until)
    column = tables.command.c
    query = (
        select(*COMMAND_COLUMNS)
        .where(column.system == system, column.action.in_(CHANGING))
        .where(column.state.in_(CARRIED_OUT), column.settled_at >= since)
        .order_by(column.command_id)
        .with_for_update()
    )
    rows = command_rows(connection, connection.execute(query))
    state_changes.transition(connection, rows, "restored", now, outcome=RESTORED, follow_up_at=now)
    connection.execute(
        update(tables.command)
        .where(column.system == system, column.action.in_(CHANGING), column.state.in_(_OUT))
        .values(restored_at=now)
    )
    return len(rows)


def _commands_to_follow_up(connection: Connection, now: datetime, limit: int) -> list[CommandRow]:
    """Lock and return the commands with a follow-up due, after locking their subjects."""
    column = tables.command.c
    waits = is_due(column.follow_up_at, now)
    due_commands = connection.execute(
        select(column.command_id, column.subject)
        .where(waits)
        .order_by(column.follow_up_at, column.command_id)
        .limit(limit)
    ).all()
    if not due_commands:
        return []
    lock_subjects(connection, {row.subject for row in due_commands}, "command")
    query = select(*COMMAND_COLUMNS).where(waits).order_by(column.subject, column.seq)
    query = query.with_for_update()
    ids = {row.command_id for row in due_commands}
    return command_rows(connection, select_in(connection, query, column.command_id, ids))


def _load_epochs(
    connection: Connection, commands: Collection[UUID]
) -> tuple[_EpochsByCommand, set[UUID]]:
    """Return the clocks that commands depend on, and the commands whose clocks have changed since."""
    column, clock = tables.command_clock.c, tables.clock.c
    query = select(tables.command_clock, clock.clock, clock.key, clock.epoch.label("current")).join(
        tables.clock, clock.clock_id == column.clock_id
    )
    epochs: defaultdict[UUID, list[tuple[str, UUID, int]]] = defaultdict(list)
    changed = set()
    for row in select_in(connection, query, column.command_id, commands):
        name = str(ClockKey(clock=row.clock, key=row.key))
        epochs[row.command_id].append((name, row.clock_id, row.epoch))
        if row.epoch != row.current:
            changed.add(row.command_id)
    return epochs, changed


def _load_records(
    connection: Connection, commands: Collection[UUID]
) -> Mapping[UUID, list[_MemberRecord]]:
    """Return the records of each command with the step that it does to them, in the order of their ids."""
    member = tables.member.c
    query = select(member.command_id, member.record_id, member.step).order_by(member.record_id)
    records: defaultdict[UUID, list[_MemberRecord]] = defaultdict(list)
    for row in select_in(connection, query, member.command_id, commands):
        records[row.command_id].append(_MemberRecord(row.record_id, row.step))
    return records


def _without_steps_of_others(
    connection: Connection,
    rows: Sequence[CommandRow],
    records: Mapping[UUID, list[_MemberRecord]],
) -> Mapping[UUID, list[_MemberRecord]]:
    """Return the records of each command for which its step has to be repeated: by one command only.

    Where another command has still to do it, that one does. One that has done it is contradicted too, and
    is freed of the record. Of several to be repeated the last one is.
    """
    member, command = tables.member.c, tables.command.c
    query = (
        select(member.command_id, member.record_id, member.system, member.step, command.state)
        .join(tables.command, command.command_id == member.command_id)
        .where(member.live)
    )
    ids = {record.record_id for group in records.values() for record in group}
    pending: set[tuple[UUID, str, str]] = set()
    done: dict[tuple[UUID, str, str], UUID] = {}
    for other in select_in(connection, query, member.record_id, ids):
        step = (other.record_id, other.system, other.step)
        if other.state in CARRIED_OUT:
            done[step] = other.command_id
        else:
            pending.add(step)
    repeated: dict[UUID, list[_MemberRecord]] = {}
    freed: set[tuple[UUID, UUID]] = set()
    for row in sorted(rows, key=lambda row: row.seq, reverse=True):
        repeated[row.command_id] = []
        for record in records[row.command_id]:
            step = (record.record_id, row.system, record.step)
            if step not in pending:
                pending.add(step)
                repeated[row.command_id].append(record)
                freed |= {(done[step], record.record_id)} if step in done else set()
    release_members(connection, freed)
    return repeated


def _verify_draft(row: CommandRow) -> CommandDraft:
    assert row.follow_up_at is not None, "only a command with a follow-up is verified"
    return CommandDraft.referring_to(
        row,
        action="verify",
        reason=VERIFICATION_REASONS[row.action],
        due_at=row.follow_up_at,
    )


def _repeat_draft(
    row: CommandRow,
    records: Mapping[UUID, list[_MemberRecord]],
    epochs: _EpochsByCommand,
    now: datetime,
) -> CommandDraft:
    members = records[row.command_id]
    return CommandDraft(
        system=row.system,
        subject=row.subject,
        action=row.action,
        step=members[0].step,
        rules=row.wording.rules,
        purposes=row.wording.purposes,
        reason=BACKUP_RESTORED if row.outcome == RESTORED else STILL_PRESENT,
        due_at=now,
        not_before=row.not_before,
        erase_by=row.erase_by,
        epochs=tuple(epochs.get(row.command_id, ())),
        records=tuple(record.record_id for record in members),
        names_subject=row.names_subject,
        supersedes=row.command_id,
        request=row.request,
    )
