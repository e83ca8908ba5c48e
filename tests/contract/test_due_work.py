"""While nothing is due the deleter only looks now and then whether it could work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Column, update

from services.deleter import deleter as deleter_role
from services.deleter.deleter import Deleter, DeleterLimits
from services.deleter.due_work import has_due_work
from services.ledger import tables
from services.ledger.active_policy import PolicyMismatch
from services.storage import pause
from services.storage.database import Database, database_now
from tests.contract.event_builders import event
from tests.contract.ledgers import POLICY, FakeBus, record_events
from tests.contract.null_observer import NullObserver

DUE_COLUMNS = (
    tables.record.c.next_due,
    tables.clock.c.next_due,
    tables.subject.c.next_due,
    tables.command.c.next_attempt_at,
    tables.command.c.follow_up_at,
)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
JOINED = "2026-02-01T12:00:00Z"


class Counting(NullObserver):
    """Counts the checks for catch-up; they pass."""

    def __init__(self) -> None:
        self.checks = 0

    def lagging_partitions(self) -> Sequence[str]:
        self.checks += 1
        return ()


def build_deleter(ledger: Database, watched: Counting, check_every: timedelta) -> Deleter:
    return Deleter(
        ledger=ledger,
        publisher=FakeBus(),
        catch_up_check=watched,
        policy=POLICY,
        observer=watched,
        now=lambda: datetime.now(UTC),
        limits=DeleterLimits(check_every=check_every),
    )


def is_due(ledger: Database, now: datetime = NOW) -> bool:
    with ledger.transaction() as connection:
        return has_due_work(connection, now)


def test_nothing_is_due_in_an_empty_ledger(ledger: Database) -> None:
    assert not is_due(ledger)


def test_a_record_is_due_from_its_time_on(ledger: Database) -> None:
    """Feedback is kept for at most a year: of the 1st of February 2026, until the 1st of February 2027."""
    feedback_event = event(
        "e1", "website.feedback-given", JOINED, feedback_id="F1", visitor_id="V1"
    )
    record_events(ledger, [feedback_event], JOINED)
    with ledger.transaction() as connection:
        connection.execute(update(tables.record).values(next_due=NOW))
    assert not is_due(ledger, NOW - timedelta(microseconds=1))
    assert is_due(ledger, NOW)


def test_records_of_an_unreleased_import_are_not_due(ledger: Database) -> None:
    feedback_event = event(
        "e1", "website.feedback-given", JOINED, feedback_id="F1", visitor_id="V1"
    )
    record_events(ledger, [feedback_event], JOINED)
    with ledger.transaction() as connection:
        connection.execute(update(tables.record).values(next_due=NOW, backfill="old"))
    assert not is_due(ledger, NOW + timedelta(days=1))


def record_end_of_a_customer(ledger: Database) -> None:
    """Record a customer and the customer's termination, which ends a clock; the subject is stored too."""
    signed_up = event("e1", "customers.customer-signed-up", JOINED, customer_id="C1")
    termination = event("e2", "customers.customer-terminated", JOINED, customer_id="C1")
    record_events(ledger, [signed_up, termination], JOINED)


def send_command(ledger: Database) -> None:
    """Record feedback that is due, and send its erasure."""
    old = "2020-01-01T12:00:00Z"
    feedback_event = event("e1", "website.feedback-given", old, feedback_id="F1", visitor_id="V1")
    record_events(ledger, [feedback_event], old)
    build_deleter(ledger, Counting(), timedelta(0)).run_once()


@pytest.mark.parametrize(
    ("make", "column"),
    [
        (record_end_of_a_customer, tables.clock.c.next_due),
        (record_end_of_a_customer, tables.subject.c.next_due),
        (send_command, tables.command.c.next_attempt_at),
        (send_command, tables.command.c.follow_up_at),
    ],
    ids=["clock", "subject", "attempt", "verification"],
)
def test_each_kind_of_due_time_counts(
    ledger: Database, make: Callable[[Database], None], column: Column[datetime]
) -> None:
    """The other instants are taken away, so that this alone is due."""
    make(ledger)
    with ledger.transaction() as connection:
        for due in DUE_COLUMNS:
            connection.execute(update(due.table).values({due.name: None}))
        rows = connection.execute(update(column.table).values({column.name: NOW})).rowcount
    assert rows > 0
    assert not is_due(ledger, NOW - timedelta(microseconds=1))
    assert is_due(ledger, NOW)


def test_an_idle_deleter_checks_for_catch_up_now_and_then(ledger: Database) -> None:
    watched = Counting()
    deleter = build_deleter(ledger, watched, timedelta(hours=1))
    for _ in range(5):
        assert deleter.run_once() == 0
    assert watched.checks == 1


def test_a_record_that_becomes_due_is_claimed_in_the_next_run(ledger: Database) -> None:
    """The interval of the idle checks delays no erasure."""
    watched = Counting()
    deleter = build_deleter(ledger, watched, timedelta(hours=1))
    deleter.run_once()
    feedback_event = event(
        "e1", "website.feedback-given", JOINED, feedback_id="F1", visitor_id="V1"
    )
    record_events(ledger, [feedback_event], JOINED)
    with ledger.transaction() as connection:
        connection.execute(update(tables.record).values(next_due=database_now(connection)))
    assert deleter.run_once() > 0
    assert watched.checks == 2


def test_an_idle_deleter_with_an_old_policy_stops(ledger: Database) -> None:
    deleter = build_deleter(ledger, Counting(), timedelta(0))
    deleter.run_once()
    with ledger.transaction() as connection:
        connection.execute(update(tables.active_policy).values(digest="another"))
    with pytest.raises(PolicyMismatch):
        deleter.run_once()


def test_a_clock_that_is_set_back_does_not_stop_the_checks(
    ledger: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both clocks go back an hour: the next check would otherwise wait for that hour."""
    times = iter([NOW, NOW - timedelta(hours=1), NOW - timedelta(hours=1) + timedelta(seconds=1)])
    monkeypatch.setattr(deleter_role, "checked_now", lambda *_: next(times))
    watched = Counting()
    deleter = build_deleter(ledger, watched, timedelta(minutes=1))
    for _ in range(3):
        deleter.run_once()
    assert watched.checks == 2


def test_a_paused_deleter_checks_nothing_until_it_is_resumed(ledger: Database) -> None:
    """An operator stopped it: it reports no catch-up and escalates nothing."""
    watched = Counting()
    deleter = build_deleter(ledger, watched, timedelta(0))

    def set_state(state: pause.State) -> None:
        with ledger.transaction() as connection:
            pause.set_pause_state(
                connection, "deleter", state, operator="eve", reason="test", now=NOW
            )

    set_state("paused")
    deleter.run_once()
    assert watched.checks == 0
    set_state("running")
    deleter.run_once()
    assert watched.checks == 1
