"""Memory: the resident memory of each role while events pass, which should be flat."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from time import sleep

from schemas.cloudevents import CloudEvent
from services.crypto.key_directory import KeyDirectory
from services.events.publisher import Publisher
from services.kafka.client import KafkaClient
from services.ledger import backfills, migrate
from services.storage.database import Database, database_now, open_database
from tests.benchmarks import deleter_driver, load_fixtures
from tests.benchmarks.environment import Stage
from tests.benchmarks.figures import Figure, upper
from tests.benchmarks.roles import Role
from tests.benchmarks.systems import AcknowledgingSystems
from tests.benchmarks.traffic import wait_until

_ROLES = ("tagger", "recorder", "deleter", "acknowledgements")
_QUICK = (2_000, 6_000)
_FULL = (100_000, 500_000)
_WHOLE = (100_000, 1_000_000)
_OVERDUE = 10
"""One of so many events is due at once, and is commanded and acknowledged."""
_AT_ONCE = 5_000
_SETTLE_SECONDS = 1.0
_SYSTEM = "website"
_FLAT = 1.1


def memory(stage: Stage) -> Iterator[Figure]:
    """Measure the resident memory of each role after some events, and after many more."""
    first, last = stage.size(_QUICK, _FULL, _WHOLE)
    bus = deleter_driver.open_bus(stage)
    url = stage.postgres().fresh_database()
    keys = KeyDirectory(path=stage.directory / "memory-keys")
    keys.create()
    keys.trust(_SYSTEM, keys.create(_SYSTEM))
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": stage.kafka().bootstrap,
        "TERMIJN_KAFKA_GROUP": "memory",
        "TERMIJN_LEDGER_URL": url,
        "TERMIJN_DATA": str(stage.directory / "memory"),
        "TERMIJN_COMMANDS_PER_HOUR": "0",
        "TERMIJN_SURGE_FACTOR": "0",
        "TERMIJN_KEYS": str(keys.path),
    }
    with ExitStack() as stack:
        ledger = stack.enter_context(closing(open_database(url)))
        migrate.migrate(ledger)
        roles = {
            name: stack.enter_context(Role(name, settings, stage.directory / f"memory-{name}.log"))
            for name in _ROLES
        }
        stack.enter_context(AcknowledgingSystems(stage.codec, bus, {_SYSTEM: keys.signer(_SYSTEM)}))
        _process_events(stage, bus, ledger, 0, first)
        before = {name: role.used().resident_bytes for name, role in roles.items()}
        _process_events(stage, bus, ledger, first, last)
        for name, role in roles.items():
            yield Figure(
                name=f"memory.{name}",
                value=role.used().resident_bytes / 2**20,
                unit=f"MiB resident after {last:,} events, against after {first:,}",
                baseline=before[name] / 2**20,
                reach=upper(_FLAT),
            )


def _process_events(stage: Stage, bus: KafkaClient, ledger: Database, start: int, end: int) -> None:
    """Publish events, and wait until all are recorded and all that is due is acknowledged."""
    publisher = Publisher(policy=stage.policy, codec=stage.codec, sender=bus.open_producer())
    sender = bus.open_producer()
    name = f"memory-{start}"
    for part in range(start, end, _AT_ONCE):
        numbers = range(part, min(part + _AT_ONCE, end))
        sender.send([publisher.build_message(_make_feedback(number, name)) for number in numbers])
    wait_until(
        _make_count_check(ledger, "event", "true", end),
        f"not all of {end} events were recorded",
        every=1.0,
    )
    ledger.run_in_transaction(
        lambda connection: backfills.release(
            connection, name, "benchmark", database_now(connection)
        )
    )
    due = -(-end // _OVERDUE)
    wait_until(
        _make_count_check(
            ledger, "command", "action = 'erase' AND state IN ('acknowledged', 'erased')", due
        ),
        f"not all of {due} commands were acknowledged",
        every=1.0,
    )
    sleep(_SETTLE_SECONDS)


def _make_count_check(ledger: Database, table: str, where: str, wanted: int) -> Callable[[], bool]:
    def counted() -> bool:
        with ledger.transaction() as connection:
            return load_fixtures.count(connection, table, where) >= wanted

    return counted


def _make_feedback(number: int, name: str) -> CloudEvent:
    """Return a visitor's feedback of now, or of so long ago that it is overdue: an import publishes it."""
    old = number % _OVERDUE == 0
    age = timedelta(days=400 if old else 1)
    return CloudEvent(
        id=f"memory-{number}",
        source="urn:termijn:benchmark",
        type="website.feedback-given",
        time=datetime.now(UTC) - age,
        data={"feedback_id": f"F{number}", "visitor_id": f"V{number}"},
        backfill=name if old else None,
    )
