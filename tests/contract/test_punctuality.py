"""Punctuality: from when on a command is late. The time before its events arrived does not count."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from services.deleter.deleter import Deleter, DeleterLimits
from services.deleter.dispatch import SentCommand
from services.storage import pause
from services.storage.database import Database
from tests.contract.event_builders import order
from tests.contract.ledgers import POLICY, FakeBus, record_events
from tests.contract.null_observer import NullObserver

LONG_AGO = "2022-02-01T00:00:00Z"


class RecordingObserver(NullObserver):
    """An observer that may fail the catch-up check, and keeps since when commands count."""

    def __init__(self) -> None:
        self.spots: list[str] = []
        self.since: list[datetime | None] = []

    def lagging_partitions(self) -> Sequence[str]:
        return self.spots

    def commands_sent(
        self, commands: Sequence[SentCommand], nothing_due_at: datetime | None
    ) -> None:
        self.since += [nothing_due_at] if commands else []


@pytest.fixture
def observer() -> RecordingObserver:
    return RecordingObserver()


@pytest.fixture
def deleter(ledger: Database, observer: RecordingObserver) -> Deleter:
    """Return a deleter that has just started."""
    return Deleter(
        ledger=ledger,
        publisher=FakeBus(),
        catch_up_check=observer,
        policy=POLICY,
        observer=observer,
        now=this_now,
    )


def this_now() -> datetime:
    return datetime.now(UTC)


def set_pause(ledger: Database, scope: str, state: pause.State) -> None:
    with ledger.transaction() as connection:
        pause.set_pause_state(connection, scope, state, operator="o", reason="r", now=this_now())


def test_lateness_of_records_due_before_the_start_counts_from_their_due_time(
    ledger: Database, deleter: Deleter, observer: RecordingObserver
) -> None:
    """The deleter may have been stopped for a year."""
    record_events(ledger, [order("old", LONG_AGO)], this_now())
    deleter.run_once()
    assert observer.since == [None]


def test_lateness_of_records_that_arrive_overdue_counts_from_the_last_complete_scan(
    ledger: Database, deleter: Deleter, observer: RecordingObserver
) -> None:
    """That is the round before it, since an import of history makes no system late."""
    before = this_now()
    deleter.run_once()
    after = this_now()
    record_events(ledger, [order("old", LONG_AGO)], this_now())
    deleter.run_once()
    [since] = observer.since
    assert since is not None
    assert before <= since <= after


def test_an_incomplete_scan_does_not_reduce_lateness(
    ledger: Database, observer: RecordingObserver
) -> None:
    """A backlog that takes two rounds was due before the first."""
    deleter = Deleter(
        ledger=ledger,
        publisher=FakeBus(),
        catch_up_check=observer,
        policy=POLICY,
        observer=observer,
        now=this_now,
        limits=DeleterLimits(records_per_claim=1),
    )
    record_events(ledger, [order("one", LONG_AGO, "1"), order("two", LONG_AGO, "2")], this_now())
    deleter.run_once()
    deleter.run_once()
    assert observer.since == [None, None]


@pytest.mark.parametrize("hindered", ["paused", "blind"])
def test_a_run_without_a_scan_does_not_reduce_lateness(
    ledger: Database, deleter: Deleter, observer: RecordingObserver, hindered: str
) -> None:
    """What became due meanwhile is late from its own instant, or from the last round that scanned."""
    deleter.run_once()
    looked = this_now()
    if hindered == "paused":
        set_pause(ledger, "deleter", "paused")
    else:
        observer.spots = ["orders.order-placed.v1[0]"]
    deleter.run_once()
    record_events(ledger, [order("old", LONG_AGO)], this_now())
    deleter.run_once()
    set_pause(ledger, "deleter", "running")
    observer.spots = []
    deleter.run_once()
    [since] = observer.since
    assert since is not None
    assert since <= looked


def test_lateness_of_waiting_commands_counts_from_their_due_time(
    ledger: Database, deleter: Deleter, observer: RecordingObserver
) -> None:
    """A paused system's commands are late, although scans find nothing due any longer."""
    for system in ("orders", "psp", "research"):
        set_pause(ledger, f"system:{system}", "paused")
    record_events(ledger, [order("old", LONG_AGO)], this_now())
    deleter.run_once()
    deleter.run_once()
    set_pause(ledger, "system:psp", "running")
    deleter.run_once()
    assert observer.since == [None]
