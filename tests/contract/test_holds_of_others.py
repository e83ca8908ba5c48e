"""A legal hold on one person keeps an event from being pseudonymised for others, since research waits."""

from __future__ import annotations

from services.storage.database import Database
from tests.contract.event_builders import event, terminated, ticket, ticket_resolved
from tests.contract.ledgers import FakeBus, claim_all, record_events, send_due

OPENED = "2012-01-01T09:00:00Z"
ENDED = "2012-02-01T09:00:00Z"
LATER = "2015-01-01T09:00:00Z"
HOLD = event(
    "hold",
    "privacy.hold-placed",
    "2012-03-01T09:00:00Z",
    subject="consumer:K1",
    hold_id="H1",
    ground="legal_claim",
)
STORY = [
    ticket("ticket", OPENED, consumers=["K1"]),
    ticket_resolved("resolved", ENDED),
    terminated("ended", ENDED),
]


def sent_actions(bus: FakeBus) -> set[tuple[str, str]]:
    return {(command.system, command.value["action"]) for command in bus.sent}


def test_a_hold_on_a_consumer_after_the_claim_stops_the_dispatch(
    ledger: Database,
) -> None:
    """The customer's ticket names K1: its pseudonymisation is written, but not sent."""
    record_events(ledger, STORY, LATER)
    claim_all(ledger, LATER)
    record_events(ledger, [HOLD], LATER)
    bus = FakeBus()
    send_due(ledger, bus, LATER)
    assert ("research", "pseudonymise") not in sent_actions(bus)
    assert ("helpdesk", "erase") in sent_actions(bus)


def test_without_a_hold_on_a_consumer_the_command_is_sent(ledger: Database) -> None:
    """This shows that the test above fails only because of the hold."""
    record_events(ledger, STORY, LATER)
    claim_all(ledger, LATER)
    bus = FakeBus()
    send_due(ledger, bus, LATER)
    assert ("research", "pseudonymise") in sent_actions(bus)
