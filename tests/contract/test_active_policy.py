"""One policy is active; another replaces it when an operator activates it, if it fits what is recorded."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from services.ledger import active_policy, policy_references, tables
from services.ledger.facts import load_tagged_events
from services.ledger.recording import record
from services.policy.event_type import Field
from services.policy.loader import load
from services.policy.model import Policy
from services.storage.database import Database
from tests.contract.event_builders import arrival, event, feedback, order, signed_up, ticket
from tests.contract.ledgers import claim_all, record_events, select_rows

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SHIPPED = load()


def policy_with_term(term: str) -> Policy:
    """Return the shipped policy with another term for D4."""
    rules = {**SHIPPED.rules, "D4": replace(SHIPPED.rules["D4"], term=term)}
    return replace(SHIPPED, version="next", rules=rules)


def test_the_first_policy_becomes_the_active_one(ledger: Database) -> None:
    """An empty ledger takes the configured policy and keeps it."""
    with ledger.transaction() as connection:
        active_policy.require_active(connection, SHIPPED, NOW)
        active_policy.require_active(connection, SHIPPED, NOW)
        assert active_policy.is_active(connection, SHIPPED)
    [row] = select_rows(ledger, tables.active_policy)
    assert (row.policy, row.version) == ("optimum-pos", "2021-05-19.7")


def test_a_role_with_another_policy_refuses(ledger: Database) -> None:
    """A policy with one different term is another policy."""
    with ledger.transaction() as connection:
        active_policy.require_active(connection, SHIPPED, NOW)
        with pytest.raises(
            active_policy.PolicyMismatch, match=r"optimum-pos 2021-05-19\.7, got optimum-pos next;"
        ):
            active_policy.require_active(connection, policy_with_term("P3Y"), NOW)


def test_an_activated_policy_takes_over(ledger: Database) -> None:
    """After `activate` the new policy is accepted, and the old one refused."""
    with ledger.transaction() as connection:
        active_policy.require_active(connection, SHIPPED, NOW)
        active_policy.activate(connection, policy_with_term("P3Y"), NOW)
        active_policy.require_active(connection, policy_with_term("P3Y"), NOW)
        with pytest.raises(active_policy.PolicyMismatch):
            active_policy.require_active(connection, SHIPPED, NOW)


def test_a_policy_that_moves_records_to_other_clocks_is_refused(ledger: Database) -> None:
    """Records depend on the old clocks, and would never become due under the new ones."""
    rules = {**SHIPPED.rules, "D4": replace(SHIPPED.rules["D4"], anchor=SHIPPED.rules["R1"].anchor)}
    with ledger.transaction() as connection:
        active_policy.require_active(connection, SHIPPED, NOW)
        with pytest.raises(active_policy.IncompatiblePolicy, match=r"orders\.order-placed"):
            active_policy.activate(connection, replace(SHIPPED, rules=rules), NOW)


ORDER = "orders.order-placed"
PLACED = SHIPPED.events[ORDER]


def policy_with_order(**changes: Any) -> Policy:
    """Return the shipped policy with another definition of orders."""
    return replace(SHIPPED, events={**SHIPPED.events, ORDER: replace(PLACED, **changes)})


@pytest.mark.parametrize(
    "policy_change",
    [
        pytest.param(policy_with_order(subject=None), id="another subject"),
        pytest.param(policy_with_order(holdings=PLACED.holdings[1:]), id="a holding less"),
        pytest.param(
            replace(
                SHIPPED,
                events={name: event for name, event in SHIPPED.events.items() if name != ORDER},
            ),
            id="no longer known",
        ),
    ],
)
def test_a_policy_that_would_lose_recorded_events_is_not_activated(
    ledger: Database, policy_change: Policy
) -> None:
    """The refusal names the event type, and the active policy stays."""
    with ledger.transaction() as connection:
        active_policy.require_active(connection, SHIPPED, NOW)
    with (
        pytest.raises(active_policy.IncompatiblePolicy) as refused,
        ledger.transaction() as connection,
    ):
        active_policy.activate(connection, replace(policy_change, version="next"), NOW)
    assert refused.value.event_types == (ORDER,)
    with ledger.transaction() as connection:
        active_policy.require_active(connection, SHIPPED, NOW)
    assert len(select_rows(ledger, tables.active_policy)) == 1


def with_fields(version: str, **fields: Field | None) -> Policy:
    """Return the shipped policy with these fields of orders added, changed, or (None) removed."""
    merged = {**PLACED.fields, **fields}
    kept = {name: field for name, field in merged.items() if field is not None}
    return replace(policy_with_order(fields=kept), version=version)


def test_a_policy_with_another_optional_field_is_activated_and_later_one_without_it(
    ledger: Database,
) -> None:
    """Orders that were recorded under each of the three are read under the last."""
    wider = with_fields("wider", table=Field(required=False))
    last = with_fields("last")
    ledger.run_in_transaction(lambda c: active_policy.require_active(c, SHIPPED, NOW))
    record_order(ledger, "o1", SHIPPED)
    ledger.run_in_transaction(lambda c: active_policy.activate(c, wider, NOW))
    record_order(ledger, "o2", wider, table="7")
    ledger.run_in_transaction(lambda c: active_policy.activate(c, last, NOW))
    record_order(ledger, "o3", last)
    ids = [row.event_id for row in select_rows(ledger, tables.event)]
    with ledger.transaction() as connection:
        events = load_tagged_events(connection, ids, last)
    assert sorted((event.id, len(event.holdings)) for event in events.values()) == [
        ("o1", 3),
        ("o2", 3),
        ("o3", 3),
    ]


def record_order(ledger: Database, id_: str, policy: Policy, **fields: str) -> None:
    """Record an order under a policy."""
    placed = order(id_, "2024-03-15T13:00:00Z")
    placed["data"].update(fields)
    rows = [arrival(placed, policy)]
    ledger.run_in_transaction(lambda connection: record(connection, rows, policy, NOW))


def test_a_change_of_fields_that_recorded_events_need_is_refused_with_the_reason(
    ledger: Database,
) -> None:
    """Each line names the field, and what to do; the active policy stays."""
    ledger.run_in_transaction(lambda c: active_policy.require_active(c, SHIPPED, NOW))
    changed = with_fields("next", table=Field(), order_id=None)
    with pytest.raises(active_policy.IncompatiblePolicy) as refused, ledger.transaction() as c:
        active_policy.activate(c, changed, NOW)
    assert str(refused.value) == (
        "policy: events.orders.order-placed.fields.order_id is removed, and it decides about holdings,"
        " clocks or keys of recorded events; keep it;"
        " events.orders.order-placed.fields.table is new and required, and recorded events do not have it;"
        " set `required: false`"
    )
    assert len(select_rows(ledger, tables.active_policy)) == 1


def test_a_policy_with_more_systems_and_other_lead_times_is_activated(ledger: Database) -> None:
    """Records depend on the same clocks as before."""
    slower = replace(SHIPPED.systems["crm"], lead_time="PT216H")
    changed_policy = replace(SHIPPED, version="next", systems={**SHIPPED.systems, "crm": slower})
    arrivals = [arrival(signed_up("s1", "2024-03-15T13:00:00Z"), SHIPPED)]
    ledger.run_in_transaction(
        lambda connection: active_policy.require_active(connection, SHIPPED, NOW)
    )
    ledger.run_in_transaction(lambda connection: record(connection, arrivals, SHIPPED, NOW))
    hung = select_rows(ledger, tables.hanging)
    assert hung
    with ledger.transaction() as connection:
        active_policy.activate(connection, changed_policy, NOW)
        active_policy.require_active(connection, changed_policy, NOW)
        assert active_policy.is_active(connection, changed_policy)
    assert select_rows(ledger, tables.hanging) == hung


def policy_without(*systems: str) -> Policy:
    """Return the shipped policy without these systems."""
    remaining_systems = {
        name: system for name, system in SHIPPED.systems.items() if name not in systems
    }
    return replace(SHIPPED, version="next", systems=remaining_systems)


def test_a_policy_without_a_system_that_was_commanded_is_refused(ledger: Database) -> None:
    """The deleter would end at each start, since it could not read that system's acknowledgements."""
    record_events(ledger, [feedback("e1", "2019-01-01T12:00:00Z")], NOW)
    claim_all(ledger, NOW)
    with ledger.transaction() as connection:
        active_policy.require_active(connection, SHIPPED, NOW)
    with (
        pytest.raises(
            policy_references.PolicyStillNeeds, match="still needs: systems website; keep"
        ) as refused,
        ledger.transaction() as connection,
    ):
        active_policy.activate(connection, policy_without("website", "psp"), NOW)
    assert (refused.value.systems, refused.value.purposes) == (("website",), ())


