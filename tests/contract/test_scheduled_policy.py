"""A policy that was accepted becomes active on its day, when a deleter finds that the day has come."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, text

from services.deleter import activation
from services.deleter.scheduled_activation import ScheduledActivation
from services.ledger import active_policy, tables
from services.ledger.policy_versions import active_version
from services.ledger.recording import record
from services.ledger.scheduled_policy import find_scheduled, remove_scheduled, schedule
from services.policy.loader import load
from services.policy.model import Policy
from services.storage.database import Database
from services.storage.database_roles import group_name
from tests.contract.event_builders import arrival, order
from tests.contract.ledgers import run_as_role, select_rows

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PAST, FUTURE = datetime(2026, 2, 1, tzinfo=UTC), datetime(2126, 1, 1, tzinfo=UTC)
SHIPPED = load()
NEXT = replace(
    SHIPPED, version="next", rules={**SHIPPED.rules, "D4": replace(SHIPPED.rules["D4"], term="P3Y")}
)
OTHER = replace(SHIPPED, version="other")


@dataclass(slots=True)
class Noted:
    """What the deleter's observer is given."""

    late: list[timedelta] = field(default_factory=list)
    activated: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def scheduled_policy_late(self, late: timedelta) -> None:
        self.late.append(late)

    def policy_activated(self, policy: str) -> None:
        self.activated.append(policy)

    def policy_not_activated(self, policy: str, problem: str) -> None:
        self.problems.append(problem)


@pytest.fixture
def noted() -> Noted:
    """An observer."""
    return Noted()


class DeletersLedger(Database):
    """The ledger with a deleter's rights alone, on PostgreSQL."""

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with super().transaction() as connection:
            if not self.is_sqlite:
                connection.execute(text(f"SET LOCAL ROLE {group_name('deleter')}"))
            yield connection


def scheduled(ledger: Database, policy: Policy, at: datetime) -> None:
    """Record an order under the shipped policy, and schedule another one as an operator does."""
    with ledger.transaction() as connection:
        active_policy.require_active(connection, SHIPPED, NOW)
        record(connection, [arrival(order("o1", "2025-06-01T12:00:00Z"), SHIPPED)], SHIPPED, NOW)
    run_as_role(
        ledger,
        "operators",
        lambda c: schedule(c, policy, at, (), NOW, operator="officer", reason="a new statement"),
    )


def active(ledger: Database) -> tuple[str, str | None]:
    """The version of the active policy, and who accepted it."""
    with ledger.transaction() as connection:
        version = active_version(connection)
    assert version is not None
    return version.version, version.operator


def run_deleter(ledger: Database, noted: Noted) -> None:
    """Look once whether the day has come."""
    ScheduledActivation(ledger=DeletersLedger(ledger.engine), observer=noted).run_once()


def test_it_becomes_active_on_its_day(ledger: Database, noted: Noted) -> None:
    """Every record is then checked again, and the operator who accepted it is on record."""
    scheduled(ledger, NEXT, PAST)
    run_deleter(ledger, noted)
    assert active(ledger) == ("next", "officer")
    assert noted == Noted(late=[timedelta()], activated=["optimum-pos next"])
    [row] = select_rows(ledger, tables.record)
    assert row.next_due > NOW
    assert select_rows(ledger, tables.scheduled_policy) == []
    [action] = select_rows(ledger, tables.operator_action)
    assert (action.operator, action.target, action.reason) == (
        "officer",
        "optimum-pos next as scheduled",
        "a new statement",
    )


def test_before_its_day_nothing_changes(ledger: Database, noted: Noted) -> None:
    """However often a deleter looks."""
    scheduled(ledger, NEXT, FUTURE)
    run_deleter(ledger, noted)
    run_deleter(ledger, noted)
    assert active(ledger) == (SHIPPED.version, None)
    assert noted == Noted(late=[timedelta(), timedelta()])


def test_another_deleter_may_be_first(ledger: Database, noted: Noted) -> None:
    """It is activated once."""
    scheduled(ledger, NEXT, PAST)
    run_deleter(ledger, Noted())
    run_deleter(ledger, noted)
    assert len(select_rows(ledger, tables.active_policy)) == 2
    assert noted == Noted(late=[timedelta()])


def test_a_problem_on_the_day_is_kept_and_reported_once(ledger: Database, noted: Noted) -> None:
    """The former policy stays active, and the deleter goes on."""
    gone = {name: kind for name, kind in NEXT.events.items() if name != "orders.order-placed"}
    scheduled(ledger, replace(NEXT, events=gone), PAST)
    run_deleter(ledger, noted)
    run_deleter(ledger, noted)
    assert active(ledger) == (SHIPPED.version, None)
    [problem] = noted.problems
    assert "the event types orders.order-placed are missing" in problem
    assert all(late > timedelta(days=1) for late in noted.late)
    with ledger.transaction() as connection:
        waiting = find_scheduled(connection)
    assert waiting is not None
    assert waiting.problem == problem


def test_a_deleter_that_cannot_read_it_leaves_it_to_a_newer_one(
    ledger: Database, noted: Noted
) -> None:
    """The keys of a later version are unknown to it."""
    scheduled(ledger, NEXT, PAST)
    with ledger.transaction() as connection:
        [row] = select_rows_in(connection)
        later = row.replace('"term":"P3Y"', '"term":"P3Y","until_doomsday":true', 1)
        connection.execute(tables.scheduled_policy.update().values(text=later))
    run_deleter(ledger, noted)
    assert active(ledger) == (SHIPPED.version, None)
    assert "this version of Termijn cannot use the ledger's policy" in noted.problems[0]


def select_rows_in(connection: Connection) -> list[str]:
    """The texts of the scheduled policies."""
    return [row.text for row in connection.execute(tables.scheduled_policy.select())]


def test_another_activation_removes_it(ledger: Database, noted: Noted) -> None:
    """It was accepted as a change of the policy that was active then."""
    scheduled(ledger, NEXT, PAST)
    run_as_role(ledger, "operators", lambda c: activation.activate(c, OTHER, NOW, operator="me"))
    run_deleter(ledger, noted)
    assert active(ledger) == ("other", "me")


def test_a_second_schedule_replaces_the_first(ledger: Database) -> None:
    """There is one change to come."""
    scheduled(ledger, NEXT, FUTURE)
    scheduled(ledger, OTHER, FUTURE)
    with ledger.transaction() as connection:
        waiting = find_scheduled(connection)
        assert waiting is not None
        assert waiting.load() == OTHER
        assert remove_scheduled(connection)
        assert not remove_scheduled(connection)
