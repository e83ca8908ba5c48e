"""Backlogs: ledgers on PostgreSQL with many records that become due when a benchmark needs it.

Events and records are made by the database itself, a million in seconds; the retention clocks that they
depend on are opened and ended by production code. All times follow from the policy.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from services.ledger import clocks
from services.ledger.clocks import StoredClockChange
from services.policy.check_times import event_check_times
from services.policy.ids import ClockRef, clock_id
from services.policy.model import Policy
from services.policy.retention_windows import check_times
from services.policy.tagged_event import ClockKey, TaggedEvent
from services.policy.tagging import tag
from services.storage.database import Database, database_now, open_database
from tests.benchmarks.environment import Stage

SOURCE = "urn:termijn:benchmark"
_NUMBER, _OWNER = "%n", "%s"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    id: str
    source: str
    type: str
    time: datetime
    data: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Events of one type that differ only in their number and their subject's number."""

    type: str
    subject: str
    """The subject's kind."""
    fields: Mapping[str, str]
    clock: str | None = None
    """The clock, keyed by the subject, on which their records hang."""

    def tagged(self, at: datetime, policy: Policy) -> tuple[TaggedEvent, str]:
        """Return one of the events at that time, as the policy sees it, with its subject."""
        event = _Sample(id="1", source=SOURCE, type=self.type, time=at, data=self.fields)
        tagged_event = tag(event, policy)
        return tagged_event, tagged_event.holdings[0].subject


FEEDBACK = Kind(
    type="website.feedback-given",
    subject="visitor",
    fields={"feedback_id": _NUMBER, "visitor_id": _OWNER},
)
"""Due a year later in one system, without a clock."""
INVOICE = Kind(
    type="billing.invoice-issued",
    subject="customer",
    fields={"invoice_id": _NUMBER, "customer_id": _OWNER},
    clock="relationship",
)
"""Due in one system two years after its customer's end; in another after the book year and seven more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Records to be made: `each` of one kind for every subject, `apart` from each other in time.

    The first is from `time`. Names begin with `name`, which distinguishes the loads of one ledger.
    """

    kind: Kind
    name: str
    subjects: int
    each: int
    time: datetime
    apart: timedelta = timedelta(0)

    @property
    def records(self) -> int:
        """Return the number of records."""
        return self.subjects * self.each


@contextmanager
def fresh_ledger(stage: Stage) -> Iterator[Database]:
    """Make an empty ledger in a database of its own, fsync on, with the stage's policy active."""
    ledger = open_database(stage.postgres().fresh_database())
    try:
        stage.migrate(ledger)
        yield ledger
    finally:
        ledger.close()


def now(ledger: Database) -> datetime:
    """Return the database's time, UTC."""
    with ledger.transaction() as connection:
        return database_now(connection)


def time_when_due(kind: Kind, due: datetime, policy: Policy) -> datetime:
    """Return the time of an event of this kind whose record is first due, without a clock, at `due`."""

    def wake(at: datetime) -> datetime:
        return event_check_times(*kind.tagged(at, policy), policy)[0]

    return _find_time_before(due, wake)


def end_when_due(clock: str, due: datetime, policy: Policy) -> datetime:
    """Return when a clock must end so that its first check time is at `due`."""
    return _find_time_before(due, lambda at: check_times(clock, at, policy)[0])


def fill(ledger: Database, load: Load, policy: Policy) -> None:
    """Insert the load, and leave the database as if the load had always been there."""
    insert(ledger, load, policy)
    settle(ledger)


def insert(ledger: Database, load: Load, policy: Policy) -> None:
    """Make the records with their events, and their open clocks if they depend on any."""
    tagged, subject = load.kind.tagged(load.time, policy)
    wake = min(event_check_times(tagged, subject, policy), default=None)
    with ledger.transaction() as connection:
        connection.execute(
            text(_RECORDS),
            {
                "name": load.name,
                "source": SOURCE,
                "type": load.kind.type,
                "subject": f"{load.kind.subject}:",
                "deciding": json.dumps(load.kind.fields),
                "each": load.each,
                "last": load.records - 1,
                "time": load.time,
                "due": wake,
                "apart": load.apart,
                "topic": f"{load.kind.type}.v1",
            },
        )
        if load.kind.clock:
            keys = (clock_of(load, number) for number in range(load.subjects))
            opened = [(ClockRef(clock_id(key), key), load.time) for key in keys]
            clocks.merge_changes(connection, [], opened, policy)
            connection.execute(
                text(_HANGING),
                {"clock": load.kind.clock, "subject": f"{load.kind.subject}:{load.name}-%"},
            )


def end(ledger: Database, load: Load, at: datetime, policy: Policy) -> None:
    """End the clocks of all subjects of a load."""
    keys = [clock_of(load, number) for number in range(load.subjects)]
    moves = [
        StoredClockChange(
            clock=ClockRef(clock_id(key), key),
            move="end",
            time=at,
            source=SOURCE,
            id=f"{load.name}-{number}-end",
            backfill=None,
        )
        for number, key in enumerate(keys)
    ]
    ledger.run_in_transaction(
        lambda connection: clocks.merge_changes(connection, moves, [], policy)
    )


def clock_of(load: Load, number: int) -> ClockKey:
    """Return the clock of one subject of a load, numbered from 0."""
    return ClockKey(clock=str(load.kind.clock), key=f"{load.name}-{number}")


def settle(ledger: Database) -> None:
    """Vacuum and checkpoint, so that no later measurement pays for it."""
    engine = ledger.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("VACUUM ANALYZE"))
        connection.execute(text("CHECKPOINT"))


def count(connection: Connection, table: str, where: str = "true") -> int:
    """Return the number of rows of a table."""
    return int(connection.execute(text(f"SELECT count(*) FROM {table} WHERE {where}")).scalar_one())


def _find_time_before(due: datetime, wake: Callable[[datetime], datetime]) -> datetime:
    at = due - timedelta(days=365)
    for _ in range(5):  # a calendar's terms differ by days: each step gets closer
        at += due - wake(at)
    if wake(at) != due:
        raise ValueError(f"nothing is due at {due.isoformat()}")
    return at


_RECORDS = """
WITH made AS (
  INSERT INTO event (event_id, source, id, type, time, content_hash, deciding, topic, partition, "offset")
  SELECT CAST(md5(:name || 'event' || n) AS uuid), :source, :name || '-' || n, :type,
         CAST(:time AS timestamptz) + n * CAST(:apart AS interval), '',
         replace(replace(:deciding, '%n', :name || '-' || n), '%s', :name || '-' || n / :each),
         :topic, 0, n
  FROM generate_series(0, :last) n
)
INSERT INTO record (record_id, event_id, subject, next_due)
SELECT CAST(md5(:name || 'record' || n) AS uuid), CAST(md5(:name || 'event' || n) AS uuid),
       :subject || :name || '-' || n / :each,
       CAST(:due AS timestamptz) + n * CAST(:apart AS interval)
FROM generate_series(0, :last) n
"""
_HANGING = """
INSERT INTO hanging (clock_id, record_id)
SELECT clock.clock_id, record.record_id
FROM record JOIN clock ON clock.clock = :clock AND clock.key = split_part(record.subject, ':', 2)
WHERE record.subject LIKE :subject
"""
