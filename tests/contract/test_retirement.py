"""Activating a policy that retires something: older obligations are kept, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.deleter import activation
from services.deleter.claim import claim_due
from services.ledger import active_policy, policy_references, tables
from services.ledger.recording import record
from services.ledger.retirement import RetiredTooEarly
from services.policy.model import Policy
from services.storage.database import Database
from tests.contract.event_builders import Event, arrival, feedback, order, ticket
from tests.contract.ledgers import list_commands, select_rows
from tests.contract.retiring_policy import SHIPPED, policy_retiring

NOW = datetime(2026, 1, 10, tzinfo=UTC)
LATER = datetime(2029, 1, 1, tzinfo=UTC)


def record_events(ledger: Database, policy: Policy, events: Iterable[Event]) -> None:
    arrivals = [arrival(event, policy) for event in events]
    ledger.run_in_transaction(
        lambda connection: active_policy.require_active(connection, policy, NOW)
    )
    ledger.run_in_transaction(lambda connection: record(connection, arrivals, policy, NOW))


def activate(ledger: Database, policy: Policy) -> None:
    ledger.run_in_transaction(lambda connection: activation.activate(connection, policy, NOW))


def claimed_erasures(
    ledger: Database, policy: Policy, now: datetime = LATER
) -> list[tuple[str, str]]:
    """Return system and subject of every erasure that was commanded by then."""
    while ledger.run_in_transaction(
        lambda connection: claim_due(connection, policy, now, limit=500)
    ).scanned:
        pass
    commands = select_rows(ledger, tables.command, action="erase")
    return sorted((row.system, row.subject) for row in commands)


def test_a_retired_system_gets_commands_only_about_earlier_events(ledger: Database) -> None:
    """For a late event its own time counts, not its arrival."""
    policy = policy_retiring({"psp": "2026-01-05T00:00:00Z"})
    record_events(ledger, SHIPPED, [order("e1", "2026-01-01T12:00:00Z", "before")])
    activate(ledger, policy)
    late = order("e2", "2026-01-04T23:59:59Z", "late")
    since = order("e3", "2026-01-05T00:00:00Z", "since")
    record_events(ledger, policy, [since, late])
    erased = {subject for system, subject in claimed_erasures(ledger, policy) if system == "psp"}
    assert erased == {"consumer:before", "consumer:late"}
    erased = {subject for system, subject in claimed_erasures(ledger, policy) if system == "orders"}
    assert erased == {"consumer:before", "consumer:late", "consumer:since"}


@pytest.mark.parametrize(
    ("retired", "problem"),
    [
        (
            "psp",
            r"systems\.psp\.retired: its events are recorded up to 2026-01-07.*, got 2026-01-05T12",
        ),
        (
            "service_delivery",
            r"purposes\.service_delivery\.retired: .*2026-01-07.*, got 2026-01-05T12",
        ),
        ("repair", r"systems\.repair\.retired: .*2026-01-08.*; set a later instant"),
    ],
)
def test_a_retirement_before_recorded_events_is_refused(
    ledger: Database, retired: str, problem: str
) -> None:
    """No system would carry out the obligations of those events."""
    events = [
        order("e1", "2026-01-05T12:00:00Z"),
        order("e2", "2026-01-07T12:00:00Z"),
        ticket("e3", "2026-01-05T12:00:00Z"),
    ]
    if retired == "repair":
        events.append(ticket("e4", "2026-01-08T12:00:00Z", shared_with=["repair"]))
    record_events(ledger, SHIPPED, events)
    with pytest.raises(RetiredTooEarly, match=problem):
        activate(ledger, policy_retiring({retired: "2026-01-05T12:00:00Z"}))
    assert len(select_rows(ledger, tables.active_policy)) == 1
    activate(ledger, policy_retiring({retired: "2026-01-08T12:00:01Z"}))


def test_a_system_without_recorded_events_may_be_retired_at_any_time(
    ledger: Database,
) -> None:
    """An order is in neither system, and a ticket is shared with a repairer only if it names one."""
    record_events(
        ledger,
        SHIPPED,
        [order("e1", "2026-01-05T12:00:00Z"), ticket("e2", "2026-01-05T12:00:00Z")],
    )
    activate(
        ledger,
        policy_retiring({"website": "2020-01-01T00:00:00Z", "repair": "2020-01-01T00:00:00Z"}),
    )


def test_a_policy_with_the_same_retirements_is_activated(ledger: Database) -> None:
    """Events since then have no holding there; an earlier instant would revoke obligations."""
    record_events(ledger, SHIPPED, [order("e1", "2026-01-03T12:00:00Z")])
    activate(ledger, policy_retiring({"psp": "2026-01-05T00:00:00Z"}, "2"))
    record_events(
        ledger,
        policy_retiring({"psp": "2026-01-05T00:00:00Z"}, "2"),
        [order("e2", NOW.isoformat())],
    )
    activate(ledger, policy_retiring({"psp": "2026-01-05T00:00:00Z"}, "3"))
    activate(ledger, policy_retiring({"psp": "2026-01-04T00:00:00Z"}, "4"))
    with pytest.raises(RetiredTooEarly, match="recorded up to 2026-01-03T12:00:00"):
        activate(ledger, policy_retiring({"psp": "2026-01-03T00:00:00Z"}, "5"))


@pytest.mark.parametrize("moved", [{}, {"website_experience": "2026-01-09T00:00:00Z"}])
def test_records_of_a_restored_system_get_new_due_times(
    ledger: Database, moved: dict[str, str]
) -> None:
    """Events of the meantime get holdings after all, whatever state their record was in."""
    policy = policy_retiring({"website_experience": "2026-01-05T00:00:00Z"}, "2")
    ledger.run_in_transaction(
        lambda connection: active_policy.require_active(connection, SHIPPED, NOW)
    )
    activate(ledger, policy)
    record_events(ledger, policy, [feedback("e1", "2026-01-07T00:00:00Z")])
    assert claimed_erasures(ledger, policy) == []
    again = policy_retiring(moved, "3")
    activate(ledger, again)
    assert claimed_erasures(ledger, again) == [("website", "visitor:1")]


def test_a_clock_change_reaches_records_of_a_restored_system(ledger: Database) -> None:
    """The ticket's customer ends after the system is in use again."""
    policy = policy_retiring({"helpdesk": "2026-01-05T00:00:00Z"}, "2")
    ledger.run_in_transaction(
        lambda connection: active_policy.require_active(connection, SHIPPED, NOW)
    )
    activate(ledger, policy)
    record_events(ledger, policy, [ticket("e1", "2026-01-07T00:00:00Z", ["9"])])
    activate(ledger, policy_retiring({}, "3"))
    resolved = {
        "id": "e2",
        "source": "/helpdesk",
        "type": "helpdesk.ticket-resolved",
        "time": "2026-01-08T00:00:00Z",
        "data": {"ticket_id": "1", "customer_id": "1"},
    }
    record_events(ledger, policy_retiring({}, "3"), [resolved])
    assert ("helpdesk", "consumer:9") in claimed_erasures(ledger, policy_retiring({}, "3"))


