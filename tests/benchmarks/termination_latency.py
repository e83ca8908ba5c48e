"""A customer with very many records ends, and is reinstated while the deleter erases them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from time import monotonic, perf_counter, sleep

from sqlalchemy import text

from services.deleter.claim import MAX_RECORDS_PER_COMMAND
from services.events.incoming_event import TaggedEventRow
from services.ledger.recording import record
from services.storage.database import Database, database_now
from tests.benchmarks import deleter_driver, load_fixtures
from tests.benchmarks.environment import Stage
from tests.benchmarks.figures import Figure, lower, upper
from tests.benchmarks.load_fixtures import FEEDBACK, INVOICE, SOURCE, Load
from tests.benchmarks.roles import Role

_QUICK = 50_000
_FULL = 500_000
_WHOLE = 1_000_000
_AGO = timedelta(days=1_000)
_SOON = timedelta(seconds=7)
"""Time enough for a deleter to start, which is not what is measured."""
_OTHERS_APART = timedelta(milliseconds=250)
_WARM, _NEARLY = 0.1, 0.5
"""Of the records: where memory is looked at first, and where the customer comes back."""
_CUSTOMER = "big-0"
_WARM_UPS = 3
_STILL_SECONDS = 2.0
_PATIENCE_SECONDS = 600.0
_LOOK_SECONDS = 0.02


def termination_latency(stage: Stage) -> Iterator[Figure]:
    """Measure a customer's end, the first command when due, the drain, and a reinstatement midway."""
    yield from terminate(stage, records=stage.size(_QUICK, _FULL, _WHOLE))


def terminate(stage: Stage, *, records: int) -> Iterator[Figure]:
    """Measure all figures of one customer's end."""
    deleter_driver.open_bus(stage)
    with load_fixtures.fresh_ledger(stage) as ledger:
        joined = load_fixtures.now(ledger) - _AGO
        load = Load(kind=INVOICE, name="big", subjects=1, each=records, time=joined)
        load_fixtures.fill(ledger, load, stage.policy)
        updated = _measure_update(ledger)
        due = load_fixtures.now(ledger) + _SOON
        ended = load_fixtures.end_when_due("relationship", due, stage.policy)
        for _ in range(_WARM_UPS):  # a recorder has recorded before
            _record_event(stage, ledger, "customers.customer-terminated", ended, "another")
            _record_event(stage, ledger, "customers.customer-reinstated", ended, "another")
        began = perf_counter()
        _record_event(stage, ledger, "customers.customer-terminated", ended)
        yield Figure(
            name="terminate.move",
            value=updated,
            unit=f"s: an UPDATE of {records:,} rows against the move of their clock",
            baseline=perf_counter() - began,
            reach=lower(100),
        )
        _add_other_subjects(stage, ledger, due)
        with _deleter(stage, ledger) as role:
            yield from _drain(stage, ledger, role, load, due)


def _drain(
    stage: Stage, ledger: Database, role: Role, load: Load, due: datetime
) -> Iterator[Figure]:
    _wait_until(role, lambda: _count_sent(ledger) > 0)
    yield Figure(
        name="terminate.first",
        value=(load_fixtures.now(ledger) - due).total_seconds(),
        unit="s from the instant due until a first command is out",
        reach=upper(1, subject="value"),
    )
    _wait_until(role, lambda: _count_sent(ledger) >= load.records * _WARM)
    warm = role.used().resident_bytes
    _wait_until(role, lambda: _count_sent(ledger) >= load.records * _NEARLY)
    late = role.used().resident_bytes
    _record_event(stage, ledger, "customers.customer-reinstated", load_fixtures.now(ledger))
    stopped = load_fixtures.now(ledger)
    sleep(_STILL_SECONDS)
    yield Figure(
        name="terminate.rss",
        value=late / 2**20,
        unit=f"MiB: the deleter at {_NEARLY:.0%} of {load.records:,} records against {_WARM:.0%}",
        baseline=warm / 2**20,
        reach=upper(1.1),
    )
    yield Figure(
        name="terminate.others",
        value=_longest_wait(ledger, stopped),
        unit="s: the longest that another subject's row waited meanwhile",
        reach=upper(5, subject="value"),
    )
    yield Figure(
        name="terminate.stopped",
        value=_count_erasable(ledger, stopped),
        unit="erasures of the customer's records that left after the reinstatement",
        reach=upper(500, subject="value"),
    )
    if _count_sent(ledger) >= load.records:
        raise RuntimeError("everything was sent before the reinstatement")


