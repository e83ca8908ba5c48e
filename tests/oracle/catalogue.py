"""The catalogue's tables, written out by hand: the holdings of an event, and the window of each."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TypedDict

from tests.oracle import clocks
from tests.oracle.clocks import Event
from tests.oracle.instants import instant, last_day_of_book_year, midnight_after, plus_months

LEAD = timedelta(hours=24)  # every system's in the shipped policy: 24 hours that pass, not a day

MONTHS = {
    "R1": 24,
    "R2": 0,
    "R3a": 1,
    "R3b": 12,
    "R4": 240,
    "D1": 6,
    "D2": 12,
    "D3": 12,
    "D4": 24,
    "D5": 12,
    "D6": 12,
    "D7": 6,
}
BOOK_YEARS_KEPT = 7

# These move a clock and make no holding.
ONLY_MOVE_A_CLOCK = {
    "contact.message-resolved",
    "acquisition.lead-contacted",
    "helpdesk.ticket-resolved",
    "administration.request-handled",
    "suppliers.supplier-ended",
    "recruitment.application-closed",
    "customers.customer-terminated",
    "customers.customer-reinstated",
}


class NotInCatalogue(ValueError):
    """The event's type is not a business event of the catalogue."""


class Holding(TypedDict):
    """One (event, subject, purpose), in the systems that serve the purpose."""

    event: str
    source: str
    type: str
    subject: str
    purpose: str
    basis: str
    rule: str
    systems: list[str]
    anchor: str
    anchor_at: datetime | None
    not_before: datetime | None
    erase_by: datetime | None
    due_at: dict[str, datetime | None]


def holdings_of(event: Event, known: Iterable[Event]) -> list[Holding]:
    """The holdings that the event makes, with the windows that the known events give them."""
    known = list(known)
    kind, data, at = event["type"], event["data"], instant(event["time"])

    def relationship() -> datetime | None:
        return clocks.customer_ended(known, data["customer_id"])

    def research(subject: str) -> Holding:
        basis = "legitimate_interest"
        return at_most(event, subject, "internal_research", basis, "R4", ["research"], at)

    def book_year(subject: str) -> Holding:
        return at_least(event, subject, "legal_compliance", "legal_obligation", "R5", "accounting")

    def of_customer(*systems: str) -> Holding:
        subject = f"customer:{data['customer_id']}"
        purpose, basis = "service_delivery", "contract"
        return at_most(event, subject, purpose, basis, "R1", list(systems), relationship())

    def of_supplier() -> Holding:
        end = clocks.supplier_or_contact_ended(known, data["supplier_id"], data["contact_id"])
        subject = f"supplier:{data['contact_id']}"
        purpose, basis = "service_delivery", "legitimate_interest"
        return at_most(event, subject, purpose, basis, "R2", ["procurement"], end)

    if kind in ONLY_MOVE_A_CLOCK:
        return []

    if kind == "contact.message-received":
        channel = data.get("channel") or "form"
        systems = ["helpdesk", "website", "mail"]
        if channel == "whatsapp":
            systems.append("whatsapp")
        systems += shared_with(data)
        if data.get("customer_id") is not None:
            subject, basis, rule = f"customer:{data['customer_id']}", "contract", "R1"
            end = relationship()
        else:
            subject, basis, rule = f"visitor:{data['visitor_id']}", "legitimate_interest", "D1"
            end = clocks.message_resolved(known, data["message_id"])
        made = [at_most(event, subject, "communication", basis, rule, systems, end)]
        if channel != "form":
            made.append(research(subject))
        return made

    if kind == "acquisition.lead-acquired":
        subject, basis = f"prospect:{data['prospect_id']}", "legitimate_interest"
        systems = ["crm", "mail", "post"]
        last = clocks.last_contact(known, data["prospect_id"])
        return [at_most(event, subject, "acquisition", basis, "D2", systems, last)]

    if kind in ("customers.customer-signed-up", "customers.customer-details-changed"):
        return [of_customer("crm", "orders", "psp", "lease", "printer", "website")]

    if kind == "purchases.purchase-made":
        customer = f"customer:{data['customer_id']}"
        return [of_customer("crm", "orders", "printer"), book_year(customer), research(customer)]

    if kind == "orders.order-placed":
        consumer, basis = f"consumer:{data['consumer_id']}", "legitimate_interest"
        systems = ["orders", "psp"]
        return [
            at_most(event, consumer, "service_delivery", basis, "D4", systems, at),
            book_year(consumer),
            research(consumer),
        ]

    if kind == "billing.invoice-issued":
        return [of_customer("crm"), book_year(f"customer:{data['customer_id']}")]

    if kind == "credit.check-performed":
        if data.get("customer_id") is not None:
            subject = f"customer:{data['customer_id']}"
        elif data.get("prospect_id") is not None:
            subject = f"prospect:{data['prospect_id']}"
        else:
            subject = f"supplier:{data['contact_id']}"
        basis, systems = "legitimate_interest", ["crm", "credit-bureau"]
        return [at_most(event, subject, "credit_check", basis, "D3", systems, at)]

    if kind == "helpdesk.ticket-opened":
        systems = ["helpdesk", *shared_with(data)]
        made = [of_customer(*systems), research(f"customer:{data['customer_id']}")]
        resolved = clocks.ticket_resolved(known, data["ticket_id"])
        for consumer_id in sorted(set(data.get("consumer_ids") or [])):
            subject, basis = f"consumer:{consumer_id}", "legitimate_interest"
            made.append(at_most(event, subject, "service_delivery", basis, "D7", systems, resolved))
        return made

    if kind == "administration.request-received":
        return [of_customer("crm", "accounting"), research(f"customer:{data['customer_id']}")]

    if kind in ("suppliers.supplier-engaged", "suppliers.contact-person-changed"):
        return [of_supplier()]

    if kind == "billing.purchase-invoice-received":
        return [of_supplier(), book_year(f"supplier:{data['contact_id']}")]

    if kind == "recruitment.application-received":
        subject, systems = f"applicant:{data['applicant_id']}", ["recruitment", "mail"]
        basis, rule = ("consent", "R3b") if data.get("keep_consent") else ("contract", "R3a")
        closed = clocks.application_closed(known, data["application_id"])
        return [at_most(event, subject, "recruitment", basis, rule, systems, closed)]

    if kind == "website.feedback-given":
        subject, purpose = f"visitor:{data['visitor_id']}", "website_experience"
        return [at_most(event, subject, purpose, "consent", "D5", ["website"], at)]

    if kind in ("research.survey-invited", "research.survey-answered"):
        if data.get("customer_id") is not None:
            subject = f"customer:{data['customer_id']}"
        else:
            subject = f"visitor:{data['visitor_id']}"
        systems = ["research", "mail"]
        return [at_most(event, subject, "market_research", "consent", "D6", systems, at)]

    raise NotInCatalogue(f"{kind} (event {event['id']})")


