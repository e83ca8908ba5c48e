"""Between a claim and the sending of what it leased anything may change: exactly that is not sent.

The process that claimed does not read again what never changes about its commands. What does change, it
reads under the locks, as for every other command.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from sqlalchemy import Connection, update

from services.deleter.claim import ClaimResult, claim_due
from services.deleter.command_records import NOTHING_CLAIMED, Claimed
from services.deleter.dispatch import LEASE, RetryPolicy, dispatch
from services.deleter.message import Fields
from services.ledger import tables
from services.ledger.outbox import LeaseRequest
from services.policy.model import Policy
from services.storage.database import Database
from tests.contract.event_builders import (
    Event,
    event,
    feedback,
    invoice,
    reinstated,
    signed_up,
    terminated,
)
from tests.contract.ledgers import (
    POLICY,
    FakeBus,
    instant,
    list_commands,
    record_events,
    run_as_role,
    select_rows,
)

PLACED = "2020-03-01T09:00:00Z"
TERMINATED = "2020-05-01T09:00:00Z"
NOW = "2040-01-01T09:00:00Z"
THREE = ("1", "2", "3")


def order(id_: str, consumer: str, number: str, source: str = "/crm") -> Event:
    return event(
        id_,
        "orders.order-placed",
        PLACED,
        source=source,
        order_id=number,
        customer_id="1",
        consumer_id=consumer,
    )


ORDERS = [order(f"o{n}", n, f"o{n}") for n in THREE]
CUSTOMERS = [
    *(signed_up(f"s{n}", PLACED, n) for n in THREE),
    *(terminated(f"t{n}", TERMINATED, n) for n in THREE),
]


def claim(ledger: Database, policy: Policy = POLICY) -> ClaimResult:
    """Claim all that is due, and lease it as a deleter does that sends it at once."""
    now = instant(NOW)
    lease = LeaseRequest(until=now + LEASE, room=1_000)
    return run_as_role(
        ledger, "deleter", lambda c: claim_due(c, policy, now, limit=500, lease=lease)
    )


def send(ledger: Database, claimed: ClaimResult, policy: Policy = POLICY) -> list[tuple[str, str]]:
    """Send what was leased; return the subject and the action of each command that was sent, sorted."""
    bus, now = FakeBus(), instant(NOW)
    run_as_role(
        ledger,
        "deleter",
        lambda c: dispatch(
            c, claimed.leased, bus, policy, now, RetryPolicy(), claimed=claimed.known
        ),
    )
    return sorted({(command.key, command.value["action"]) for command in bus.sent})


def record(*events: Event) -> Callable[[Database], object]:
    return lambda ledger: record_events(ledger, events, NOW)


def hold(subject: str) -> Event:
    return event(
        *("h", "privacy.hold-placed", "2020-06-01T09:00:00Z"),
        subject=subject,
        hold_id="h",
        ground="legal_claim",
    )


def change_clock(**values: object) -> Callable[[Database], object]:
    """Change the row of customer 2's relationship, without anything else that recording does."""

    def change(ledger: Database) -> None:
        clock = tables.clock.c
        is_changed = (clock.clock == "relationship", clock.key == "2")
        with ledger.transaction() as connection:
            connection.execute(update(tables.clock).where(*is_changed).values(values))

    return change


@pytest.mark.parametrize(
    ("events", "kind", "change"),
    [
        pytest.param(ORDERS, "consumer", record(hold("consumer:2")), id="hold on an order"),
        pytest.param(CUSTOMERS, "customer", record(hold("customer:2")), id="hold on an account"),
        pytest.param(
            CUSTOMERS,
            "customer",
            record(reinstated("r2", "2020-06-01T09:00:00Z", "2")),
            id="clock that opens again",
        ),
        pytest.param(
            CUSTOMERS,
            "customer",
            record(terminated("late", "2039-12-31T09:00:00Z", "2")),
            id="clock with a later end",
        ),
        pytest.param(
            CUSTOMERS,
            "customer",
            change_clock(backfill="an import"),
            id="clock that is held back",
        ),
        pytest.param(
            CUSTOMERS,
            "customer",
            change_clock(epoch=7),
            id="clock that ended at the same instant again",
        ),
        pytest.param(
            ORDERS,
            "consumer",
            record(order("other", "another", "o2", source="/anywhere")),
            id="key that another person claims",
        ),
    ],
)
def test_what_changed_since_the_claim_takes_exactly_its_own_record_out(
    ledger: Database, events: Sequence[Event], kind: str, change: Callable[[Database], object]
) -> None:
    """The records of the other two are erased, in every system."""
    record_events(ledger, events, PLACED)
    claimed = claim(ledger)
    assert {row.state for row in select_rows(ledger, tables.command)} == {"sending"}
    change(ledger)

    sent = send(ledger, claimed)

    erased = {subject for subject, action in sent if action == "erase"}
    assert erased == {f"{kind}:1", f"{kind}:3"}
    states = {
        (row.subject, row.state) for row in select_rows(ledger, tables.command, action="erase")
    }
    assert states == {(f"{kind}:1", "sent"), (f"{kind}:2", "recalling"), (f"{kind}:3", "sent")}


def test_a_policy_that_keeps_data_for_longer_takes_it_out(ledger: Database) -> None:
    """What a claim under a policy knows is not used under another, which may keep data for longer."""
    short = replace(POLICY.rules["R5"], term="P1Y")
    wrong = replace(POLICY, version="short", rules={**POLICY.rules, "R5": short})
    long_ = replace(POLICY.rules["R5"], term="P70Y")
    right = replace(POLICY, version="long", rules={**POLICY.rules, "R5": long_})
    record_events(ledger, [invoice("i1", PLACED)], PLACED, policy=wrong)
    claimed = claim(ledger, wrong)
    assert ("accounting", "erase", "sending") in list_commands(ledger)

    send(ledger, claimed, right)

    assert ("accounting", "erase", "recalling") in list_commands(ledger)


def test_a_command_that_was_cancelled_since_the_claim_is_not_sent(ledger: Database) -> None:
    record_events(ledger, [feedback("f1", PLACED)], PLACED)
    claimed = claim(ledger)
    with ledger.transaction() as connection:
        connection.execute(update(tables.command).values(state="cancelled"))

    assert send(ledger, claimed) == []


def test_what_a_claim_knows_is_what_the_ledger_has(ledger: Database) -> None:
    """Sending with and without it gives the same commands, message by message."""
    record_events(ledger, [*ORDERS, *CUSTOMERS, feedback("f1", PLACED)], PLACED)
    claimed = claim(ledger)
    now = instant(NOW)

    def sent(connection: Connection, known: Claimed) -> list[tuple[str, list[Fields]]]:
        bus = FakeBus()
        dispatch(connection, claimed.leased, bus, POLICY, now, RetryPolicy(), claimed=known)
        return [(str(place), commands) for place, commands in bus.places]

    with ledger.engine.connect() as connection, connection.begin() as transaction:
        read = sent(connection, NOTHING_CLAIMED)
        transaction.rollback()
    with ledger.transaction() as connection:
        assert sent(connection, claimed.known) == read
    assert len(read) > 3


def test_what_another_process_has_sent_since_the_claim_is_a_repetition(ledger: Database) -> None:
    """The second finds it sent, so that what it sends is another attempt."""
    record_events(ledger, [feedback("f1", PLACED)], PLACED)
    claimed = claim(ledger)
    assert [action for _, action in send(ledger, claimed)] == ["erase"]
    send(ledger, claimed)
    assert [row.attempt for row in select_rows(ledger, tables.command)] == [2]
