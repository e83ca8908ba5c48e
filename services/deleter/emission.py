"""Emission: whether facts and active policy, read under lock, still ask for what a command would do.

The outbox is never trusted: a command leaves, at its first attempt and at every other, only if what is
known by now asks for each of its records. What is not asked for any more is cancelled, or recalled where
it may be out, and its records are looked at again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, or_, select

from services.deleter.plan_cache import CachingPlanner
from services.deleter.planning import without_contested_keys
from services.ledger import clocks, key_conflicts, outbox, tables
from services.ledger.command_state import NOT_CARRIED_OUT
from services.ledger.facts import load_facts, load_tagged_events
from services.ledger.key_conflicts import EventIdentity
from services.policy import obligations
from services.policy.actions import ABOUT_COMMANDS
from services.policy.ids import clock_id
from services.policy.model import Policy
from services.policy.tagging import TaggedEvent
from services.storage.bulk import select_in

_ABOUT_TO_LEAVE = ("sending", "sent")
_COMMAND_COLUMNS = tuple(
    tables.command.c[name]
    for name in (
        *("command_id", "system", "subject", "names_subject", "action", "rules", "purposes"),
        *("reason", "epoch", "seq", "due_at", "not_before", "erase_by", "policy_version"),
        *("supersedes", "request", "state", "attempt"),
    )
)
"""What a relay needs of a command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedCommands:
    """Commands, locked, that are asked for."""

    commands: Sequence[Row[Any]]
    events: Mapping[UUID, Sequence[TaggedEvent]]
    """By the command whose records they are, the events of these, in the order of the records."""

    disowned: Mapping[EventIdentity, Collection[str]]
    """The keys of events that are another's: no command carries them."""
    contested: Mapping[EventIdentity, Collection[str]]
    """The keys of events of which nobody knows yet whose they are: no restriction carries them."""

    def keys_left_out(self, command: Row[Any], event: TaggedEvent) -> Collection[str]:
        """The keys of an event that a command does not carry."""
        identity = (event.source, event.id)
        contested = self.contested.get(identity, ()) if command.action == "restrict" else ()
        return {*self.disowned.get(identity, ()), *contested}

    def events_of(self, command: Row[Any]) -> Sequence[TaggedEvent]:
        """The events of the records that a command is about."""
        return self.events[referenced_command(command)]

    @property
    def record_counts(self) -> Mapping[UUID, int]:
        """How many records each command names."""
        return {command: len(events) for command, events in self.events.items()}


def referenced_command(command: Row[Any]) -> UUID:
    """The command whose records this one is about: those of what it takes back, or checks."""
    about: UUID = command.supersedes if command.action in ABOUT_COMMANDS else command.command_id
    return about


def wanted_commands(
    connection: Connection,
    commands: Collection[UUID],
    policy: Policy,
    now: datetime,
    known_events: Mapping[UUID, TaggedEvent] = MappingProxyType({}),
) -> WantedCommands:
    """Those of the commands that may leave by `now`, UTC; what is not asked for any more is taken back.

    Takes the locks of all that decides, and holds them until the transaction ends: the clocks, then every
    subject that an event of theirs names, then the commands themselves. `tagged` are events, by id, that
    were tagged under this policy before.
    """
    return _drop_unwanted(connection, commands, policy, now, _ABOUT_TO_LEAVE, known_events)


def cancel_unwanted(
    connection: Connection, commands: Collection[UUID], policy: Policy, now: datetime
) -> None:
    """Take back what the facts, under this policy, do not ask for and what is not carried out yet."""
    _drop_unwanted(connection, commands, policy, now, NOT_CARRIED_OUT, {})


