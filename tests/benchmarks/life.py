"""The life of an erasure: what one record in one system costs from due to proven.

All roles are processes, on real Kafka and PostgreSQL with fsync; everything is signed and in the evidence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path
from time import sleep

from sqlalchemy import text

from services.app.wiring.required_topics import required_topics
from services.crypto.key_directory import KeyDirectory
from services.kafka.client import KafkaClient
from services.policy import loader
from services.policy.model import Policy
from services.storage.database import Database, open_database
from tests.benchmarks import load_fixtures
from tests.benchmarks.environment import Stage
from tests.benchmarks.figures import Figure, upper
from tests.benchmarks.load_fixtures import Kind, Load
from tests.benchmarks.roles import Role
from tests.benchmarks.systems import AcknowledgingSystems
from tests.benchmarks.traffic import wait_until

_POLICY = Path(__file__).parent / "life.yaml"
_ORDER = Kind(
    type="orders.order-placed",
    subject="consumer",
    fields={"order_id": "order-%n", "consumer_id": "%s"},
)
_ROLES = ("deleter", "acknowledgements")
_QUICK, _FULL, _WHOLE = 1_000, 6_000, 200_000
"""Subjects, each with one record in three systems."""
_START_SECONDS = 10.0
_AGE = timedelta(days=2 * 365)
_ROLES_US = 60.0
_BYTES = 300.0
_FACTS = (
    *("event", "record", "hanging", "clock", "act", "identifier", "claimant"),
    *("active_policy", "alembic_version", "position"),
)
"""Tables that do not grow with commands."""


def life(stage: Stage) -> Iterator[Figure]:
    """Measure processor time, commands and bytes for each record and system."""
    policy = loader.load(_POLICY)
    subjects = stage.size(_QUICK, _FULL, _WHOLE)
    due = subjects * len(policy.systems)
    bus = _open_bus(stage, policy)
    url = stage.postgres().fresh_database()
    keys = KeyDirectory(path=stage.directory / "life-keys")
    keys.create()
    for system in policy.systems:
        keys.trust(system, keys.create(system))
    with ExitStack() as stack:
        ledger = stack.enter_context(closing(open_database(url)))
        stage.migrate(ledger, policy)
        roles = _start_roles(stack, stage, url, keys)
        signers = {system: keys.signer(system) for system in policy.systems}
        systems = stack.enter_context(AcknowledgingSystems(stage.codec, bus, signers))
        sleep(_START_SECONDS)
        _add_subjects(ledger, subjects)
        empty = _measure_bytes(ledger)
        before = {name: role.used().cpu_seconds for name, role in roles.items()}
        server = stage.postgres().cpu_seconds()
        load = Load(
            kind=_ORDER,
            name="life",
            subjects=subjects,
            each=1,
            time=load_fixtures.now(ledger) - _AGE,
        )
        load_fixtures.insert(ledger, load, policy)
        wait_until(lambda: _count_proven(ledger) >= due, f"not all of {due} were proven", every=1.0)
        server = stage.postgres().cpu_seconds() - server
        spent = {name: role.used().cpu_seconds - before[name] for name, role in roles.items()}
        wait_until(lambda: _is_sealed(ledger), "the evidence is not sealed", every=0.5)
        load_fixtures.settle(ledger)
        used = {name: size - empty.get(name, 0) for name, size in _measure_bytes(ledger).items()}
    unit = f"µs for a record in a system, of {due:,}"
    yield Figure(
        name="life.cpu.roles",
        value=1e6 * sum(spent.values()) / due,
        unit=unit,
        reach=upper(_ROLES_US, subject="value"),
    )
    for name, seconds in spent.items():
        yield Figure(name=f"life.cpu.{name}", value=1e6 * seconds / due, unit=unit)
    yield Figure(name="life.cpu.postgres", value=1e6 * server / due, unit=unit)
    yield Figure(
        name="life.items", value=systems.records / systems.messages, unit="records a message"
    )
    yield Figure(
        name="life.bytes",
        value=sum(used.values()) / due,
        unit="bytes of journal and evidence for a record in a system",
        reach=upper(_BYTES, subject="value"),
    )
    for name, size in sorted(used.items(), key=lambda item: -item[1]):
        if size >= due:
            yield Figure(name=f"life.bytes.{name}", value=size / due, unit="of these bytes")


def _open_bus(stage: Stage, policy: Policy) -> KafkaClient:
    """Return the stage's Kafka, cleared, with the topics of the policy."""
    stage.kafka().clear()
    bus = KafkaClient(stage.kafka().bootstrap)
    bus.ensure_topics(required_topics(policy).all)
    return bus


def _start_roles(
    stack: ExitStack, stage: Stage, url: str, keys: KeyDirectory
) -> Mapping[str, Role]:
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": stage.kafka().bootstrap,
        "TERMIJN_KAFKA_GROUP": "life",
        "TERMIJN_LEDGER_URL": url,
        "TERMIJN_POLICY": str(_POLICY),
        "TERMIJN_DATA": str(stage.directory / "life"),
        "TERMIJN_COMMANDS_PER_HOUR": "0",
        "TERMIJN_SURGE_FACTOR": "0",
        "TERMIJN_RETRY_SECONDS": "3600",
        "TERMIJN_KEYS": str(keys.path),
    }
    return {
        name: stack.enter_context(Role(name, settings, stage.directory / f"life-{name}.log"))
        for name in _ROLES
    }


def _add_subjects(ledger: Database, subjects: int) -> None:
    """Add the subjects of the load, as a recorder does; their rows change with each command."""
    rows = text(
        "INSERT INTO subject (subject)"
        " SELECT 'consumer:life-' || n FROM generate_series(0, :last) n"
    )
    with ledger.transaction() as connection:
        connection.execute(rows, {"last": subjects - 1})
    load_fixtures.settle(ledger)


def _count_proven(ledger: Database) -> int:
    with ledger.transaction() as connection:
        return load_fixtures.count(
            connection,
            "command",
            "action = 'erase' AND state = 'erased'",
        )


def _is_sealed(ledger: Database) -> bool:
    with ledger.transaction() as connection:
        return load_fixtures.count(connection, "evidence_pending") == 0


def _measure_bytes(ledger: Database) -> Mapping[str, int]:
    """Return the bytes of every table and every index, except those of facts."""
    query = text(
        "SELECT relation.relname AS name, CASE relation.relkind WHEN 'r'"
        " THEN pg_table_size(relation.oid) ELSE pg_relation_size(relation.oid) END AS size"
        " FROM pg_class relation LEFT JOIN pg_index ON indexrelid = relation.oid"
        " JOIN pg_class owner ON owner.oid = coalesce(indrelid, relation.oid)"
        " WHERE relation.relkind IN ('r', 'i')"
        " AND relation.relnamespace = 'public'::regnamespace AND owner.relname <> ALL (:facts)"
    )
    with ledger.transaction() as connection:
        rows = connection.execute(query, {"facts": list(_FACTS)})
        return {row.name: row.size for row in rows}