def test_a_policy_that_lacks_what_events_name_is_refused(ledger: Database) -> None:
    """The refusal names the system of a shared ticket, and the purpose of a consent."""
    shared = ticket("e1", "2025-01-01T12:00:00Z", shared_with=["psp"])
    consent = event(
        "e2",
        "privacy.consent-given",
        "2025-01-01T12:00:00Z",
        subject="customer:1",
        purpose="market_research",
    )
    record_events(ledger, [shared, consent], NOW)
    lacking = replace(
        policy_without("psp"),
        purposes={n: purpose for n, purpose in SHIPPED.purposes.items() if n != "market_research"},
    )
    with ledger.transaction() as connection:
        active_policy.require_active(connection, SHIPPED, NOW)
    with (
        pytest.raises(
            policy_references.PolicyStillNeeds, match="systems psp; purposes market_research; keep"
        ),
        ledger.transaction() as connection,
    ):
        active_policy.activate(connection, lacking, NOW)
    assert len(select_rows(ledger, tables.active_policy)) == 1


@pytest.mark.parametrize("dropped", ["nowhere", "elsewhere"])
def test_a_policy_without_a_system_that_still_holds_data_is_refused(
    ledger: Database, dropped: str
) -> None:
    """No command names it yet, but the erasure that is due later would be lost without a report."""
    record_events(ledger, [feedback("e1", "2026-01-01T12:00:00Z")], NOW)
    with ledger.transaction() as connection:
        active_policy.require_active(connection, SHIPPED, NOW)
    lacking = policy_without("website", "psp")
    if dropped == "elsewhere":
        kind = lacking.events["website.feedback-given"]
        moved = tuple(replace(holding, systems=("crm",)) for holding in kind.holdings)
        kinds = {**lacking.events, "website.feedback-given": replace(kind, holdings=moved)}
        lacking = replace(lacking, events=kinds)
    with (
        pytest.raises(
            policy_references.PolicyStillNeeds, match="still needs: systems website; keep"
        ),
        ledger.transaction() as connection,
    ):
        active_policy.activate(connection, lacking, NOW)
    assert len(select_rows(ledger, tables.active_policy)) == 1


def test_a_policy_may_drop_what_the_ledger_does_not_name(ledger: Database) -> None:
    """An empty ledger needs no system."""
    with ledger.transaction() as connection:
        active_policy.require_active(connection, SHIPPED, NOW)
        active_policy.activate(connection, policy_without("website"), NOW)