def _drop_unwanted(
    connection: Connection,
    commands: Collection[UUID],
    policy: Policy,
    now: datetime,
    states: Collection[str],
    tagged: Mapping[UUID, TaggedEvent],
) -> WantedCommands:
    column = tables.command.c
    query = select(*_COMMAND_COLUMNS).order_by(column.subject, column.seq)
    found = list(select_in(connection, query, column.command_id, commands))
    members = _load_records(connection, {referenced_command(row) for row in found})
    ids = {one.event_id for those in members.values() for one in those}
    events = {**tagged, **load_tagged_events(connection, ids - tagged.keys(), policy)}
    doing = [row.command_id for row in found if row.action not in ABOUT_COMMANDS]
    done_to = [one for command in doing for one in members[command]]
    keys = {
        key
        for one in done_to
        for key in obligations.clocks_of(events[one.event_id], one.subject, policy)
    }
    locked = clocks.load_clocks(connection, {clock_id(key) for key in keys})
    subjects = {row.subject for row in found}
    subjects |= {name for one in done_to for name in events[one.event_id].subjects}
    outbox.lock_subjects(connection, subjects, "command")
    rows = [
        row
        for row in select_in(connection, query.with_for_update(), column.command_id, commands)
        if row.state in states
    ]
    anchors = {identity: clock.anchor for identity, clock in locked.items()}
    planner = CachingPlanner(load_facts(connection, anchors, subjects, policy), policy, now)
    judged = key_conflicts.load_conflicted_keys(connection, events.values(), policy)
    contested = {one for one in ids if judged.blocks(events[one])}
    planned: dict[UUID, frozenset[tuple[str, str]]] = {}
    for one in done_to:
        if one.record_id not in planned:
            is_held = one.backfill is not None
            due = [] if is_held else planner.due_obligations(events[one.event_id], one.subject)
            if one.event_id in contested:
                due = without_contested_keys(due)
            planned[one.record_id] = frozenset((step.system, step.key) for step in due)
    moved = _with_changed_clocks(connection, {row.command_id for row in rows})
    not_asked = [
        row
        for row in rows
        if row.action not in ABOUT_COMMANDS
        and (
            row.command_id in moved
            or any(
                (row.system, one.step) not in planned[one.record_id]
                for one in members[row.command_id]
            )
        )
    ]
    for command in outbox.cancel_or_recall(connection, not_asked, policy, now):
        outbox.schedule_rescan(connection, command, now)
    left_out = {row.command_id for row in not_asked}
    left_out |= {  # a check would count another's rows: it waits until it is decided whose they are
        row.command_id
        for row in rows
        if row.action == "verify"
        and any(one.event_id in contested for one in members[referenced_command(row)])
    }
    return WantedCommands(
        commands=[
            row
            for row in rows
            if row.command_id not in left_out and (row.not_before is None or row.not_before <= now)
        ],
        events={
            command: [events[one.event_id] for one in those] for command, those in members.items()
        },
        disowned=judged.disowned,
        contested=judged.contested,
    )


def _load_records(
    connection: Connection, commands: Collection[UUID]
) -> Mapping[UUID, list[Row[Any]]]:
    member, record = tables.member.c, tables.record.c
    query = (
        select(
            *(member.command_id, member.record_id, member.step),
            *(record.event_id, record.subject, record.backfill),
        )
        .join(tables.record, record.record_id == member.record_id)
        .order_by(member.command_id, member.record_id)
    )
    found: defaultdict[UUID, list[Row[Any]]] = defaultdict(list)
    for row in select_in(connection, query, member.command_id, commands):
        found[row.command_id].append(row)
    return found


def _with_changed_clocks(connection: Connection, commands: Collection[UUID]) -> set[UUID]:
    """The commands that depend on a clock which has moved since, or is held back with an import."""
    column = tables.command_clock.c
    query = (
        select(column.command_id)
        .join(tables.clock, tables.clock.c.clock_id == column.clock_id)
        .where(or_(tables.clock.c.epoch != column.epoch, tables.clock.c.backfill.is_not(None)))
    )
    return {row.command_id for row in select_in(connection, query, column.command_id, commands)}
