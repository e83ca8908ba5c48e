"""Find the obligations of records that facts and policy require by an instant and that have no command."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, select

from services.deleter.due_obligations import DueObligations
from services.deleter.planning import outstanding, without_awaiting
from services.ledger import outbox, tables
from services.ledger.clocks import ClockState, clock_from_row
from services.ledger.facts import load_facts, load_tagged_events
from services.ledger.rows import RecordRow
from services.policy.check_times import clocks_of
from services.policy.ids import clock_id
from services.policy.model import Policy
from services.policy.obligation import Obligation
from services.policy.rule_ends import ClockStanding
from services.storage.bulk import select_in


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeseenRecord:
    """A record with its obligations."""

    row: RecordRow
    obligations: Sequence[Obligation]
    clocks: Mapping[UUID, ClockState]
    """The clocks of this record, and of others that were read with it."""


def foreseen_obligations(
    connection: Connection,
    rows: Sequence[RecordRow],
    policy: Policy,
    until: datetime,
    standing: Callable[[ClockState], ClockStanding],
) -> Iterator[ForeseenRecord]:
    """Yield the records with the obligations that are due by `until`, UTC. Nothing is locked or changed.

    `standing` is what counts as known of a clock.
    """
    events = load_tagged_events(connection, {row.event_id for row in rows}, policy)
    keys = {
        clock_id(key)
        for row in rows
        for key in clocks_of(events[row.event_id], row.subject, policy)
    }
    clocks = {
        row.clock_id: clock_from_row(row)
        for row in select_in(connection, select(tables.clock), tables.clock.c.clock_id, keys)
    }
    subjects = {subject for tagged in events.values() for subject in tagged.subjects}
    standings = {identity: standing(clock) for identity, clock in clocks.items()}
    facts = load_facts(connection, standings, subjects, policy)
    due_obligations = DueObligations(facts, policy, until)
    active = outbox.active_obligations(connection, {row.record_id for row in rows})
    for row in rows:
        steps = active.get(row.record_id, frozenset())
        due = due_obligations.of_record(events[row.event_id], row.subject, steps)
        obligations = outstanding(without_awaiting(due, ()), steps)
        yield ForeseenRecord(row=row, obligations=obligations, clocks=clocks)
