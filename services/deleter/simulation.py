"""Simulation: run the real policy, ledger and deleter on a virtual clock, to see every command in advance.

Each event is recorded at its own time, and before any command of the same instant is sent. Every system
acknowledges at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import groupby
from uuid import UUID

from sqlalchemy import Connection, func, select

from schemas.cloudevents import CloudEvent, hash_event
from services.deleter.acknowledgement import Acknowledgement, AcknowledgementMessage
from services.deleter.claim import claim_due
from services.deleter.dispatch import RetryPolicy, dispatch, lease
from services.deleter.message import CommandMessage
from services.deleter.paused_systems import PausedSystems
from services.deleter.settlement import apply_acknowledgement
from services.events.incoming_event import TaggedEventRow
from services.kafka.record_metadata import RecordMetadata
from services.ledger import tables
from services.ledger.recording import record
from services.policy.model import Policy
from services.policy.tagged_event import TaggedEvent
from services.storage.database import Database

_CLAIM_LIMIT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedCommand:
    """A command as it is sent; instants are UTC."""

    issued_at: datetime
    system: str
    subject: str
    action: str
    records: tuple[str, ...]
    """Event ids."""
    rules: tuple[str, ...]
    purposes: tuple[str, ...]
    erase_by: datetime | None
    reason: str


def simulate(
    ledger: Database,
    events: Sequence[tuple[CloudEvent, TaggedEvent]],
    policy: Policy,
    until: datetime,
) -> Iterator[SimulatedCommand]:
    """Yield every command up to and including `until`, in the order of sending.

    The ledger must be empty, and used by nothing else.
    """
    past_events = [pair for pair in events if pair[0].time <= until]
    past_events.sort(key=lambda pair: (pair[0].time, pair[0].source, pair[0].id))
    for time, group in groupby(past_events, key=lambda pair: pair[0].time):
        yield from _run_clock(ledger, policy, before=time)
        arrivals = [_arrival(event, tagged) for event, tagged in group]
        ledger.run_in_transaction(partial(record, arrivals=arrivals, policy=policy, now=time))
        yield from _issue_due(ledger, policy, time)
    yield from _run_clock(ledger, policy, until=until)


def _run_clock(
    ledger: Database,
    policy: Policy,
    *,
    before: datetime | None = None,
    until: datetime | None = None,
) -> Iterator[SimulatedCommand]:
    """Let the virtual clock run from one due instant to the next."""
    while True:
        with ledger.transaction() as connection:
            due = next_wakeup(connection)
        if due is None or (before and due >= before) or (until and due > until):
            return
        yield from _issue_due(ledger, policy, due)


def next_wakeup(connection: Connection) -> datetime | None:
    """Return the earliest instant at which a record, clock or subject is due."""
    subject = select(func.min(tables.subject.c.next_due))
    queries = [subject.where(tables.subject.c.next_due.is_not(None))]
    for table in (tables.record, tables.clock):
        query = select(func.min(table.c.next_due))
        queries.append(query.where(table.c.next_due.is_not(None), table.c.backfill.is_(None)))
    due_times = [connection.execute(query).scalar_one() for query in queries]
    return min((due for due in due_times if due is not None), default=None)


def _issue_due(ledger: Database, policy: Policy, now: datetime) -> Iterator[SimulatedCommand]:
    issued: list[SimulatedCommand] = []
    systems = _AlwaysAcknowledges()
    has_more = True
    while has_more:
        with ledger.transaction() as connection:
            claimed = claim_due(connection, policy, now, limit=_CLAIM_LIMIT)
            has_more = claimed.more
            if not claimed.commands:
                continue
            leased = lease(connection, now, PausedSystems(), limit=len(claimed.commands))
            for sent_command in dispatch(connection, leased, systems, policy, now, RetryPolicy()):
                apply_acknowledgement(
                    connection, systems.answer(sent_command.command_id, now), policy, now
                )
                issued.append(_simulated_command(connection, sent_command.command_id, now))
    yield from sorted(
        issued,
        key=lambda command: (command.system, command.subject, command.action, command.records),
    )


class _AlwaysAcknowledges:
    """Systems that acknowledge every command at once."""

    def __init__(self) -> None:
        self._systems: dict[UUID, str] = {}

    def send(self, commands: Sequence[CommandMessage]) -> Sequence[RecordMetadata]:
        for command in commands:
            self._systems[UUID(command.value["command_id"])] = command.system
        return [
            RecordMetadata(topic="simulation", partition=0, offset=number)
            for number in range(len(commands))
        ]

    def answer(self, command: UUID, now: datetime) -> AcknowledgementMessage:
        system = self._systems.pop(command)
        done = Acknowledgement(
            command_id=command,
            system=system,
            attempt=1,
            status="done",
            counts={},
            ground=None,
            at=now,
        )
        return AcknowledgementMessage(
            acknowledgement_id=str(command), system=system, acknowledgements=(done,)
        )


def _simulated_command(connection: Connection, command: UUID, now: datetime) -> SimulatedCommand:
    row = connection.execute(
        select(tables.command, tables.wording)
        .join(tables.wording, tables.wording.c.wording_id == tables.command.c.wording_id)
        .where(tables.command.c.command_id == command)
    ).one()
    ids = connection.execute(
        select(tables.event.c.id)
        .join(tables.record, tables.record.c.event_id == tables.event.c.event_id)
        .join(tables.member, tables.member.c.record_id == tables.record.c.record_id)
        .where(tables.member.c.command_id == command)
    ).scalars()
    return SimulatedCommand(
        issued_at=now,
        system=row.system,
        subject=row.subject,
        action=row.action,
        records=tuple(sorted(ids)),
        rules=tuple(json.loads(row.rules)),
        purposes=tuple(json.loads(row.purposes)),
        erase_by=row.erase_by,
        reason=row.reason,
    )


def _arrival(event: CloudEvent, tagged: TaggedEvent) -> TaggedEventRow:
    return TaggedEventRow(
        source=event.source,
        id=event.id,
        type=event.type,
        time=event.time,
        content_hash=hash_event(event),
        decision_fields=tagged.decision_fields,
        topic="simulation",
        partition=0,
        offset=0,
    )
