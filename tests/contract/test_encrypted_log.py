"""The encrypted log as systems of its own: other commands stay the same, and keys end with their terms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from services.crypto.data_keys import ActiveKey
from services.deleter.simulation import simulate
from services.deleter.verification import verify_commands
from services.operations.orphaned_keys import find_orphaned_keys
from services.policy.ids import event_id, old_event_id
from services.policy.model import Policy
from services.storage.database import Database
from tests import oracle
from tests.contract.event_builders import Event, order, tag_distinct
from tests.contract.ledgers import (
    FakeBus,
    acknowledge,
    claim_all,
    empty_database,
    find_command,
    new_ledger,
    record_events,
    send_due,
)
from tests.contract.oracle_lines import command_lines
from tests.effort import SLOW, examples
from tests.oracle.strategies import event_sets
from tests.oracle.strategies_rights import event_sets_with_rights
from tests.unit.crypto.stage import Vault, a_vault, policy

FAR = datetime.fromisoformat("2060-01-01T00:00:00Z")
LEDGER = new_ledger("sqlite://")
LIKE = {"orders": "bus", "accounting": "bus-books"}
"""Of an order these two hold for the same purposes as the two systems of the log."""
calm = settings(deadline=None, suppress_health_check=SLOW)


def expected_lines(events: list[Event]) -> list[dict[str, Any]]:
    """Return the oracle's lines for the shipped policy, and the same for the log's systems for orders."""
    commands = oracle.simulate(events, FAR)
    placed = {event["id"] for event in events if event["type"] == "orders.order-placed"}
    commands += [
        {**line, "system": LIKE[line["system"]]}
        for line in commands
        if line["system"] in LIKE and line["record"] in placed
    ]
    return sorted(commands, key=str)


def commanded_lines(events: list[Event]) -> list[dict[str, Any]]:
    """Return the commands under the policy that encrypts orders."""
    commands = simulate(empty_database(LEDGER), tag_distinct(events, policy()), policy(), FAR)
    return sorted(command_lines(list(commands)), key=str)


@settings(calm, max_examples=examples(40))
@given(event_sets())
def test_the_log_gets_a_command_at_the_end_of_each_term(
    events: list[Event],
) -> None:
    """The oracle that judges this knows nothing of keys."""
    assert commanded_lines(events) == expected_lines(events)


@settings(calm, max_examples=examples(40))
@given(event_sets_with_rights())
def test_the_log_gets_commands_for_rights_and_holds_as_well(events: list[Event]) -> None:
    """A request ends the two-year data at once; the books' key stays until its minimum is over."""
    assert commanded_lines(events) == expected_lines(events)


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    """A vault with the keys of an order of 2020."""
    with a_vault(tmp_path) as vault:
        key = event_id("orders.order-placed", "/crm", "o1")
        vault.keys.get_or_create(
            [(key, "bus"), (key, "bus-books")], datetime(2020, 3, 15, tzinfo=UTC)
        )
        yield vault


@pytest.fixture
def encrypting() -> Policy:
    """Return the policy that encrypts."""
    return policy()


def orphaned_keys(
    vault: Vault, ledger: Database, by: Policy, before: str = "2026-01-01"
) -> dict[str, str]:
    """Return the keys without an event, by system."""
    at = datetime.fromisoformat(before).replace(tzinfo=UTC)
    return {key.key.system: key.why for key in find_orphaned_keys(vault.keys, ledger, by, at)}


def test_keys_of_events_that_were_never_recorded_are_found(
    vault: Vault, ledger: Database, encrypting: Policy
) -> None:
    """They are reported once their event has had its time to arrive."""
    assert orphaned_keys(vault, ledger, encrypting) == {
        "bus": "unrecorded",
        "bus-books": "unrecorded",
    }
    assert orphaned_keys(vault, ledger, encrypting, before="2020-03-15") == {}
    record_events(
        ledger, [order("o1", "2020-03-15T13:00:00Z")], "2020-03-15T13:00:00Z", policy=encrypting
    )
    assert orphaned_keys(vault, ledger, encrypting) == {}


