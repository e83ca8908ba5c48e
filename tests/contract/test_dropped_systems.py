"""A policy that removes a system from recorded events is refused, unless an operator names the system."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.deleter import activation
from services.ledger import active_policy, tables
from services.ledger.policy_references import Drop, NothingDropped, PromiseDropped
from services.ledger.recording import record
from services.policy.event_type import HoldingRule
from services.policy.loader import load
from services.policy.model import Policy
from services.storage.database import Database
from tests.contract.concurrency import PATIENCE_SECONDS, wait_for_lock, worker_threads
from tests.contract.event_builders import Event, arrival, event, feedback, ticket
from tests.contract.ledgers import claim_all, list_commands, select_rows

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD = "2019-01-01T12:00:00Z"
SHIPPED = load()
FEEDBACK, TICKET = "website.feedback-given", "helpdesk.ticket-opened"
MESSAGE = "contact.message-received"


def message(id_: str, channel: str) -> Event:
    """Return a visitor's message."""
    return event(id_, MESSAGE, OLD, message_id=id_, visitor_id="1", channel=channel)


def change_holdings(
    event_type: str, change: Callable[[HoldingRule], HoldingRule], version: str = "next"
) -> Policy:
    """Return the shipped policy with other holdings for one event type."""
    rule = SHIPPED.events[event_type]
    holdings = tuple(change(holding) for holding in rule.holdings)
    events = {**SHIPPED.events, event_type: replace(rule, holdings=holdings)}
    return replace(SHIPPED, version=version, events=events)


def in_crm(holding: HoldingRule) -> HoldingRule:
    return replace(holding, systems=("crm",))


def in_crm_as_well(holding: HoldingRule) -> HoldingRule:
    return replace(holding, systems=(*holding.systems, "crm"))


def named_by_no_field(holding: HoldingRule) -> HoldingRule:
    return replace(holding, systems_from=None)


def consumers_named_by_no_field(holding: HoldingRule) -> HoldingRule:
    return replace(holding, systems_from=None) if holding.subject else holding


def not_in_whatsapp(holding: HoldingRule) -> HoldingRule:
    return replace(holding, systems_when={})


def whatsapp_always(holding: HoldingRule) -> HoldingRule:
    if not holding.systems_when:
        return holding
    return replace(holding, systems_when={}, systems=(*holding.systems, "whatsapp"))


def keep(ledger: Database, *events: Event) -> None:
    """Record events under the shipped policy."""
    arrivals = [arrival(each, SHIPPED) for each in events]
    with ledger.transaction() as connection:
        active_policy.require_active(connection, SHIPPED, NOW)
        record(connection, arrivals, SHIPPED, NOW)


def activate(ledger: Database, policy: Policy, *drops: Drop) -> None:
    ledger.run_in_transaction(
        lambda connection: activation.activate(connection, policy, NOW, drops)
    )


def versions(ledger: Database) -> list[str]:
    return [row.version for row in select_rows(ledger, tables.active_policy)]


@pytest.mark.parametrize(
    ("recorded_event", "event_type", "change", "drops"),
    [
        (feedback("e1", OLD), FEEDBACK, in_crm, [Drop(FEEDBACK, "website")]),
        (
            ticket("e1", OLD, shared_with=["repair"]),
            TICKET,
            named_by_no_field,
            [Drop(TICKET, "repair")],
        ),
        (
            ticket("e1", OLD, ["7"], shared_with=["repair"]),
            TICKET,
            consumers_named_by_no_field,
            [Drop(TICKET, "repair")],
        ),
        (message("e1", "whatsapp"), MESSAGE, not_in_whatsapp, [Drop(MESSAGE, "whatsapp")]),
    ],
    ids=["always", "named-by-the-event", "of-some-subjects-only", "by-a-field's-value"],
)
def test_a_policy_that_takes_a_system_from_recorded_events_is_refused(
    ledger: Database,
    recorded_event: Event,
    event_type: str,
    change: Callable[[HoldingRule], HoldingRule],
    drops: list[Drop],
) -> None:
    """The system itself stays known, but would never erase its data of these events."""
    keep(ledger, recorded_event)
    with pytest.raises(PromiseDropped) as refused:
        activate(ledger, change_holdings(event_type, change))
    assert refused.value.drops == tuple(drops)
    assert f"--drop {event_type}:{drops[0].system}" in str(refused.value)
    assert versions(ledger) == [SHIPPED.version]
    activate(ledger, change_holdings(event_type, change), *drops)
    assert versions(ledger)[-1] == "next"