def shared_with(data: Event) -> list[str]:
    """The systems that a ticket or a message adds: one as a text, or a list of them."""
    given = data.get("shared_with") or []
    return [given] if isinstance(given, str) else list(given)


def at_most(
    event: Event,
    subject: str,
    purpose: str,
    basis: str,
    rule: str,
    systems: list[str],
    anchor_at: datetime | None,
) -> Holding:
    """A holding whose data must be gone by the end of its term."""
    if anchor_at is None:
        erase_by = due = None
    elif MONTHS[rule] == 0:
        erase_by = due = anchor_at
    else:
        erase_by = plus_months(anchor_at, MONTHS[rule])
        due = max(anchor_at, erase_by - LEAD)
    return holding(event, subject, purpose, basis, rule, systems, anchor_at, None, erase_by, due)


def at_least(
    event: Event, subject: str, purpose: str, basis: str, rule: str, system: str
) -> Holding:
    """A holding whose data must be there until its term, counted from the book year, has passed."""
    book_year_ends = last_day_of_book_year(instant(event["time"]))
    last_day_kept = book_year_ends.replace(year=book_year_ends.year + BOOK_YEARS_KEPT)
    anchor_at, not_before = midnight_after(book_year_ends), midnight_after(last_day_kept)
    erase_by = not_before + LEAD
    return holding(
        event,
        subject,
        purpose,
        basis,
        rule,
        [system],
        anchor_at,
        not_before,
        erase_by,
        not_before,
    )


def holding(
    event: Event,
    subject: str,
    purpose: str,
    basis: str,
    rule: str,
    systems: list[str],
    anchor_at: datetime | None,
    not_before: datetime | None,
    erase_by: datetime | None,
    due: datetime | None,
) -> Holding:
    return {
        "event": event["id"],
        "source": event["source"],
        "type": event["type"],
        "subject": subject,
        "purpose": purpose,
        "basis": basis,
        "rule": rule,
        "systems": sorted(set(systems)),
        "anchor": f"anchor of {rule}",
        "anchor_at": anchor_at,
        "not_before": not_before,
        "erase_by": erase_by,
        "due_at": dict.fromkeys(sorted(set(systems)), due),
    }
