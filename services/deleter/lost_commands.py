"""Find the records of lost commands, lock the facts about them, and make the commands as they were.

A lost command was sent, and the ledger does not have it, since it was restored from a backup.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, select

from services.deleter.due_obligations import DueObligations
from services.deleter.message import Fields
from services.deleter.sent_messages import FoundCommand
from services.ledger import clocks, tables
from services.ledger.clocks import ClockState
from services.ledger.command_draft import CommandDraft
from services.ledger.facts import load_facts, load_tagged_events
from services.ledger.lost_commands import LostCommand
from services.ledger.outbox import active_obligations
from services.ledger.rows import (
    RECORD_COLUMNS,
    RecordRow,
    record_rows,
)
from services.ledger.subject_lock import lock_subjects
from services.policy.actions import ENDING
from services.policy.check_times import clocks_of
from services.policy.ids import clock_id, event_id, old_event_id
from services.policy.model import Policy
from services.policy.obligation import Obligation, purposes_key
from services.policy.tagged_event import TaggedEvent
from services.storage.bulk import select_in


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedFacts:
    """The events of records, with the clocks on which they depend and what is due; all of it is locked."""

    events: Mapping[UUID, TaggedEvent]
    clocks: Mapping[UUID, ClockState]
    due: DueObligations
    active: Mapping[UUID, Collection[tuple[str, str]]]
    """The obligations to each record that commands carry out or have carried out."""

    def epochs(
        self, rows: Sequence[RecordRow], policy: Policy
    ) -> tuple[tuple[str, UUID, int], ...]:
        """Return name, id and epoch of each clock on which one of the records depends."""
        keys = dict.fromkeys(
            key for row in rows for key in clocks_of(self.events[row.event_id], row.subject, policy)
        )
        named = [(str(key), clock_id(key)) for key in keys]
        return tuple((name, id, self.clocks[id].epoch) for name, id in named if id in self.clocks)

    def step_of(self, fields: Fields, row: RecordRow) -> str:
        """Return the key of the obligation that a command meets, as far as it is known."""
        action, purposes = fields["action"], fields["purposes"]
        if action in ENDING and action != "notify":
            return str(action)
        active = self.active.get(row.record_id, ())
        for obligation in self.due.of_record(self.events[row.event_id], row.subject, active):
            if _is_met(obligation, fields):
                return obligation.key
        if fields["request"]:
            return f"{action} request {fields['request']}"
        return purposes_key(action, purposes)


def _is_met(obligation: Obligation, fields: Fields) -> bool:
    """Return whether a command with these fields meets an obligation."""
    same = (obligation.system, obligation.action, obligation.request) == (
        *(fields["system"], fields["action"], fields["request"]),
    ) and set(obligation.purposes) == set(fields["purposes"])
    return same and (obligation.action != "notify" or obligation.erase_by == fields["erase_by"])


def lock_facts(
    connection: Connection,
    records: Mapping[UUID, Sequence[RecordRow]],
    subjects: Collection[str],
    policy: Policy,
    now: datetime,
) -> LockedFacts:
    """Lock the clocks of records, then their subjects and `subjects`, and read what is due."""
    rows = [row for group in records.values() for row in group]
    events = load_tagged_events(connection, {row.event_id for row in rows}, policy)
    ids = {
        clock_id(key)
        for row in rows
        for key in clocks_of(events[row.event_id], row.subject, policy)
    }
    locked = clocks.load_clocks(connection, ids)
    own_subjects = {row.subject for row in rows}
    lock_subjects(connection, own_subjects | set(subjects), "command")
    co_subjects = {name for event in events.values() for name in event.subjects}
    standings = {id: clock.standing for id, clock in locked.items()}
    facts = load_facts(connection, standings, own_subjects | co_subjects, policy)
    return LockedFacts(
        events=events,
        clocks=locked,
        due=DueObligations(facts, policy, now),
        active=active_obligations(connection, {row.record_id for row in rows}),
    )


def restore_command(
    id: UUID, fields: Fields, rows: Sequence[RecordRow], facts: LockedFacts, policy: Policy
) -> LostCommand:
    """Return a missing command as it was before it was sent; it depends on the clocks as they are now."""
    draft = CommandDraft(
        system=fields["system"],
        subject=rows[0].subject,
        action=fields["action"],
        step=facts.step_of(fields, rows[0]),
        rules=tuple(fields["rules"]),
        purposes=tuple(fields["purposes"]),
        reason=fields["reason"],
        due_at=fields["not_before"] or fields["issued_at"],
        not_before=fields["not_before"],
        erase_by=fields["erase_by"],
        epochs=facts.epochs(rows, policy),
        records=tuple(row.record_id for row in rows),
        names_subject=fields["subject"] is not None,
        supersedes=UUID(fields["supersedes"]) if fields["supersedes"] else None,
        request=fields["request"],
    )
    return lost_command(id, draft, fields)


def lost_command(id: UUID, draft: CommandDraft, fields: Fields) -> LostCommand:
    return LostCommand(
        command_id=id, draft=draft, seq=fields["seq"], policy_version=fields["policy_version"]
    )


def find_records(
    connection: Connection, commands: Mapping[UUID, FoundCommand]
) -> dict[UUID, list[RecordRow]]:
    """Return the records of each command; commands with a record that the ledger lacks are left out.

    Where a command names no person and its events name several, its records are those of one of them.
    """
    events = {
        id: [_event_ids(record) for record in command.fields["records"]]
        for id, command in commands.items()
    }
    wanted = {event for pairs in events.values() for pair in pairs for event in pair}
    by_event: defaultdict[UUID, list[RecordRow]] = defaultdict(list)
    query = select(*RECORD_COLUMNS).order_by(tables.record.c.record_id)
    for row in record_rows(select_in(connection, query, tables.record.c.event_id, wanted)):
        by_event[row.event_id].append(row)
    found: dict[UUID, list[RecordRow]] = {}
    for id, pairs in events.items():
        candidates = [by_event[new] or by_event[old] for new, old in pairs]
        subject = commands[id].fields["subject"]
        names = {subject} if subject else {row.subject for rows in candidates for row in rows}
        for name in sorted(names):
            records = [row for rows in candidates for row in rows if row.subject == name]
            if records and len(records) == len(pairs):
                found[id] = records
                break
    return found


def _event_ids(record: Mapping[str, str]) -> tuple[UUID, UUID]:
    """Return the id of a record's event, and the one that it had in an old ledger."""
    source, id = record["source"], record["id"]
    return event_id(record["type"], source, id), old_event_id(source, id)
