"""Holding counts by rule, system and state, made from a bounded number of records at a time."""

from __future__ import annotations

from datetime import timedelta

from services.operations.holding_counts import HoldingCounter, HoldingCounts
from services.operations.status import read_status
from services.policy.model import Policy
from services.requests import counts
from services.storage.database import Database
from tests.contract.event_builders import event, order, signed_up, ticket
from tests.contract.ledgers import (
    FakeBus,
    acknowledge,
    claim_all,
    find_command,
    instant,
    record_events,
    send_due,
)

NOW = instant("2026-03-15T13:00:00Z")


def advance(ledger: Database, census: HoldingCounter) -> HoldingCounts:
    with ledger.transaction() as connection:
        return census.advance(connection, NOW)


def test_every_holding_is_counted_by_its_state(ledger: Database, policy: Policy) -> None:
    """There are an open customer, an order of this year, and one whose consumer's term is over."""
    events = [
        signed_up("S", "2020-01-01T00:00:00Z"),
        order("new", "2026-02-01T00:00:00Z", "2"),
        order("old", "2022-02-01T00:00:00Z", "3"),
    ]
    record_events(ledger, events, NOW)
    counted = advance(ledger, HoldingCounter(policy=policy))
    assert counted.coverage == 1.0
    counts = {key: n for key, n in counted.holdings.items() if key[0] in ("D4", "R5", "R1")}
    assert counts == {
        ("D4", "orders", "ended"): 1,
        ("D4", "orders", "scheduled"): 1,
        ("D4", "psp", "ended"): 1,
        ("D4", "psp", "scheduled"): 1,
        ("R1", "crm", "open"): 1,
        ("R1", "lease", "open"): 1,
        ("R1", "orders", "open"): 1,
        ("R1", "printer", "open"): 1,
        ("R1", "psp", "open"): 1,
        ("R1", "website", "open"): 1,
        ("R5", "accounting", "scheduled"): 2,
    }


def test_holdings_that_a_system_reports_as_erased_are_counted_so(
    ledger: Database, policy: Policy
) -> None:
    """It counts once it is acknowledged; the other system has only been commanded."""
    record_events(ledger, [order("old", "2022-02-01T00:00:00Z", "3")], NOW)
    claim_all(ledger, NOW)
    send_due(ledger, FakeBus(), NOW)
    acknowledge(ledger, find_command(ledger, system="orders"), "done", NOW)
    holdings = advance(ledger, HoldingCounter(policy=policy)).holdings
    assert {key: n for key, n in holdings.items() if key[0] == "D4"} == {
        ("D4", "orders", "acknowledged"): 1,
        ("D4", "psp", "ended"): 1,
    }


def test_steps_are_bounded_and_add_up(ledger: Database, policy: Policy) -> None:
    """For fifty orders in steps of eight the first count is an estimate, and the seventh exact."""
    record_events(ledger, [order(str(n), "2026-02-01T00:00:00Z", str(n)) for n in range(50)], NOW)
    census = HoldingCounter(policy=policy, chunk=8)
    first = advance(ledger, census)
    assert 0 < first.coverage < 0.5
    assert 20 < first.holdings["D4", "orders", "scheduled"] < 125  # 8 of the ids, over their share
    for _ in range(5):
        assert advance(ledger, census).coverage < 1
    last = advance(ledger, census)
    assert (last.coverage, last.holdings["D4", "orders", "scheduled"]) == (1.0, 50)


def test_a_whole_round_stands_until_the_next_is_over(ledger: Database, policy: Policy) -> None:
    """A gauge that returned to an estimate every so often would be of no use."""
    record_events(ledger, [order(str(n), "2026-02-01T00:00:00Z", str(n)) for n in range(10)], NOW)
    census = HoldingCounter(policy=policy, chunk=6)
    advance(ledger, census)
    whole = advance(ledger, census)
    assert whole.holdings["D4", "psp", "scheduled"] == 10
    record_events(ledger, [order("11", "2026-02-01T00:00:00Z", "11")], NOW)
    assert advance(ledger, census) == whole
    assert advance(ledger, census).holdings["D4", "psp", "scheduled"] == 11


def test_requests_are_counted_with_the_least_time_left(ledger: Database, policy: Policy) -> None:
    """There are one of 1 March, one of 1 February that is two weeks late, one answered, and a hold."""

    def privacy_event(id_: str, what: str, time: str, **data: str) -> dict[str, object]:
        return event(id_, f"privacy.{what}", time, **data)

    request_fields = {"subject": "consumer:1", "request_id": "Q1", "right": "erasure"}
    record_events(
        ledger,
        [
            privacy_event("a", "request-received", "2026-03-01T11:00:00Z", **request_fields),
            privacy_event(
                "b",
                "request-received",
                "2026-02-01T11:00:00Z",
                subject="consumer:2",
                request_id="Q2",
                right="access",
            ),
            privacy_event(
                "c",
                "request-received",
                "2026-02-02T11:00:00Z",
                subject="consumer:3",
                request_id="Q3",
                right="access",
            ),
            privacy_event(
                "d",
                "request-answered",
                "2026-02-03T11:00:00Z",
                subject="consumer:3",
                request_id="Q3",
            ),
            privacy_event(
                "e",
                "hold-placed",
                "2026-03-02T11:00:00Z",
                subject="consumer:1",
                hold_id="H",
                ground="legal_claim",
            ),
        ],
        NOW,
    )
    with ledger.transaction() as connection:
        counted = counts.count(connection, policy, NOW)
    assert counted.requests == {("erasure", "received"): 1, ("access", "received"): 1}
    # 1 April is in summer time, an hour earlier; 1 March is not.
    assert counted.time_left == {
        "erasure": timedelta(days=16, hours=21),
        "access": -timedelta(days=14, hours=2),
    }
    assert (counted.overdue, counted.holds) == (1, 1)


def test_a_count_without_history_includes_all_that_is_open(
    ledger: Database, policy: Policy
) -> None:
    """The open ticket of 2025 and what is due are counted, and nothing settled."""
    record_events(
        ledger,
        [ticket("T", "2025-03-01T00:00:00Z", ["9"]), order("O", "2022-02-01T00:00:00Z")],
        NOW,
    )
    with ledger.transaction() as connection:
        status = read_status(connection, policy, NOW, history=False)
        whole = read_status(connection, policy, NOW)
    assert status.open_too_long["ticket"] == 1
    assert (status.due, status.oldest_due_at) == (whole.due, whole.oldest_due_at)
    assert (status.events, whole.events) == (0, 2)
