"""The hourly cap counts the commands of all deleters together. On PostgreSQL: SQLite has one deleter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Barrier, Event, Thread, current_thread

import pytest
from sqlalchemy import update
from sqlalchemy.event import listen

from services.deleter.deleter import Deleter, DeleterLimits
from services.deleter.message import CommandMessage
from services.kafka.record_metadata import RecordMetadata
from services.ledger import tables
from services.storage import pause
from services.storage.database import Database
from tests.contract.concurrency import worker_threads
from tests.contract.event_builders import event
from tests.contract.ledgers import POLICY, FakeBus, record_events, select_rows
from tests.contract.null_observer import NullObserver

LONG_AGO = "2020-01-01T12:00:00Z"


class Killed(BaseException):
    """Raised where the process would be killed."""


def kill() -> None:
    raise Killed


@dataclass
class InterruptingBus(NullObserver):
    """A bus and observer of a deleter, which acts before it delivers and after it has committed."""

    before: Callable[[], object] = field(default=lambda: None)
    after: Callable[[], object] = field(default=lambda: None)
    bus: FakeBus = field(default_factory=FakeBus)
    caps: list[int] = field(default_factory=list)

    def send(self, commands: Sequence[CommandMessage]) -> Sequence[RecordMetadata]:
        self.before()
        return self.bus.send(commands)

    def commands_sent(self, *_: object) -> None:
        self.after()

    def rate_cap_reached(self, cap: int) -> None:
        self.caps.append(cap)


def build_deleter(
    ledger: Database, watched: InterruptingBus, *, cap: int, claim: int = 3
) -> Deleter:
    return Deleter(
        ledger=ledger,
        publisher=watched,
        catch_up_check=watched,
        policy=POLICY,
        observer=watched,
        now=lambda: datetime.now(UTC),
        limits=DeleterLimits(commands_per_hour=cap, records_per_claim=claim),
    )


def record_due(ledger: Database, count: int) -> None:
    """Record feedback of so many visitors, each a long due command to one system."""
    event_type = "website.feedback-given"
    late = [
        event(f"e{n}", event_type, LONG_AGO, feedback_id=f"e{n}", visitor_id=str(n))
        for n in range(count)
    ]
    record_events(ledger, late, LONG_AGO)


def test_a_command_leased_by_one_deleter_is_not_sent_by_another(
    postgres_ledger: Database,
) -> None:
    """The second deleter does a whole round between the first one's lease and its delivery."""
    record_due(postgres_ledger, 6)
    second = InterruptingBus()
    other = build_deleter(postgres_ledger, second, cap=3)
    first = InterruptingBus(before=other.run_once)
    build_deleter(postgres_ledger, first, cap=3).run_once()
    assert (len(first.bus.sent), len(second.bus.sent)) == (3, 0)


def test_a_command_delivered_while_another_deleter_counts_is_counted(
    postgres_ledger: Database,
) -> None:
    """A command is counted as leased or as sent at every moment, also between the two."""
    record_due(postgres_ledger, 6)
    counted, delivered = Event(), Event()
    second = InterruptingBus()
    other = build_deleter(postgres_ledger, second, cap=3)

    def deliver_meanwhile(_: object, __: object, statement: str, *___: object) -> None:
        if current_thread().name == "second" and "first_sent_at" in statement:
            counted.set()
            delivered.wait(600)

    def count_meanwhile() -> None:
        counting.start()
        assert counted.wait(600)

    first = InterruptingBus(before=count_meanwhile, after=delivered.set)
    counting = Thread(target=other.run_once, name="second")
    listen(postgres_ledger.engine, "after_cursor_execute", deliver_meanwhile)
    build_deleter(postgres_ledger, first, cap=3).run_once()
    counting.join()
    assert (len(first.bus.sent), len(second.bus.sent)) == (3, 0)


def test_deleters_that_start_together_keep_the_cap(postgres_ledger: Database) -> None:
    """Of forty due commands, four deleters with five an hour send five, and all stop."""
    record_due(postgres_ledger, 40)
    start, all_of_them = Barrier(4), [InterruptingBus() for _ in range(4)]

    def run(watched: InterruptingBus) -> None:
        deleter = build_deleter(postgres_ledger, watched, cap=5)
        for _ in range(4):
            start.wait(timeout=600)
            deleter.run_once()

    with worker_threads(4) as pool:
        for future in [pool.submit(run, bus) for bus in all_of_them]:
            future.result(timeout=600)
    assert sum(len(bus.bus.sent) for bus in all_of_them) == 5
    with postgres_ledger.transaction() as connection:
        assert pause.pause_state(connection, "deleter") == "paused"


def test_a_command_left_leased_by_a_crash_is_sent_when_its_lease_ends(
    postgres_ledger: Database,
) -> None:
    """Otherwise three crashed leases would permanently block a cap of three."""
    record_due(postgres_ledger, 3)
    crashing = InterruptingBus(before=kill)
    with pytest.raises(Killed):
        build_deleter(postgres_ledger, crashing, cap=3).run_once()
    next_one = InterruptingBus()
    survivor = build_deleter(postgres_ledger, next_one, cap=3)
    survivor.run_once()
    assert not next_one.bus.sent
    assert {row.state for row in select_rows(postgres_ledger, tables.command)} == {"sending"}
    over = datetime.now(UTC) - timedelta(seconds=1)
    with postgres_ledger.transaction() as connection:
        connection.execute(update(tables.command).values(next_attempt_at=over))
    survivor.run_once()
    assert len(next_one.bus.sent) == 3
    assert next_one.caps == []
