"""Punctuality: from when on a command is late. What nobody could know of before it came is not late."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from services.deleter.deleter import Deleter, DeleterLimits
from services.deleter.dispatch import SentCommand
from services.storage import pause
from services.storage.database import Database
from tests.contract.arrivals import order
from tests.contract.ledgers import POLICY, Bus, take
from tests.contract.silent import Silent

LONG_AGO = "2022-02-01T00:00:00Z"


class Seeing(Silent):
    """A deleter's sight and observer: it may be made blind, and keeps since when commands count."""

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
def seeing() -> Seeing:
    return Seeing()


@pytest.fixture
def deleter(ledger: Database, seeing: Seeing) -> Deleter:
    """One that has just started."""
    return Deleter(
        ledger=ledger,
        outlet=Bus(),
        sight=seeing,
        policy=POLICY,
        observer=seeing,
        now=this_now,
    )


def this_now() -> datetime:
    return datetime.now(UTC)


def stop(ledger: Database, scope: str, state: pause.State) -> None:
    with ledger.transaction() as connection:
        pause.set_pause_state(connection, scope, state, operator="o", reason="r", now=this_now())


def test_what_a_deleter_finds_when_it_starts_counts_from_its_own_instant(
    ledger: Database, deleter: Deleter, seeing: Seeing
) -> None:
    """It may have been away for a year."""
    take(ledger, [order("old", LONG_AGO)], this_now())
    deleter.run_once()
    assert seeing.since == [None]


def test_what_arrives_overdue_counts_from_the_last_look_that_found_nothing(
    ledger: Database, deleter: Deleter, seeing: Seeing
) -> None:
    """The round before it: an import of history is nobody's lateness."""
    before = this_now()
    deleter.run_once()
    after = this_now()
    take(ledger, [order("old", LONG_AGO)], this_now())
    deleter.run_once()
    [since] = seeing.since
    assert since is not None
    assert before <= since <= after


def test_a_round_that_leaves_some_behind_excuses_nothing(ledger: Database, seeing: Seeing) -> None:
    """A backlog that takes two rounds was due before the first."""
    deleter = Deleter(
        ledger=ledger,
        outlet=Bus(),
        sight=seeing,
        policy=POLICY,
        observer=seeing,
        now=this_now,
        limits=DeleterLimits(claim=1),
    )
    take(ledger, [order("one", LONG_AGO, "1"), order("two", LONG_AGO, "2")], this_now())
    deleter.run_once()
    deleter.run_once()
    assert seeing.since == [None, None]


@pytest.mark.parametrize("hindered", ["paused", "blind"])
def test_a_round_that_does_not_look_excuses_nothing(
    ledger: Database, deleter: Deleter, seeing: Seeing, hindered: str
) -> None:
    """Whatever became due meanwhile is late from its own instant, or the last look before."""
    deleter.run_once()
    looked = this_now()
    if hindered == "paused":
        stop(ledger, "deleter", "paused")
    else:
        seeing.spots = ["orders.order-placed.v1[0]"]
    deleter.run_once()
    take(ledger, [order("old", LONG_AGO)], this_now())
    deleter.run_once()
    stop(ledger, "deleter", "running")
    seeing.spots = []
    deleter.run_once()
    [since] = seeing.since
    assert since is not None
    assert since <= looked


def test_what_waits_in_the_outbox_counts_from_its_own_instant(
    ledger: Database, deleter: Deleter, seeing: Seeing
) -> None:
    """A system was paused: its commands are written, looks find nothing due, and yet they are late."""
    for system in ("orders", "psp", "research"):
        stop(ledger, f"system:{system}", "paused")
    take(ledger, [order("old", LONG_AGO)], this_now())
    deleter.run_once()
    deleter.run_once()
    stop(ledger, "system:psp", "running")
    deleter.run_once()
    assert seeing.since == [None]
