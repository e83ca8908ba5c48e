"""Read facts: events tagged again under the active policy, and the state of each data subject."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, select

from services.ledger import clocks, tables
from services.policy.check_times import clocks_of
from services.policy.decision_fields import decode_decision_fields
from services.policy.ids import clock_id
from services.policy.model import Policy
from services.policy.plans import compile_policy
from services.policy.rule_ends import OPEN_CLOCK, ClockStanding
from services.policy.subject_state import EMPTY_STATE, PrivacyEvent, SubjectState, subject_state
from services.policy.tagged_event import ClockKey, DecisionValue, TaggedEvent
from services.storage.bulk import select_in


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFacts:
    """The clocks and subject states that were read."""

    standings: Mapping[UUID, ClockStanding]
    subject_states: Mapping[str, SubjectState]
    acts: Mapping[str, int]
    """The number of privacy events of each subject, from which a command's id is computed in part."""

    def standing(self, clock: ClockKey) -> ClockStanding:
        """Return the standing of a retention clock."""
        return self.standings.get(clock_id(clock), OPEN_CLOCK)

    def subject_state(self, subject: str) -> SubjectState:
        """Return the state of a data subject."""
        return self.subject_states.get(subject, EMPTY_STATE)


def load_tagged_events(
    connection: Connection, events: Collection[UUID], policy: Policy
) -> dict[UUID, TaggedEvent]:
    """Return the events, tagged under the active policy from their decision fields."""
    rows = select_in(connection, select(*_EVENT_COLUMNS), tables.event.c.event_id, events)
    compiled = compile_policy(policy)
    return {row.event_id: compiled.tag(_event_from_row(row), recorded=True) for row in rows}


def stored_events(
    connection: Connection, types: Collection[str], size: int
) -> Iterator[Sequence[tuple[UUID, StoredEvent]]]:
    """Yield all recorded events of these types in chunks of a size, each with its id."""
    column = tables.event.c
    query = select(*_EVENT_COLUMNS).where(column.type.in_(types)).order_by(column.event_id)
    rows = connection.execute(query.limit(size)).all() if types else []
    while rows:
        yield [(row.event_id, _event_from_row(row)) for row in rows]
        after = query.where(column.event_id > rows[-1].event_id)
        rows = connection.execute(after.limit(size)).all()


def load_privacy_events(
    connection: Connection,
    kind_prefixes: Collection[str],
    policy: Policy,
    subject: str | None = None,
) -> list[PrivacyEvent]:
    """Return privacy events and decisions, of all subjects or one, whose kind has one of these prefixes."""
    types = [
        name
        for name, event in policy.events.items()
        if event.act and event.act.partition("-")[0] in kind_prefixes
    ]
    query = (
        select(*_EVENT_COLUMNS)
        .join(tables.act, tables.act.c.event_id == tables.event.c.event_id)
        .where(tables.event.c.type.in_(types))
    )
    if subject is not None:
        query = query.where(tables.act.c.subject == subject)
    compiled = compile_policy(policy)
    tagged = (
        compiled.tag(_event_from_row(row), recorded=True) for row in connection.execute(query)
    )
    return [event.privacy_event for event in tagged if event.privacy_event]


def load_record_facts(
    connection: Connection,
    records: Collection[tuple[TaggedEvent, str]],
    policy: Policy,
    other_subjects: Collection[str] = (),
) -> LedgerFacts:
    """Return the facts about records, each an event and its subject, without locking anything.

    The facts are about the records' subjects and the `others`.
    """
    keys = {
        clock_id(key) for event, subject in records for key in clocks_of(event, subject, policy)
    }
    states = clocks.load_clocks(connection, keys, lock=False)
    standings = {id: clock.standing for id, clock in states.items()}
    return load_facts(
        connection, standings, {*other_subjects, *(name for _, name in records)}, policy
    )


def load_facts(
    connection: Connection,
    standings: Mapping[UUID, ClockStanding],
    subjects: Collection[str],
    policy: Policy,
) -> LedgerFacts:
    """Return the facts about these clocks and these subjects, as they are now."""
    column = tables.subject.c
    subjects_query = select(column.subject, column.acts).where(column.acts > 0)
    counts = {
        row.subject: row.acts
        for row in select_in(connection, subjects_query, column.subject, subjects)
    }
    compiled = compile_policy(policy)
    acts: defaultdict[str, list[PrivacyEvent]] = defaultdict(list)
    query = select(*_EVENT_COLUMNS, tables.act.c.backfill).join(
        tables.act, tables.act.c.event_id == tables.event.c.event_id
    )
    for row in select_in(connection, query, tables.act.c.subject, counts):
        event = compiled.tag(_event_from_row(row), recorded=True).privacy_event
        if event and (row.backfill is None or event.kind == "hold-placed"):
            acts[event.subject].append(event)
    return LedgerFacts(
        standings=standings,
        subject_states={subject: subject_state(events, policy) for subject, events in acts.items()},
        acts=counts,
    )


class StoredEvent(NamedTuple):
    """The columns of an event that tagging needs."""

    source: str
    id: str
    type: str
    time: datetime
    data: Mapping[str, DecisionValue]


_EVENT_COLUMNS = tuple(
    tables.event.c[name] for name in ("event_id", "source", "id", "type", "time", "deciding")
)


def _event_from_row(row: Row[Any]) -> StoredEvent:
    return StoredEvent(row.source, row.id, row.type, row.time, decode_decision_fields(row.deciding))