def test_commands_from_before_a_retirement_are_not_cancelled(ledger: Database) -> None:
    """Its event happened before the instant, so the erasure is still required."""
    record_events(ledger, SHIPPED, [feedback("e1", "2024-01-01T00:00:00Z")])
    assert claimed_erasures(ledger, SHIPPED) == [("website", "visitor:1")]
    activate(ledger, policy_retiring({"website": "2026-01-05T00:00:00Z"}))
    assert list_commands(ledger) == [("website", "erase", "unsent")]


def test_a_refused_policy_names_how_to_retire_what_it_lacks(ledger: Database) -> None:
    """Missing are a system that is still needed, and a type of event."""
    record_events(ledger, SHIPPED, [feedback("e1", "2024-01-01T00:00:00Z")])
    remaining_systems = dict(SHIPPED.systems)
    del remaining_systems["website"]
    with pytest.raises(
        policy_references.PolicyStillNeeds, match=r"systems website; keep .*`retired: INSTANT`"
    ):
        activate(ledger, replace(SHIPPED, version="2", systems=remaining_systems))
    types = {name: event for name, event in SHIPPED.events.items() if name != "orders.order-placed"}
    with pytest.raises(
        active_policy.IncompatiblePolicy, match=r"the event types orders\.order-placed are missing"
    ):
        activate(ledger, replace(SHIPPED, version="2", events=types))
