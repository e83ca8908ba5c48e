"""Two stores that run GDPRBench's operations: the ledger, and a plain table tuned for them.

The plain table has a column for each piece of metadata, B-trees on time to live and user, a GIN index
on the array of purposes, and a log of what was erased. In the ledger purposes follow from an event's
type and the policy, a user's terms from one clock, and the log is the outbox of commands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import md5, sha256
from uuid import UUID

from sqlalchemy import Connection, text

from services.deleter.claim import claim_due
from services.events.incoming_event import TaggedEventRow
from services.ledger.recording import record
from services.policy.ids import clock_id
from services.policy.model import Policy
from services.policy.retention_windows import check_times
from tests.benchmarks.load_fixtures import SOURCE, Load, clock_of
from tests.members import MEMBERS

Metadata = list[tuple[str, tuple[str, ...]]]
"""Records by key, each with its purposes, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A record that existed from the start."""

    load: Load
    number: int

    def __str__(self) -> str:
        return f"{self.load.name}-{self.number}"

    def id(self, what: str) -> UUID:
        """Return its id as an event, or as a record."""
        name = f"{self.load.name}{what}{self.number}"
        return UUID(bytes=md5(name.encode(), usedforsecurity=False).digest())


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """The subject of some records, numbered from 0 in their load."""

    load: Load
    number: int

    @property
    def subject(self) -> str:
        """Return the subject as the ledger writes it."""
        return f"{self.load.kind.subject}:{self.load.name}-{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedUser:
    """A record to be created: an invoice of a user."""

    number: int
    user: User
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedUser:
    """New terms for a user's records: they count from `at`."""

    user: User
    at: datetime


class LedgerStore:
    """The ledger, through production's functions and tables."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._purposes = {
            name: tuple(sorted({holding.purpose for holding in kind.holdings}))
            for name, kind in policy.events.items()
        }

    def read_data(self, connection: Connection, key: Key) -> str:
        """Return the decision fields of a record."""
        query = text("SELECT deciding FROM event WHERE event_id = :event")
        return str(connection.execute(query, {"event": key.id("event")}).scalar_one())

    def by_user(self, connection: Connection, user: User) -> Metadata:
        """Return the metadata of a user's records that are not erased."""
        rows = connection.execute(
            text(
                "SELECT event.id, event.type FROM hanging JOIN record USING (record_id)"
                f" JOIN event USING (event_id) WHERE clock_id = :clock AND {_KEPT}"
            ),
            {"clock": clock_id(clock_of(user.load, user.number))},
        )
        return sorted((row.id, self._purposes[row.type]) for row in rows)

    def by_purpose(self, connection: Connection, purpose: str) -> Metadata:
        """Return the metadata of the records that are held for a purpose and not erased."""
        types = [name for name, purposes in self._purposes.items() if purpose in purposes]
        rows = connection.execute(
            text(
                "SELECT event.id, event.type FROM event JOIN record USING (event_id)"
                f" WHERE event.type = ANY(:types) AND {_KEPT}"
            ),
            {"types": types},
        )
        return sorted((row.id, self._purposes[row.type]) for row in rows)

    def take(
        self, connection: Connection, creations: Sequence[CreatedUser], moves: Sequence[ChangedUser]
    ) -> None:
        """Record events in one batch as the recorder does."""
        arrivals = [
            self._arrival(
                "billing.invoice-issued",
                f"new-{creation.number}",
                creation.at,
                {
                    "invoice_id": f"new-{creation.number}",
                    "customer_id": creation.user.subject.partition(":")[2],
                },
            )
            for creation in creations
        ]
        for move in moves:
            name = move.user.subject.partition(":")[2]
            kind, field = _ENDS[move.user.load.kind.subject]
            arrivals.append(
                self._arrival(kind, f"{name}-{move.at.isoformat()}", move.at, {field: name})
            )
        latest = max((arrival.time for arrival in arrivals), default=None)
        if latest:
            record(connection, arrivals, self._policy, latest)

    def _arrival(
        self, kind: str, id_: str, at: datetime, deciding: dict[str, str]
    ) -> TaggedEventRow:
        return TaggedEventRow(
            source=SOURCE,
            id=id_,
            type=kind,
            time=at,
            content_hash=sha256(id_.encode()).digest(),
            decision_fields=deciding,
            topic=f"{kind}.v1",
            partition=0,
            offset=0,
        )

    def erase_due(self, connection: Connection, now: datetime) -> None:
        """Erase what is due: claim it, with the command to its system in the outbox."""
        while claim_due(connection, self._policy, now, limit=2_000).more:
            pass

    def log(self, connection: Connection, start: datetime, end: datetime) -> list[str]:
        """Return the keys of the records that were erased in some time."""
        rows = connection.execute(
            text(
                f"SELECT event.id FROM command JOIN {MEMBERS} member USING (command_id)"
                " JOIN record ON record.record_id = member.record_id JOIN event USING (event_id)"
                " WHERE created_at >= :start AND created_at < :end AND action = 'erase'"
            ),
            {"start": start, "end": end},
        )
        return sorted(row.id for row in rows)

    def is_erased(self, connection: Connection, key: Key) -> bool:
        """Return whether the record was erased, by the outbox."""
        query = text(
            f"SELECT 1 FROM {MEMBERS} member WHERE live AND step = 'erase' AND record_id = :record"
        )
        return connection.execute(query, {"record": key.id("record")}).first() is not None

    def terms(self, connection: Connection, user: User) -> datetime | None:
        """Return when the user's records are due next, by their clock."""
        query = text("SELECT next_due FROM clock WHERE clock_id = :clock")
        result: datetime | None = connection.execute(
            query, {"clock": clock_id(clock_of(user.load, user.number))}
        ).scalar_one()
        return result


