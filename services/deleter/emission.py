"""Decide whether a command may be sent: whether facts and active policy, read under lock, still require it.

The outbox is never trusted: at every attempt a command is sent only if the facts of now require it for each
of its records. A command that is no longer required is cancelled, or recalled if it may have been sent, and
its records are checked again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, select

from services.deleter.command_records import (
    NOTHING_CLAIMED,
    Claimed,
    MemberRecord,
    read_commands,
    referenced_command,
    with_changed_clocks,
)
from services.deleter.due_obligations import DueObligations
from services.deleter.planning import without_awaiting, without_contested_keys
from services.deleter.resumed_purposes import may_lift, usable_purposes
from services.ledger import clocks, outbox, state_changes, tables
from services.ledger.command_state import NOT_CARRIED_OUT
from services.ledger.conflicted_keys import EventIdentity, load_conflicted_keys
from services.ledger.facts import load_facts, load_tagged_events
from services.ledger.rows import COMMAND_COLUMNS, CommandRow, command_rows
from services.ledger.subject_lock import lock_subjects
from services.policy.actions import ABOUT_COMMANDS
from services.policy.check_times import clocks_of
from services.policy.ids import clock_id
from services.policy.model import Policy
from services.policy.obligation import purposes_key
from services.policy.retention_windows import Facts
from services.policy.rule_ends import ClockStanding
from services.policy.tagged_event import TaggedEvent
from services.storage.bulk import select_in

_ABOUT_TO_LEAVE = ("sending", "sent")


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedCommands:
    """Locked commands that facts and policy require, with the events of their records."""

    commands: Sequence[CommandRow]
    events: Mapping[UUID, Sequence[TaggedEvent]]
    """The events of the records, in their order, by the command whose records they are."""
    disowned: Mapping[EventIdentity, Collection[str]]
    """Keys of events that belong to another subject: no command carries them."""
    contested: Mapping[EventIdentity, Collection[str]]
    """Keys of events whose owner is not decided yet: no restriction carries them."""

    def keys_left_out(self, command: CommandRow, event: TaggedEvent) -> Collection[str]:
        """Return the keys of an event that a command does not carry."""
        if not self.disowned and not self.contested:
            return ()
        identity = (event.source, event.id)
        contested = self.contested.get(identity, ()) if command.action == "restrict" else ()
        return {*self.disowned.get(identity, ()), *contested}

    def events_of(self, command: CommandRow) -> Sequence[TaggedEvent]:
        """Return the events of the records that a command is about."""
        return self.events[referenced_command(command)]


def wanted_commands(
    connection: Connection,
    commands: Collection[UUID],
    policy: Policy,
    now: datetime,
    claimed: Claimed = NOTHING_CLAIMED,
) -> WantedCommands:
    """Return those of the commands that may be sent at `now`, UTC; the others are cancelled or recalled.

    The facts are locked until the transaction ends. Some of the commands may be `claimed` just now: if this
    policy was the active one then, what never changes about them is not read again.
    """
    return _drop_unwanted(connection, commands, policy, now, _ABOUT_TO_LEAVE, claimed)


def cancel_unwanted(
    connection: Connection, commands: Collection[UUID], policy: Policy, now: datetime
) -> None:
    """Cancel or recall commands that are not carried out yet and that facts and policy do not require."""
    _drop_unwanted(connection, commands, policy, now, NOT_CARRIED_OUT, NOTHING_CLAIMED)


def _drop_unwanted(
    connection: Connection,
    commands: Collection[UUID],
    policy: Policy,
    now: datetime,
    states: Collection[str],
    claimed: Claimed,
) -> WantedCommands:
    """Decide about commands in one of the states.

    1. Read the commands, their records and the events of these, without a lock.
    2. Lock clocks, then every subject that one of the events names, then the commands, each in order.
    3. Plan each record again from the facts as they are now.
    4. Cancel or recall each command that the plan of any of its records does not require, or that depends
       on a changed clock; its records are checked again.
    5. Leave out, for now, commands that are not due yet, and a `verify` whose keys are contested.
    """
    # Step 1: read without a lock.
    known = claimed.commands if claimed.policy is policy else {}
    known_events = claimed.events if claimed.policy is policy else {}
    unlocked, records = read_commands(connection, commands, known)
    event_ids = {record.event_id for group in records.values() for record in group}
    read = load_tagged_events(connection, event_ids - known_events.keys(), policy)
    events = {**known_events, **read} if read else known_events
    changed_records = {
        record.record_id: record
        for row in unlocked
        if row.action not in ABOUT_COMMANDS
        for record in records[row.command_id]
    }.values()
    # Step 2: lock the facts.
    subjects = {row.subject for row in unlocked}
    subjects |= {name for record in changed_records for name in events[record.event_id].subjects}
    standings = _lock_facts(connection, changed_records, events, subjects, policy)
    column = tables.command.c
    locking = select(*COMMAND_COLUMNS).order_by(column.subject, column.seq).with_for_update()
    rows = [
        row
        for row in command_rows(
            connection, select_in(connection, locking, column.command_id, commands)
        )
        if row.state in states
    ]
    # Step 3: plan each record again.
    facts = load_facts(connection, standings, subjects, policy)
    due_obligations = DueObligations(facts, policy, now)
    conflicted_keys = load_conflicted_keys(
        connection, [events[event] for event in event_ids], policy
    )
    contested = (
        {event for event in event_ids if conflicted_keys.blocks(events[event])}
        if conflicted_keys.contested
        else set()
    )
    record_ids = {record.record_id for record in changed_records}
    transferred = outbox.transferred_records(connection, record_ids, policy)
    announced = {
        record.record_id
        for row in rows
        if row.action == "notify"
        for record in records[row.command_id]
    }
    active = outbox.active_obligations(connection, announced)
    planned = _plan_records(
        changed_records, events, due_obligations, contested, transferred, active
    )
    # Step 4: cancel or recall unwanted commands.
    lifts = _wanted_lifts(rows, records, events, contested, facts, policy, now)
    depending = {
        row.command_id
        for row in rows
        if row.command_id not in known or known[row.command_id].depends_on_clocks
    }
    with_changed_clock = with_changed_clocks(connection, depending)
    unwanted = _unwanted_commands(rows, records, planned, lifts, with_changed_clock)
    for command in outbox.cancel_or_recall(connection, unwanted, policy, now):
        state_changes.schedule_rescan(connection, command, now)
    # Step 5: leave out commands that must wait. A `verify` would count the rows of another subject
    # while it is not decided whose the key is.
    left_out = {row.command_id for row in unwanted}
    left_out |= {
        row.command_id
        for row in rows
        if row.action == "verify"
        and any(record.event_id in contested for record in records[referenced_command(row)])
    }
    return WantedCommands(
        commands=[
            row
            for row in rows
            if row.command_id not in left_out and (row.not_before is None or row.not_before <= now)
        ],
        events={
            command: [events[record.event_id] for record in group]
            for command, group in records.items()
        },
        disowned=conflicted_keys.disowned,
        contested=conflicted_keys.contested,
    )


def _lock_facts(
    connection: Connection,
    records: Collection[MemberRecord],
    events: Mapping[UUID, TaggedEvent],
    subjects: Collection[str],
    policy: Policy,
) -> Mapping[UUID, ClockStanding]:
    """Lock the clocks of records, then the subjects; return the standings of the clocks."""
    keys = {
        key
        for record in records
        for key in clocks_of(events[record.event_id], record.subject, policy)
    }
    locked = clocks.load_clocks(connection, {clock_id(key) for key in keys})
    lock_subjects(connection, subjects, "command")
    return {identity: clock.standing for identity, clock in locked.items()}


def _unwanted_commands(
    rows: Collection[CommandRow],
    records: Mapping[UUID, Sequence[MemberRecord]],
    planned: Mapping[UUID, Collection[tuple[str, str]]],
    lifts: Collection[UUID],
    with_changed_clock: Collection[UUID],
) -> list[CommandRow]:
    """Return the commands that are not planned for each record, or whose clocks have changed.

    Lifts of purposes that go on again are not planned: `lifts` has those that are wanted.
    """
    return [
        row
        for row in rows
        if row.action not in ABOUT_COMMANDS
        and (
            row.command_id in with_changed_clock
            or (
                row.command_id not in lifts
                and any(
                    (row.system, record.step) not in planned[record.record_id]
                    for record in records[row.command_id]
                )
            )
        )
    ]


def _wanted_lifts(
    rows: Collection[CommandRow],
    records: Mapping[UUID, Sequence[MemberRecord]],
    events: Mapping[UUID, TaggedEvent],
    contested: Collection[UUID],
    facts: Facts,
    policy: Policy,
    now: datetime,
) -> set[UUID]:
    """Return the lifts of which every purpose goes on again, unrestricted, for each of the records."""
    wanted = set()
    for row in rows:
        purposes = row.wording.purposes
        if row.action == "lift" and all(
            record.step == purposes_key("lift", purposes)
            and record.backfill is None
            and record.event_id not in contested
            and may_lift(
                row.system,
                purposes,
                usable_purposes(events[record.event_id], record.subject, facts, policy, now),
            )
            for record in records[row.command_id]
        ):
            wanted.add(row.command_id)
    return wanted


def _plan_records(
    records: Collection[MemberRecord],
    events: Mapping[UUID, TaggedEvent],
    due_obligations: DueObligations,
    contested: Collection[UUID],
    transferred: Mapping[UUID, Collection[str]],
    active: Mapping[UUID, Collection[tuple[str, str]]],
) -> Mapping[UUID, frozenset[tuple[str, str]]]:
    """Return, by record, the systems and steps that are due; none are while an import is held back.

    `active` are the obligations that commands carry out or have carried out, of records with notices.
    """
    planned: dict[UUID, frozenset[tuple[str, str]]] = {}
    for record in records:
        is_held = record.backfill is not None
        event = events[record.event_id]
        active_steps = active.get(record.record_id, ())
        due = [] if is_held else due_obligations.of_record(event, record.subject, active_steps)
        due = without_awaiting(due, transferred.get(record.record_id, ()))
        if record.event_id in contested:
            due = without_contested_keys(due)
        planned[record.record_id] = frozenset((step.system, step.key) for step in due)
    return planned
