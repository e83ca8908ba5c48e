"""Short builders of events: as publishers send them, and as the recorder gets them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from schemas.cloudevents import CloudEvent, hash_event, parse_structured
from services.events.incoming_event import TaggedEventRow
from services.policy.model import Policy
from services.policy.tagged_event import TaggedEvent
from services.policy.tagging import tag

Event: TypeAlias = dict[str, Any]


def event(id_: str, type_: str, time: str, source: str = "/crm", **data: Any) -> Event:
    """Return an event in structured mode."""
    return {"id": id_, "source": source, "type": type_, "time": time, "data": data}


def signed_up(id_: str, time: str, customer: str = "1") -> Event:
    return event(id_, "customers.customer-signed-up", time, customer_id=customer)


def terminated(id_: str, time: str, customer: str = "1") -> Event:
    return event(id_, "customers.customer-terminated", time, customer_id=customer)


def reinstated(id_: str, time: str, customer: str = "1") -> Event:
    return event(id_, "customers.customer-reinstated", time, customer_id=customer)


def invoice(id_: str, time: str, customer: str = "1") -> Event:
    return event(id_, "billing.invoice-issued", time, invoice_id=id_, customer_id=customer)


def order(id_: str, time: str, consumer: str = "1") -> Event:
    return event(
        id_, "orders.order-placed", time, order_id=id_, customer_id="1", consumer_id=consumer
    )


def ticket(id_: str, time: str, consumers: Sequence[str] = (), **fields: Any) -> Event:
    return event(
        id_,
        "helpdesk.ticket-opened",
        time,
        ticket_id="1",
        customer_id="1",
        consumer_ids=list(consumers),
        **fields,
    )


def ticket_resolved(id_: str, time: str) -> Event:
    return event(id_, "helpdesk.ticket-resolved", time, ticket_id="1", customer_id="1")


def feedback(id_: str, time: str, visitor: str = "1") -> Event:
    return event(id_, "website.feedback-given", time, feedback_id=id_, visitor_id=visitor)


def engaged(id_: str, time: str, contact: str = "1", supplier: str = "1") -> Event:
    return event(id_, "suppliers.supplier-engaged", time, supplier_id=supplier, contact_id=contact)


def contact_changed(id_: str, time: str, former: str, contact: str, supplier: str = "1") -> Event:
    return event(
        id_,
        "suppliers.contact-person-changed",
        time,
        supplier_id=supplier,
        former_contact_id=former,
        contact_id=contact,
    )


def purchase_invoice(id_: str, time: str, contact: str = "1", supplier: str = "1") -> Event:
    return event(
        id_,
        "billing.purchase-invoice-received",
        time,
        invoice_id=id_,
        supplier_id=supplier,
        contact_id=contact,
    )


def supplier_ended(id_: str, time: str, supplier: str = "1") -> Event:
    return event(id_, "suppliers.supplier-ended", time, supplier_id=supplier)


def parse_event(body: Mapping[str, Any]) -> CloudEvent:
    """Return the event as it is on the bus."""
    return parse_structured(json.dumps(body))


def tag_distinct(events: Iterable[Event], policy: Policy) -> list[tuple[CloudEvent, TaggedEvent]]:
    """Return the events, tagged, in the order given and without repetitions."""
    tagged: dict[tuple[str, str, str], tuple[CloudEvent, TaggedEvent]] = {}
    for body in events:
        cloud_event = parse_event(body)
        tagged.setdefault(
            (cloud_event.type, cloud_event.source, cloud_event.id),
            (cloud_event, tag(cloud_event, policy)),
        )
    return list(tagged.values())


def arrival(
    body: Mapping[str, Any],
    policy: Policy,
    backfill: str | None = None,
    *,
    history: str | None = None,
) -> TaggedEventRow:
    """Return the event as the recorder reads it from the bus."""
    cloud_event = parse_event(body)
    return TaggedEventRow(
        source=cloud_event.source,
        id=cloud_event.id,
        type=cloud_event.type,
        time=cloud_event.time,
        content_hash=hash_event(cloud_event),
        decision_fields=tag(cloud_event, policy).decision_fields,
        topic=f"{cloud_event.type}.v1",
        partition=0,
        offset=0,
        backfill=backfill,
        history=history,
    )