class PlainStore:
    """One table with indexes."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def prepare(self, connection: Connection, ledger: LedgerStore) -> None:
        """Make the table from the events and records in the same database."""
        for statement in _PLAIN:
            connection.execute(text(statement))
        for kind, purposes in ledger._purposes.items():  # the same purposes as the policy's
            connection.execute(
                text("UPDATE plain SET purposes = :purposes WHERE type = :type"),
                {"purposes": list(purposes), "type": kind},
            )
        for statement in _INDEXES:
            connection.execute(text(statement))

    def read_data(self, connection: Connection, key: Key) -> str:
        """Return the data of a record."""
        query = text("SELECT data FROM plain WHERE key = :key")
        return str(connection.execute(query, {"key": str(key)}).scalar_one())

    def by_user(self, connection: Connection, user: User) -> Metadata:
        """Return the metadata of a user's records."""
        query = text("SELECT key, purposes FROM plain WHERE usr = :user")
        rows = connection.execute(query, {"user": user.subject})
        return sorted((row.key, tuple(row.purposes)) for row in rows)

    def by_purpose(self, connection: Connection, purpose: str) -> Metadata:
        """Return the metadata of the records held for a purpose."""
        query = text("SELECT key, purposes FROM plain WHERE purposes @> ARRAY[:purpose]")
        rows = connection.execute(query, {"purpose": purpose})
        return sorted((row.key, tuple(row.purposes)) for row in rows)

    def take(
        self, connection: Connection, creations: Sequence[CreatedUser], moves: Sequence[ChangedUser]
    ) -> None:
        """Write the rows in one statement, and one UPDATE a user."""
        if creations:
            connection.execute(
                text(
                    "INSERT INTO plain (key, usr, type, purposes, ttl, time, data)"
                    " VALUES (:key, :usr, 'billing.invoice-issued', :purposes, NULL, :time, :data)"
                ),
                [
                    {
                        "key": f"new-{creation.number}",
                        "usr": creation.user.subject,
                        "purposes": ["legal_compliance", "service_delivery"],
                        "time": creation.at,
                        "data": f'{{"invoice_id": "new-{creation.number}"}}',
                    }
                    for creation in creations
                ],
            )
        if moves:
            connection.execute(
                text("UPDATE plain SET ttl = :ttl WHERE usr = :usr"),
                [
                    {"ttl": self._first_due(move), "usr": move.user.subject}
                    for move in sorted(moves, key=lambda user: user.at)
                ],
            )

    def _first_due(self, move: ChangedUser) -> datetime:
        return check_times(str(move.user.load.kind.clock), move.at, self._policy)[0]

    def erase_due(self, connection: Connection, now: datetime) -> None:
        """Delete what has reached its term, and log each key."""
        connection.execute(
            text(
                "WITH gone AS (DELETE FROM plain WHERE ttl <= :now RETURNING key)"
                " INSERT INTO erased (key, at) SELECT key, :now FROM gone"
            ),
            {"now": now},
        )

    def log(self, connection: Connection, start: datetime, end: datetime) -> list[str]:
        """Return the keys that were erased in some time."""
        query = text("SELECT key FROM erased WHERE at >= :start AND at < :end")
        return sorted(row.key for row in connection.execute(query, {"start": start, "end": end}))

    def is_erased(self, connection: Connection, key: Key) -> bool:
        """Return whether the record is in the log and not in the table."""
        query = text(
            "SELECT EXISTS (SELECT FROM erased WHERE key = :key)"
            " AND NOT EXISTS (SELECT FROM plain WHERE key = :key)"
        )
        return bool(connection.execute(query, {"key": str(key)}).scalar_one())

    def terms(self, connection: Connection, user: User) -> datetime | None:
        """Return when the user's records are due, which is the same in all their rows."""
        query = text("SELECT DISTINCT ttl FROM plain WHERE usr = :user")
        result: datetime | None = connection.execute(query, {"user": user.subject}).scalar_one()
        return result


_KEPT = (
    f"NOT EXISTS (SELECT FROM {MEMBERS} member WHERE member.record_id = record.record_id"
    " AND live AND step = 'erase')"
)
_ENDS = {
    "customer": ("customers.customer-terminated", "customer_id"),
    "prospect": ("acquisition.lead-contacted", "prospect_id"),
}
_PLAIN = (
    "CREATE TABLE erased (key text NOT NULL, at timestamptz NOT NULL)",
    "CREATE TABLE plain AS SELECT event.id AS key, subject AS usr, type, NULL::text[] AS purposes,"
    " CASE WHEN type = 'website.feedback-given' THEN next_due END AS ttl, time, deciding AS data"
    " FROM record JOIN event USING (event_id)",
)
_INDEXES = (
    "ALTER TABLE plain ADD PRIMARY KEY (key)",
    "CREATE INDEX plain_ttl ON plain (ttl)",
    "CREATE INDEX plain_usr ON plain (usr)",
    "CREATE INDEX plain_purposes ON plain USING gin (purposes)",
    "CREATE INDEX erased_at ON erased (at)",
    "CREATE INDEX erased_key ON erased (key)",
)
