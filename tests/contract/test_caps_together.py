"""The hourly cap is that of all deleters together. On PostgreSQL: on SQLite there is one deleter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from sqlalchemy import update

from services.deleter.deleter import Deleter, DeleterLimits
from services.deleter.dispatch import CommandMessage, RecordMetadata
from services.ledger import tables
from services.storage import pause
from services.storage.database import Database
from tests.contract.arrivals import event
from tests.contract.ledgers import POLICY, Bus, rows, take
from tests.contract.others import others
from tests.contract.silent import Silent

LONG_AGO = "2020-01-01T12:00:00Z"


class Killed(BaseException):
    """The process ends where it is."""


def killed() -> None:
    raise Killed


@dataclass
class Watched(Silent):
    """A bus, and a deleter's sight and observer: it does something before it delivers."""

    before: Callable[[], object] = field(default=lambda: None)
    bus: Bus = field(default_factory=Bus)
    caps: list[int] = field(default_factory=list)

    def send(self, commands: Sequence[CommandMessage]) -> Sequence[RecordMetadata]:
        self.before()
        return self.bus.send(commands)

    def rate_cap_reached(self, cap: int) -> None:
        self.caps.append(cap)


def deleter(ledger: Database, watched: Watched, *, cap: int, claim: int = 3) -> Deleter:
    return Deleter(
        ledger=ledger,
        outlet=watched,
        sight=watched,
        policy=POLICY,
        observer=watched,
        now=lambda: datetime.now(UTC),
        limits=DeleterLimits(commands_per_hour=cap, claim=claim),
    )


def due(ledger: Database, count: int) -> None:
    """Feedback of so many visitors, each a command to one system, long due."""
    given = "website.feedback-given"
    late = [
        event(f"e{n}", given, LONG_AGO, feedback_id=f"e{n}", visitor_id=str(n))
        for n in range(count)
    ]
    take(ledger, late, LONG_AGO)


@pytest.mark.timeout(60)
def test_what_one_deleter_is_about_to_send_another_does_not_send_too(
    postgres_ledger: Database,
) -> None:
    """The second does a whole round between the first one's lease and its delivery."""
    due(postgres_ledger, 6)
    second = Watched()
    other = deleter(postgres_ledger, second, cap=3)
    first = Watched(before=other.run_once)
    deleter(postgres_ledger, first, cap=3).run_once()
    assert (len(first.bus.sent), len(second.bus.sent)) == (3, 0)


@pytest.mark.timeout(100)
def test_deleters_that_start_together_keep_the_cap(postgres_ledger: Database) -> None:
    """Four at once, five commands an hour, forty due: five leave, and all stop."""
    due(postgres_ledger, 40)
    start, all_of_them = Barrier(4), [Watched() for _ in range(4)]

    def run(watched: Watched) -> None:
        one = deleter(postgres_ledger, watched, cap=5)
        for _ in range(4):
            start.wait(timeout=30)
            one.run_once()

    with others(4) as pool:
        for done in [pool.submit(run, one) for one in all_of_them]:
            done.result(timeout=60)
    assert sum(len(one.bus.sent) for one in all_of_them) == 5
    with postgres_ledger.transaction() as connection:
        assert pause.pause_state(connection, "deleter") == "paused"


@pytest.mark.timeout(60)
def test_what_a_crash_left_leased_is_sent_when_its_lease_is_over(postgres_ledger: Database) -> None:
    """It takes no room for ever: else three crashed leases would stop a cap of three for good."""
    due(postgres_ledger, 3)
    crashing = Watched(before=killed)
    with pytest.raises(Killed):
        deleter(postgres_ledger, crashing, cap=3).run_once()
    next_one = Watched()
    survivor = deleter(postgres_ledger, next_one, cap=3)
    survivor.run_once()
    assert not next_one.bus.sent
    assert {row.state for row in rows(postgres_ledger, tables.command)} == {"sending"}
    over = datetime.now(UTC) - timedelta(seconds=1)
    with postgres_ledger.transaction() as connection:
        connection.execute(update(tables.command).values(next_attempt_at=over))
    survivor.run_once()
    assert len(next_one.bus.sent) == 3
    assert next_one.caps == []