def _deleter(stage: Stage, ledger: Database) -> Role:
    data = stage.directory / "deleter"
    data.mkdir(exist_ok=True)
    return Role(
        "deleter",
        {
            "KAFKA_BOOTSTRAP_SERVERS": stage.kafka().bootstrap,
            "TERMIJN_LEDGER_URL": ledger.engine.url.render_as_string(hide_password=False),
            "TERMIJN_DATA": str(data),
            "TERMIJN_COMMANDS_PER_HOUR": "0",
            "TERMIJN_SURGE_FACTOR": "0",
        },
        data / "log",
    )


def _add_other_subjects(stage: Stage, ledger: Database, due: datetime) -> None:
    """Make rows of other subjects for some minutes, four a second from a second after the customer's."""
    at = load_fixtures.time_when_due(FEEDBACK, due + timedelta(seconds=1), stage.policy)
    load = Load(kind=FEEDBACK, name="other", subjects=1_000, each=1, time=at, apart=_OTHERS_APART)
    load_fixtures.insert(ledger, load, stage.policy)


def _measure_update(ledger: Database) -> float:
    """Return the seconds that a table without clocks needs to give each row a new term."""
    with ledger.transaction() as connection:
        for statement in (
            "CREATE TABLE plain AS SELECT record_id, subject, next_due FROM record",
            "ALTER TABLE plain ADD PRIMARY KEY (record_id)",
            "CREATE INDEX plain_subject ON plain (subject)",
            "CREATE INDEX plain_due ON plain (next_due)",
        ):
            connection.execute(text(statement))
    load_fixtures.settle(ledger)
    began = perf_counter()
    with ledger.transaction() as connection:
        connection.execute(
            text("UPDATE plain SET next_due = next_due + interval '1 day' WHERE subject = :its"),
            {"its": "customer:big-0"},
        )
    seconds = perf_counter() - began
    with ledger.transaction() as connection:
        connection.execute(text("DROP TABLE plain"))
    load_fixtures.settle(ledger)
    return seconds


def _record_event(
    stage: Stage, ledger: Database, event_type: str, at: datetime, customer: str = _CUSTOMER
) -> None:
    """Record one event of a customer, as the recorder does; a repeated event is a duplicate."""
    arrival = TaggedEventRow(
        source=SOURCE,
        id=f"{customer}-{event_type}",
        type=event_type,
        time=at,
        content_hash=sha256(event_type.encode()).digest(),
        decision_fields={"customer_id": customer},
        topic=f"{event_type}.v1",
        partition=0,
        offset=0,
    )
    ledger.run_in_transaction(lambda c: record(c, [arrival], stage.policy, database_now(c)))


def _wait_until(role: Role, done: Callable[[], bool]) -> None:
    deadline = monotonic() + _PATIENCE_SECONDS
    while not done():
        if not role.alive or monotonic() > deadline:
            raise RuntimeError(f"the deleter stands still; see {role.log.read_text()[-2_000:]}")
        sleep(_LOOK_SECONDS)


def _count_sent(ledger: Database) -> int:
    """Return how many of the customer's records are in commands that were sent."""
    return _count_erasable(ledger, datetime.min.replace(tzinfo=UTC))


def _count_erasable(ledger: Database, after: datetime) -> int:
    """Return the most records that the erasures sent after an instant can contain."""
    query = text(
        "SELECT count(*) FROM message JOIN command USING (message_id)"
        " WHERE subject = 'customer:big-0' AND command.action = 'erase' AND message.at > :after"
    )
    with ledger.transaction() as connection:
        commands = connection.execute(query, {"after": after}).scalar_one()
    return int(commands) * MAX_RECORDS_PER_COMMAND


def _longest_wait(ledger: Database, until: datetime) -> float:
    """Return the other subjects' longest wait, s; what is due but not sent has waited until then."""
    query = text(
        "SELECT max(waited) FROM ("
        " SELECT coalesce(first_sent_at, :until) - due_at AS waited FROM command"
        "  WHERE subject LIKE 'visitor:other-%'"
        " UNION ALL"
        " SELECT :until - next_due FROM record"
        "  WHERE subject LIKE 'visitor:other-%' AND next_due <= :until) every"
    )
    with ledger.transaction() as connection:
        waited: timedelta | None = connection.execute(query, {"until": until}).scalar_one()
    if waited is None:
        raise RuntimeError("no other subject was due meanwhile")
    return waited.total_seconds()
