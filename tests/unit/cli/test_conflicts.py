"""Key conflicts on the command line: listed, decided with a name and a reason, and reversed."""

from __future__ import annotations

from typing import Any

import pytest

from services.policy.ids import key_id
from services.storage.database import Database
from tests.contract.event_builders import event, order
from tests.unit.cli.conftest import Call, Write
from tests.unit.cli.test_operating import BY_ME, actions, ledger, recorded

__all__ = ["ledger"]
T = "2024-03-15T12:00:00Z"


def claimed_twice(ledger: Database, *, events: int = 1) -> None:
    """Record one order number for two consumers."""
    recorded(
        ledger,
        order("o=1", T, "victim"),
        *(
            event(
                f"e{n}",
                "orders.order-placed",
                T,
                order_id="o=1",
                customer_id="1",
                consumer_id="nobody",
            )
            for n in range(events)
        ),
    )


def listed_conflicts(termijn: Call, *fields: str) -> list[tuple[Any, ...]]:
    rows = termijn("conflicts", "list", "--json", *fields).rows
    return [(row["key"], row["subject"], row["events"], row["state"]) for row in rows]


def test_a_conflict_is_listed_and_decided_by_a_named_operator(
    termijn: Call, ledger: Database
) -> None:
    """The reason is recorded, but not the key, which may be a person's name."""
    claimed_twice(ledger, events=2)
    [row] = [row for row in termijn("status", "--json").rows if row["what"] == "key-conflict"]
    assert row["value"] == 1
    assert listed_conflicts(termijn) == [
        ("order_id=o=1", "consumer:nobody", 2, "key-conflict"),
        ("order_id=o=1", "consumer:victim", 1, "key-conflict"),
    ]
    decided = ("conflicts", "resolve", "order_id=o=1", "--subject", "consumer:victim")
    assert termijn(*decided, "--operator", "", "--reason", "x").code == 1
    assert termijn(*decided, *BY_ME).code == 0
    assert listed_conflicts(termijn) == []
    assert [row[3] for row in listed_conflicts(termijn, "--all")] == ["other", "owner"]
    assert termijn("conflicts", "reopen", "order_id=o=1", *BY_ME).code == 0
    assert [row[3] for row in listed_conflicts(termijn)] == ["key-conflict", "key-conflict"]
    target = str(key_id("order_id", "o=1"))
    assert actions(ledger) == [
        ("night-shift", "conflicts resolve", target, "a test"),
        ("night-shift", "conflicts reopen", target, "a test"),
    ]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("resolve", "o1", "--subject", "consumer:victim"), "KEY must be NAME=VALUE"),
        (
            ("resolve", "order_id=o=1", "--subject", "consumer:third"),
            "order_id=o=1: not claimed by consumer:third; see `termijn conflicts list`",
        ),
        (("reopen", "order_id=o2"), "order_id=o2: no two subjects claim it"),
    ],
)
def test_a_decision_that_is_not_possible_is_one_line(
    termijn: Call, ledger: Database, arguments: tuple[str, ...], why: str
) -> None:
    """The refused decision leaves no entry in the log."""
    claimed_twice(ledger)
    outcome = termijn("conflicts", *arguments, *BY_ME)
    assert outcome.code == 1
    assert why in outcome.err
    assert outcome.err.count("\n") == 1
    assert actions(ledger) == []


def test_a_simulation_shows_which_commands_would_wait(termijn: Call, events: Write) -> None:
    """No command about either of the two people is sent there."""
    file = events([
        order("o1", "2012-03-01T09:00:00Z", "victim"),
        event("e2", "orders.order-placed", "2012-03-01T09:00:00Z",
              order_id="o1", customer_id="1", consumer_id="nobody"),
    ])  # fmt: skip
    outcome = termijn("simulate", str(file), "--until", "2030-01-01T00:00:00Z", "--json")
    assert (outcome.out, outcome.code) == ("", 0)
    assert outcome.err.startswith(
        "1 keys are claimed by several subjects: no command is sent about them"
    )