def test_keys_that_a_publisher_made_before_identities_changed_are_their_events(
    tmp_path: Path, ledger: Database, encrypting: Policy
) -> None:
    """Their events have new identities; shredding the keys would lose data that must be kept."""
    created_at = datetime(2020, 3, 15, tzinfo=UTC)
    with a_vault(tmp_path) as vault:
        vault.keys.get_or_create(
            [(old_event_id("/crm", order_id), "bus") for order_id in ("o1", "o2")], created_at
        )
        record_events(
            ledger, [order("o1", "2020-03-15T13:00:00Z")], "2020-03-15T13:00:00Z", policy=encrypting
        )
        [orphan] = find_orphaned_keys(
            vault.keys, ledger, encrypting, datetime(2026, 1, 1, tzinfo=UTC)
        )
        assert (orphan.why, orphan.key.event_id) == ("unrecorded", old_event_id("/crm", "o2"))
        kind = encrypting.events["orders.order-placed"]
        first, *rest = kind.holdings
        without = replace(kind, holdings=(replace(first, systems=("orders", "psp")), *rest))
        forgot = replace(encrypting, events={**encrypting.events, "orders.order-placed": without})
        whys = [key.why for key in find_orphaned_keys(vault.keys, ledger, forgot, FAR)]
        assert sorted(whys) == ["unheld", "unrecorded"]


def test_keys_of_systems_that_the_policy_dropped_are_found(
    vault: Vault, ledger: Database, encrypting: Policy
) -> None:
    """No command would ever destroy them."""
    record_events(
        ledger, [order("o1", "2020-03-15T13:00:00Z")], "2020-03-15T13:00:00Z", policy=encrypting
    )
    kind = encrypting.events["orders.order-placed"]
    first, *rest = kind.holdings
    without = replace(kind, holdings=(replace(first, systems=("orders", "psp")), *rest))
    forgot = replace(encrypting, events={**encrypting.events, "orders.order-placed": without})
    assert orphaned_keys(vault, ledger, forgot) == {"bus": "unheld"}


def test_keys_that_a_backup_restored_are_found(
    vault: Vault, ledger: Database, encrypting: Policy
) -> None:
    """Their erasure is proven, and yet they exist."""
    record_events(
        ledger, [order("o1", "2020-03-15T13:00:00Z")], "2020-03-15T13:00:00Z", policy=encrypting
    )
    now = "2022-03-16T13:00:00Z"
    claim_all(ledger, now, policy=encrypting)
    send_due(ledger, FakeBus(), now, policy=encrypting)
    erasure = find_command(ledger, system="bus", action="erase")
    acknowledge(ledger, erasure, "done", now, counts={"keys": 1}, policy=encrypting)
    assert orphaned_keys(vault, ledger, encrypting) == {}  # not read again yet
    at = datetime.fromisoformat("2022-03-16T13:00:01Z")
    ledger.run_in_transaction(
        lambda connection: verify_commands(connection, encrypting, at, limit=10)
    )
    send_due(ledger, FakeBus(), at, policy=encrypting)
    check = find_command(ledger, system="bus", action="verify")
    acknowledge(ledger, check, "done", at, counts={"keys": 0}, policy=encrypting)
    assert orphaned_keys(vault, ledger, encrypting) == {"bus": "outlived"}
    vault.shredder.destroy(
        [event_id("orders.order-placed", "/crm", "o1")], "bus", datetime.now(UTC)
    )
    assert orphaned_keys(vault, ledger, encrypting) == {}


def test_keys_are_scanned_in_parts(vault: Vault) -> None:
    """Each part continues after the last, so that each key is checked once."""
    keys: list[ActiveKey] = []
    while part := vault.keys.active_keys(keys[-1] if keys else None, datetime.now(UTC), 1):
        keys += part
        assert len(keys) < 3
    assert sorted(key.system for key in keys) == ["bus", "bus-books"]
    assert timedelta(0) < datetime.now(UTC) - keys[0].made_at
