"""Tagging and recording in one process, against the least that the same job can cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from statistics import median
from time import process_time

from sqlalchemy import insert, select

from schemas.cloudevents import CloudEvent, hash_event
from schemas.codec import Codec
from schemas.topics import business_topic
from services.events.incoming_event import TaggedEventRow
from services.events.sample_events import sample_events
from services.ledger import migrate, tables
from services.ledger.recording import record
from services.policy.model import Policy
from services.policy.tagging import tag
from services.storage.database import Database, open_database
from tests.benchmarks.environment import Stage
from tests.benchmarks.figures import Figure

_AT = datetime(2026, 1, 1, tzinfo=UTC)
_BATCH = 2_000
_QUICK = 20
"""Companies; each makes some thirty events."""
_FULL = 200


def components(stage: Stage) -> Iterator[Figure]:
    """Measure tagging against decoding alone, and recording against bare inserts of the same rows."""
    companies = stage.size(_QUICK, _FULL)
    yield from _measure_parts(stage.policy, stage.codec, companies=companies, runs=stage.runs)


def _measure_parts(policy: Policy, codec: Codec, *, companies: int, runs: int) -> Iterator[Figure]:
    events = list(sample_events(policy, _AT, seed=1, companies=companies))
    bodies = [(event, codec.encode(business_topic(event.type), event.data)) for event in events]

    def decoded() -> None:
        for event, body in bodies:
            codec.decode(business_topic(event.type), body)

    def tagged() -> None:
        for event, body in bodies:
            codec.decode(business_topic(event.type), body)
            tag(event, policy)

    yield Figure(
        name="tagging.cpu",
        value=_measure_microseconds(tagged, len(events), runs),
        unit="CPU µs an event: decode and tag",
        baseline=_measure_microseconds(decoded, len(events), runs),
        runs=runs,
    )
    arrivals = [arrival_of(event, policy) for event in events]
    yield Figure(
        name="recording.cpu",
        value=_measure_microseconds(
            lambda: _record_in_new_ledger(arrivals, policy), len(events), runs
        ),
        unit="CPU µs an event: into SQLite in memory",
        baseline=_measure_microseconds(_prepare_copy(arrivals, policy), len(events), runs),
        runs=runs,
    )


def _measure_microseconds(work: Callable[[], object], events: int, runs: int) -> float:
    spent = []
    for _ in range(runs):
        started = process_time()
        work()
        spent.append((process_time() - started) / events * 1e6)
    return median(spent)


def _record_in_new_ledger(arrivals: Sequence[TaggedEventRow], policy: Policy) -> None:
    with closing(_create_ledger()) as ledger:
        _record(ledger, arrivals, policy)


def _prepare_copy(arrivals: Sequence[TaggedEventRow], policy: Policy) -> Callable[[], None]:
    """Copy the same rows into the same tables, without any decision."""
    copied_tables = (tables.event, tables.record, tables.clock, tables.hanging)
    with closing(_create_ledger()) as ledger:
        _record(ledger, arrivals, policy)
        with ledger.transaction() as connection:
            rows = {
                table: [dict(row._mapping) for row in connection.execute(select(table))]
                for table in copied_tables
            }

    def copy() -> None:
        with closing(_create_ledger()) as ledger, ledger.transaction() as connection:
            for table, row in rows.items():
                connection.execute(insert(table), row)

    return copy


def _record(ledger: Database, arrivals: Sequence[TaggedEventRow], policy: Policy) -> None:
    for start in range(0, len(arrivals), _BATCH):
        with ledger.transaction() as connection:
            record(connection, arrivals[start : start + _BATCH], policy, _AT)


def _create_ledger() -> Database:
    ledger = open_database("sqlite://")
    migrate.create_schema(ledger)
    return ledger


def arrival_of(event: CloudEvent, policy: Policy) -> TaggedEventRow:
    """Return the event as the recorder gets it, tagged."""
    return TaggedEventRow(
        source=event.source,
        id=event.id,
        type=event.type,
        time=event.time,
        content_hash=hash_event(event),
        decision_fields=tag(event, policy).decision_fields,
        topic=business_topic(event.type).name,
        partition=0,
        offset=0,
    )
