"""One identifying key, two subjects: nothing about either leaves until a person says whose it is."""

from __future__ import annotations

from services.ledger import tables
from services.ledger.database import Ledger
from tests.contract.arrivals import Event, event
from tests.contract.ledgers import Bus, commands, post, rows, sweep, take

PLACED = "2024-03-01T09:00:00Z"
LONG_AGO = "2010-01-01T00:00:00Z"
NOW = "2024-03-02T09:00:00Z"


def order(id_: str, time: str, consumer: str, number: str = "o1", source: str = "/crm") -> Event:
    """An order of a consumer, with the number that it says it has."""
    return event(
        id_,
        "orders.order-placed",
        time,
        source=source,
        order_id=number,
        customer_id="1",
        consumer_id=consumer,
    )


def test_an_order_of_nobody_with_anothers_number_erases_nothing(ledger: Ledger) -> None:
    """Its own terms are long over; the number is the victim's, whose are not."""
    bus = Bus()
    take(ledger, [order("e1", PLACED, "victim")], PLACED)
    take(ledger, [order("e2", LONG_AGO, "nobody", source="/anywhere")], NOW)
    sweep(ledger, NOW)
    post(ledger, bus, NOW)
    assert [(one.system, one.value["action"]) for one in bus.sent] == []
    assert commands(ledger) == []
    assert len(rows(ledger, tables.event)) == 2
