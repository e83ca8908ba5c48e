"""Rights and legal holds on real Kafka and PostgreSQL, every role a process, with simulated systems."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from tests.e2e.running import ROLES, Running, business_event, write_events

Event = Mapping[str, Any]


def order(number: int, consumer: str) -> Event:
    """Return an order of which nothing is due for years."""
    return business_event(
        f"order-{number}",
        "orders.order-placed",
        f"2026-03-15T13:00:0{number}Z",
        order_id=f"O{number}",
        customer_id="C1",
        consumer_id=consumer,
        amount="12.50",
        payment={"method": "ideal"},
    )


def privacy_event(id: str, what: str, time: str, **data: Any) -> Event:
    return business_event(id, f"privacy.{what}", time, **data)


def publish(running: Running, name: str, *events: Event) -> None:
    completed = running.history(write_events(running.directory / f"{name}.jsonl", list(events)))
    assert completed.returncode == 0, completed.stderr


def held_events(running: Running, system: str) -> set[str]:
    """Return the events whose data a simulated system really has."""
    with sqlite3.connect(running.data / "systems" / f"{system}.sqlite") as store:
        return {identifier for (identifier,) in store.execute("SELECT id FROM held").fetchall()}


def actions(running: Running) -> set[tuple[str, str]]:
    """Return the actions that each system was commanded to do, verifications left out."""
    return set(running.query("SELECT system, action FROM command WHERE action <> 'verify'"))


def test_a_requested_erasure_waits_for_a_hold_and_keeps_what_the_law_requires(
    running: Running,
) -> None:
    """K1 requests erasure under a hold: nothing leaves before its release, and the books are kept."""
    running.start(*ROLES, "sample-systems")
    publish(
        running,
        "asked",
        order(1, "K1"),
        order(2, "K2"),
        privacy_event(
            "hold",
            "hold-placed",
            "2026-04-01T09:00:00Z",
            subject="consumer:K1",
            hold_id="H",
            ground="legal_claim",
        ),
        privacy_event(
            "asked",
            "request-received",
            "2026-04-02T09:00:00Z",
            subject="consumer:K1",
            request_id="Q",
            right="erasure",
        ),
        privacy_event(
            "known",
            "identity-verified",
            "2026-04-03T09:00:00Z",
            subject="consumer:K1",
            request_id="Q",
        ),
        privacy_event(
            "against",
            "objection-raised",
            "2026-04-03T09:00:00Z",
            subject="consumer:K2",
            purpose="internal_research",
        ),
    )
    running.until("the objection restricts", lambda: ("research", "restrict") in actions(running))
    assert actions(running) == {("research", "restrict")}
    assert held_events(running, "orders") == {"order-1", "order-2"}
    publish(
        running,
        "released",
        privacy_event(
            "free", "hold-released", "2026-05-01T09:00:00Z", subject="consumer:K1", hold_id="H"
        ),
        privacy_event(
            "no",
            "objection-decided",
            "2026-05-01T09:00:00Z",
            subject="consumer:K2",
            purpose="internal_research",
            outcome="rejected",
        ),
    )
    running.until(
        "all has been answered, and what can be read again is proven",
        lambda: (
            running.count("command", "state = 'erased'") == 4
            and running.count("command", "state = 'acknowledged' AND action <> 'verify'") == 3
        ),
    )
    assert actions(running) == {
        ("research", "restrict"),
        ("research", "lift"),
        ("orders", "erase"),
        ("psp", "erase"),
        ("research", "erase"),
        ("crm", "erase"),
        ("mail", "erase"),
    }
    assert held_events(running, "orders") == {"order-2"}
    assert held_events(running, "research") == {"order-2"}
    assert held_events(running, "accounting") == {"order-1", "order-2"}


def test_a_hold_that_comes_while_a_command_is_out_recalls_it(running: Running) -> None:
    """The unacknowledged erasures are recalled, and commanded again once the hold is released."""
    running.start(*ROLES)
    request_events = (
        order(1, "K1"),
        privacy_event(
            "asked",
            "request-received",
            "2026-04-02T09:00:00Z",
            subject="consumer:K1",
            request_id="Q",
            right="erasure",
        ),
        privacy_event(
            "known",
            "identity-verified",
            "2026-04-03T09:00:00Z",
            subject="consumer:K1",
            request_id="Q",
        ),
    )
    publish(running, "asked", *request_events)
    running.until("five are out", lambda: running.count("command", "state = 'sent'") == 5)
    first = set(running.query("SELECT command_id FROM command WHERE action = 'erase'"))
    publish(
        running,
        "held",
        privacy_event(
            "hold",
            "hold-placed",
            "2026-04-04T09:00:00Z",
            subject="consumer:K1",
            hold_id="H",
            ground="fraud_inquiry",
        ),
    )
    running.until("all are recalled", lambda: running.count("command", "action = 'recall'") == 5)
    running.start("sample-systems")
    running.until(
        "the systems say how far they were",
        lambda: (
            running.count(
                "command", "state IN ('recalled', 'acknowledged', 'erased') AND action = 'erase'"
            )
            == 5
        ),
    )
    publish(
        running,
        "released",
        privacy_event(
            "free", "hold-released", "2026-05-01T09:00:00Z", subject="consumer:K1", hold_id="H"
        ),
    )
    running.until("orders holds nothing", lambda: held_events(running, "orders") == set())
    assert held_events(running, "accounting") == {"order-1"}
    assert first <= set(running.query("SELECT command_id FROM command WHERE action = 'erase'"))
