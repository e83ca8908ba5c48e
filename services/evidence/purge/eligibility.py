"""Finds events whose data is verified as erased in every system, and that can cause no further command.

The certificate of such an event's records would list erased data only: nothing kept, nothing outstanding.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select

from services.ledger import tables
from services.ledger.command_state import CARRIED_OUT, OUTSTANDING, TRANSFERRED
from services.ledger.facts import LedgerFacts, load_record_facts
from services.policy import obligations, rights_effects
from services.policy.ids import record_id
from services.policy.model import Policy
from services.policy.retention_windows import compute_window
from services.policy.tagged_event import TaggedEvent
from services.requests.responder import load_cases
from services.requests.subject_data import CommandSummary, load_commands
from services.storage.bulk import select_in

_PROVEN = ("erased", "attested")
_FINAL_REFUSALS = ("acknowledged", "refused")
"""A notice under GDPR 17(2) and 19 is not read again, and another controller's refusal is final."""


def fully_erased_events(
    connection: Connection, events: Mapping[UUID, TaggedEvent], policy: Policy, now: datetime
) -> dict[UUID, datetime]:
    """Return the events of which every record is erased everywhere, by id, and since when, UTC.

    Events without records are left out.
    """
    events_by_record = {
        record_id(event, tagged.source, tagged.id, subject): (event, tagged, subject)
        for event, tagged in events.items()
        for subject in tagged.subjects
    }
    if not events_by_record:
        return {}
    rows = {
        row.record_id: row
        for row in select_in(
            connection, select(tables.record), tables.record.c.record_id, events_by_record
        )
    }
    facts = load_record_facts(
        connection, [(event, subject) for _, event, subject in events_by_record.values()], policy
    )
    busy = {
        name for name in facts.acts if any(c.is_open for c in load_cases(connection, name, policy))
    }
    commands = load_commands(connection, rows)
    settled_at: dict[UUID, datetime] = {}
    unspent: set[UUID] = set()
    for identity, (event, tagged, subject) in events_by_record.items():
        row = rows.get(identity)
        since = None
        if row is not None and _has_no_open_commands(row) and subject not in busy:
            since = _settled_since(tagged, subject, facts, commands.get(identity, {}), policy, now)
        if since is None:
            unspent.add(event)
        else:
            settled_at[event] = max(since, settled_at.get(event, since))
    return {event: since for event, since in settled_at.items() if event not in unspent}


def _has_no_open_commands(row: Row[Any]) -> bool:
    return row.next_due is None and row.backfill is None


def _settled_since(
    tagged: TaggedEvent,
    subject: str,
    facts: LedgerFacts,
    commands: Mapping[tuple[str, str], CommandSummary],
    policy: Policy,
    now: datetime,
) -> datetime | None:
    """Return when the last command of an erased record was settled, UTC; None if it is not erased."""
    standing = facts.subject_state(subject)
    if standing.holds and rights_effects.is_under_legal_hold(now, tagged.id, standing):
        return None
    settled = [tagged.time]
    planned = obligations.obligations_of(tagged, subject, facts, policy)
    erasing = {obligation.system for obligation in planned if obligation.action == "erase"}
    for holding in tagged.holdings:
        if holding.subject != subject:
            continue
        due_at = compute_window(holding, tagged.time, facts, policy).due_at
        for system, due in due_at.items():
            proven = _proven_at(commands.get((system, "erase")), policy.systems[system].role)
            if proven is None and system not in erasing:
                proven = _transferred_at(commands.get((system, "transfer")))
            if due is None or due > now or proven is None:
                return None
            settled.append(proven)
    for command in commands.values():
        if command.state in OUTSTANDING or command.settled_at is None:
            return None
        settled.append(command.settled_at)
    return max(settled)


def _proven_at(command: CommandSummary | None, role: str) -> datetime | None:
    if command is None:
        return None
    final = (*_PROVEN, *_FINAL_REFUSALS) if role == "controller" else _PROVEN
    return command.settled_at if command.state in final else None


def _transferred_at(command: CommandSummary | None) -> datetime | None:
    """Return when a system acknowledged that it has handed the record over, where nothing else follows."""
    is_done = command and command.state in CARRIED_OUT and command.outcome == TRANSFERRED
    return command.settled_at if command and is_done else None
