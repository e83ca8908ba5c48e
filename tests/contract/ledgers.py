"""Ledgers of the contract tests: to make and to empty them, and to do a deleter's work on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from types import MappingProxyType
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Connection, Row, select, text
from sqlalchemy import event as sqlalchemy_event

from services.deleter.acknowledgement import Acknowledgement, Checked, Status
from services.deleter.claim import claim_due
from services.deleter.command_batches import group_into_batches, lane_of
from services.deleter.dispatch import RetryPolicy, SentCommand, dispatch, lease
from services.deleter.message import CommandMessage, Fields
from services.deleter.paused_systems import PausedSystems
from services.deleter.sent_messages import SentMessage
from services.deleter.settlement import AcknowledgementResult, apply_acknowledgement
from services.kafka.record_metadata import RecordMetadata
from services.kafka.topic_state import Partition
from services.ledger import granting, migrate, tables
from services.ledger.recording import RecordingResult, record
from services.policy import loader
from services.policy.model import Policy
from services.storage.database import Database, open_database
from services.storage.database_roles import ALEMBIC, Role, group_name
from tests.batches import message_of
from tests.contract.event_builders import Event, arrival

T = TypeVar("T")
POLICY = loader.load()
_NUMBERS = count(1)


def new_ledger(url: str) -> Database:
    """Return an empty ledger with its tables; PostgreSQL does not sync commits to disk, for speed."""
    ledger = open_database(url)
    if not ledger.is_sqlite:
        with ledger.transaction() as connection:
            name = connection.execute(text("SELECT current_database()")).scalar_one()
            connection.execute(text(f'ALTER DATABASE "{name}" SET synchronous_commit = off'))
        ledger.engine.dispose()
    migrate.create_schema(ledger)
    if not ledger.is_sqlite:
        with ledger.transaction() as connection:
            connection.execute(text(f"CREATE TABLE {ALEMBIC} (version_num text)"))
            assert granting.apply_grants(connection) == ()
    return ledger


def run_as_role(ledger: Database, role: Role, work: Callable[[Connection], T]) -> T:
    """Do the work as that role, on PostgreSQL with the role's rights alone."""

    def limited(connection: Connection) -> T:
        if not ledger.is_sqlite:
            connection.execute(text(f"SET LOCAL ROLE {group_name(role)}"))
        return work(connection)

    return ledger.run_in_transaction(limited)


@contextmanager
def acting_as(ledger: Database, role: Role) -> Iterator[None]:
    """Do every transaction in the block as that role, on PostgreSQL with the role's rights alone."""

    def limit(connection: Connection) -> None:
        connection.exec_driver_sql(f"SET LOCAL ROLE {group_name(role)}")

    if ledger.is_sqlite:
        yield
        return
    sqlalchemy_event.listen(ledger.engine, "begin", limit)
    try:
        yield
    finally:
        sqlalchemy_event.remove(ledger.engine, "begin", limit)


def empty_database(ledger: Database) -> Database:
    """Delete every row of the ledger; DELETE, since TRUNCATE is slow on small tables."""
    with ledger.transaction() as connection:
        for table in tables.metadata.sorted_tables:
            connection.execute(table.delete())
    return ledger


