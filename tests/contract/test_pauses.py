"""A pause between a command's lease and its sending holds the command back; protective commands pass."""

from __future__ import annotations

from datetime import datetime

import pytest

from services.deleter.dispatch import LEASE, RetryPolicy, dispatch, lease
from services.deleter.paused_systems import PausedSystems
from services.storage import pause
from services.storage.database import Database
from tests.contract.event_builders import event, feedback
from tests.contract.ledgers import (
    POLICY,
    FakeBus,
    claim_all,
    instant,
    list_commands,
    record_events,
    send_due,
)

GIVEN = "2024-03-15T13:00:00Z"
DUE = instant("2060-01-01T00:00:00Z")
ORDER = event(
    "o1",
    "orders.order-placed",
    GIVEN,
    order_id="O1",
    customer_id="C1",
    consumer_id="K1",
    amount="12.50",
    payment={"method": "ideal"},
)


def set_pause(ledger: Database, scope: str, state: pause.State, at: datetime) -> None:
    """Pause, drain or resume as an operator does."""
    with ledger.transaction() as connection:
        pause.set_pause_state(connection, scope, state, operator="o", reason="r", now=at)


def systems_commanded(
    ledger: Database, at: datetime, scope: str, state: pause.State
) -> set[tuple[str, str]]:
    """Return system and action of what is sent when an operator acts between lease and sending."""
    leased = ledger.run_in_transaction(lambda c: lease(c, at, PausedSystems.load(c), limit=100))
    set_pause(ledger, scope, state, at)
    commands = ledger.run_in_transaction(
        lambda c: dispatch(c, leased, FakeBus(), POLICY, at, RetryPolicy())
    )
    return {(command.system, command.action) for command in commands}


def test_a_system_that_is_paused_after_the_lease_gets_no_command(ledger: Database) -> None:
    """Other systems get their commands; this one's leave once it is resumed and the lease is over."""
    record_events(ledger, [feedback("f1", GIVEN), ORDER], GIVEN)
    claim_all(ledger, DUE)
    others = systems_commanded(ledger, DUE, "system:website", "paused")
    assert ("orders", "erase") in others
    assert "website" not in {system for system, _ in others}
    assert list_commands(ledger, system="website") == [("website", "erase", "sending")]
    after = DUE + LEASE
    assert "website" not in {
        system for system, _ in systems_commanded(ledger, after, "x", "running")
    }
    set_pause(ledger, "system:website", "running", after)
    assert ("website", "erase") in {
        (command.system, command.action) for command in send_due(ledger, FakeBus(), after + LEASE)
    }


def test_a_deleter_that_is_paused_meanwhile_sends_nothing(ledger: Database) -> None:
    record_events(ledger, [feedback("f1", GIVEN), ORDER], GIVEN)
    claim_all(ledger, DUE)
    assert systems_commanded(ledger, DUE, "deleter", "paused") == set()


@pytest.mark.parametrize("scope", ["system:website", "deleter"])
def test_commands_leased_before_a_drain_are_sent(ledger: Database, scope: str) -> None:
    """Draining a system finishes what was already leased."""
    record_events(ledger, [feedback("f1", GIVEN)], GIVEN)
    claim_all(ledger, DUE)
    assert systems_commanded(ledger, DUE, scope, "drained") == {("website", "erase")}


@pytest.mark.parametrize("scope", ["system:crm", "deleter"])
def test_protective_commands_are_sent_during_a_pause(ledger: Database, scope: str) -> None:
    """A person's restriction must not wait."""
    now = instant("2026-02-02T00:00:00Z")
    check = event(
        "e1", "credit.check-performed", "2026-01-20T00:00:00Z", check_id="1", customer_id="9"
    )
    raised = event(
        "b1",
        "privacy.objection-raised",
        "2026-02-01T00:00:00Z",
        subject="customer:9",
        purpose="credit_check",
        objection_id="B1",
    )
    record_events(ledger, [check, raised], now)
    claim_all(ledger, now)
    assert ("crm", "restrict") in systems_commanded(ledger, now, scope, "paused")