@pytest.mark.parametrize(
    ("recorded_event", "event_type", "change"),
    [
        (feedback("e1", OLD), FEEDBACK, in_crm_as_well),
        (feedback("e1", OLD), TICKET, named_by_no_field),
        (ticket("e1", OLD), TICKET, named_by_no_field),
        (message("e1", "form"), MESSAGE, not_in_whatsapp),
        (message("e1", "whatsapp"), MESSAGE, whatsapp_always),
    ],
    ids=["one-more", "another-type", "named-nothing", "another-value", "always-instead"],
)
def test_a_policy_that_takes_nothing_from_recorded_events_is_activated(
    ledger: Database,
    recorded_event: Event,
    event_type: str,
    change: Callable[[HoldingRule], HoldingRule],
) -> None:
    """What counts is where the recorded events are, not what the policy defines for others."""
    keep(ledger, recorded_event)
    activate(ledger, change_holdings(event_type, change))
    assert versions(ledger)[-1] == "next"


def test_only_what_the_policy_drops_can_be_named(ledger: Database) -> None:
    """A misspelt name would accept an unchecked loss, so nothing is activated."""
    keep(ledger, feedback("e1", OLD))
    for drops in ([Drop(FEEDBACK, "crm")], [Drop(FEEDBACK, "website"), Drop(TICKET, "website")]):
        with pytest.raises((PromiseDropped, NothingDropped)):
            activate(ledger, change_holdings(FEEDBACK, in_crm), *drops)
    assert versions(ledger) == [SHIPPED.version]


def test_commands_to_a_dropped_system_are_cancelled(ledger: Database) -> None:
    """The command in the outbox is cancelled, and the next policy is compared with this one."""
    keep(ledger, feedback("e1", OLD))
    claim_all(ledger, NOW)
    assert ("website", "erase", "unsent") in list_commands(ledger)
    activate(ledger, change_holdings(FEEDBACK, in_crm), Drop(FEEDBACK, "website"))
    assert ("website", "erase", "unsent") not in list_commands(ledger)
    activate(ledger, change_holdings(FEEDBACK, in_crm, "third"))
    with pytest.raises(PromiseDropped, match=f"recorded events: crm those of {FEEDBACK}"):
        activate(ledger, replace(SHIPPED, version="fourth"))


def test_an_activation_sees_the_first_event_that_is_being_recorded(
    ledger: Database,
) -> None:
    """It waits for the recorder's transaction, and then refuses to take the system from its event."""
    if ledger.is_sqlite:
        pytest.skip("writes exclude each other there")
    with ledger.transaction() as connection:
        active_policy.require_active(connection, SHIPPED, NOW)
    with worker_threads(1) as pool:
        with ledger.transaction() as open_transaction:
            active_policy.require_active(open_transaction, SHIPPED, NOW)
            record(open_transaction, [arrival(feedback("e1", OLD), SHIPPED)], SHIPPED, NOW)
            activating = pool.submit(activate, ledger, change_holdings(FEEDBACK, in_crm))
            wait_for_lock(ledger, activating)
        with pytest.raises(PromiseDropped):
            activating.result(PATIENCE_SECONDS)
    assert versions(ledger) == [SHIPPED.version]


def test_two_operators_that_drop_a_system_at_once_activate_it_once(ledger: Database) -> None:
    """The second waits for the first, and finds that there is nothing left to drop."""
    if ledger.is_sqlite:
        pytest.skip("writes exclude each other there")
    keep(ledger, feedback("e1", OLD))
    policy, drop = change_holdings(FEEDBACK, in_crm), Drop(FEEDBACK, "website")
    with worker_threads(1) as pool:
        with ledger.transaction() as first:
            activation.activate(first, policy, NOW, [drop])
            second = pool.submit(activate, ledger, policy, drop)
            wait_for_lock(ledger, second)
        with suppress(NothingDropped):
            second.result(PATIENCE_SECONDS)
    assert versions(ledger) == [SHIPPED.version, "next"]