def instant(text: str) -> datetime:
    """Return an instant, UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)


def record_events(
    ledger: Database,
    events: Iterable[Event],
    now: datetime | str,
    backfill: str | None = None,
    *,
    history: str | None = None,
    policy: Policy = POLICY,
) -> RecordingResult:
    """Record one batch; with `history` all of it was tagged as too old to be live."""
    arrivals = [arrival(event, policy, backfill, history=history) for event in events]
    at = instant(now) if isinstance(now, str) else now
    return run_as_role(
        ledger, "recorder", lambda connection: record(connection, arrivals, policy, at)
    )


Backup = Mapping[str, Sequence[Mapping[str, Any]]]
"""The rows of a ledger, by table."""


def back_up(ledger: Database) -> Backup:
    """Return everything that the ledger contains."""
    with ledger.transaction() as connection:
        return {
            table.name: [dict(row._mapping) for row in connection.execute(table.select())]
            for table in tables.metadata.sorted_tables
        }


def restore(ledger: Database, backup: Backup) -> None:
    """Put back what the ledger contained; what came since is lost."""
    empty_database(ledger)
    with ledger.transaction() as connection:
        for table in tables.metadata.sorted_tables:
            if rows := backup[table.name]:
                connection.execute(table.insert(), [dict(row) for row in rows])


class Aborted(Exception):
    """The crash of a test: raised inside a transaction, so that the database rolls it back."""


def roll_back(ledger: Database, work: Callable[[Connection], object]) -> None:
    """Do the work and roll it back, as when the process ends before the commit."""
    try:
        with ledger.transaction() as connection:
            work(connection)
            raise Aborted
    except Aborted:
        pass


class FakeBus:
    """A bus that keeps all commands that were sent; those that are alike share a message."""

    def __init__(self) -> None:
        self.sent: list[CommandMessage] = []
        self.places: list[tuple[RecordMetadata, list[Fields]]] = []
        """Each message: where it is, and its commands."""

    def send(self, commands: Sequence[CommandMessage]) -> Sequence[RecordMetadata]:
        """Accept all messages as delivered."""
        self.sent.extend(commands)
        places: dict[int, RecordMetadata] = {}
        for batch in group_into_batches(commands):
            topic = f"retention.commands.{batch.system}.v1"
            place = RecordMetadata(topic=topic, partition=0, offset=len(self.places))
            places |= dict.fromkeys(batch.positions, place)
            self.places.append((place, [command.value for command in batch.commands]))
        return [places[position] for position in range(len(commands))]

    def end_offsets(self) -> Mapping[Partition, int]:
        """Return the end of each topic that has a message."""
        return {(place.topic, place.partition): place.offset + 1 for place, _ in self.places}

    def read(self, offsets: Mapping[Partition, Sequence[range]]) -> Iterator[Sequence[SentMessage]]:
        """Yield the messages at these offsets, one at a time."""
        for place, commands in self.places:
            ranges = offsets.get((place.topic, place.partition), ())
            if any(place.offset in part for part in ranges):
                yield [SentMessage(place=place, commands=commands)]


def visitors_of_a_lane(number: int) -> list[str]:
    """Return the ids of so many visitors whose commands may share a message."""
    lane = lane_of("visitor:1")
    ids = (str(id_) for id_ in count(1) if lane_of(f"visitor:{id_}") == lane)
    return [next(ids) for _ in range(number)]


def claim_all(
    ledger: Database, now: datetime | str, limit: int = 500, policy: Policy = POLICY
) -> list[UUID]:
    """Claim until nothing is due, and return the ids of the commands."""
    at = instant(now) if isinstance(now, str) else now
    command_ids: list[UUID] = []
    while True:
        claimed = run_as_role(
            ledger, "deleter", lambda connection: claim_due(connection, policy, at, limit=limit)
        )
        command_ids.extend(claimed.commands)
        if not claimed.scanned:
            return command_ids


def send_due(
    ledger: Database,
    bus: FakeBus,
    now: datetime | str,
    limit: int = 10_000,
    policy: Policy = POLICY,
) -> list[SentCommand]:
    """Send everything that is due to be sent by now, once each."""
    at = instant(now) if isinstance(now, str) else now
    leased = run_as_role(
        ledger, "deleter", lambda connection: lease(connection, at, PausedSystems(), limit=limit)
    )
    return run_as_role(
        ledger,
        "deleter",
        lambda connection: dispatch(connection, leased, bus, policy, at, RetryPolicy()),
    )


def acknowledge(
    ledger: Database,
    command: UUID,
    status: Status,
    now: datetime | str,
    id: str | None = None,
    counts: Mapping[str, int] = MappingProxyType({}),
    policy: Policy = POLICY,
    checked: Checked | None = None,
) -> AcknowledgementResult:
    """Record the acknowledgement of the command's system."""
    at = instant(now) if isinstance(now, str) else now
    (row,) = select_rows(ledger, tables.command, command_id=command)
    acknowledgement = Acknowledgement(
        command_id=command,
        system=row.system,
        attempt=max(row.attempt, 1),
        status=status,
        counts=counts,
        ground=None,
        at=at,
        checked=checked,
    )
    message = message_of(acknowledgement, id or f"a{next(_NUMBERS)}")
    return run_as_role(
        ledger,
        "acknowledgements",
        lambda connection: apply_acknowledgement(connection, message, policy, at),
    )


def select_rows(ledger: Database, table: Any, **values: object) -> list[Row[Any]]:
    """Return the rows of a table in which these columns have these values, by primary key."""
    query = select(table).order_by(*table.primary_key)
    for name, value in values.items():
        query = query.where(table.c[name] == value)
    with ledger.transaction() as connection:
        return list(connection.execute(query))


def list_commands(ledger: Database, **values: object) -> list[tuple[str, str, str]]:
    """Return system, action and state of each command, sorted."""
    command_rows = select_rows(ledger, tables.command, **values)
    return sorted((row.system, row.action, row.state) for row in command_rows)


def find_command(ledger: Database, **values: object) -> UUID:
    """Return the one command with these values."""
    (row,) = select_rows(ledger, tables.command, **values)
    identity: UUID = row.command_id
    return identity


def load_facts(ledger: Database) -> Mapping[str, list[tuple[Any, ...]]]:
    """Return the ledger's facts, which do not depend on the order of arrival or on commands."""
    ways = {
        tables.event: ("event_id", "source", "id", "type", "time", "content_hash", "deciding"),
        tables.record: ("record_id", "event_id", "subject"),
        tables.hanging: ("clock_id", "record_id"),
        tables.identifier: ("key_id", "subject", "events"),
        tables.claimant: ("key_id", "subject", "events"),
        tables.key_conflict: ("key_id", "name", "value"),
        tables.clock: (
            "clock_id",
            "clock",
            "key",
            "parent_id",
            "opened_at",
            "ended",
            "moved_at",
            "moved_source",
            "moved_id",
            "anchor_at",
        ),
    }
    with ledger.transaction() as connection:
        return {
            table.name: [
                tuple(row)
                for row in connection.execute(
                    select(*(table.c[name] for name in names)).order_by(*table.primary_key)
                )
            ]
            for table, names in ways.items()
        }


def later(at: str, **by: float) -> datetime:
    """Return the instant so much later, such as `later("2024-01-01T00:00:00Z", hours=1)`."""
    return instant(at) + timedelta(**by)
