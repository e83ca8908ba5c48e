"""The catalogue's tables, written out by hand: the holdings of an event, and the window of each."""

from collections.abc import Iterable
from datetime import datetime

from tests.oracle import clocks, consents, cuts
from tests.oracle.clocks import Event
from tests.oracle.instants import instant
from tests.oracle.retired import Retired, without_retired
from tests.oracle.windows import Holding, at_least, at_most

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

# Of these only what they mean for other records counts.
MAKE_NO_HOLDING = {
    "acquisition.prospect-informed",
    "privacy.consent-given",
    "privacy.consent-withdrawn",
    "privacy.objection-decided",
    "privacy.request-extended",
    "privacy.request-answered",
    "privacy.request-refused",
    "privacy.restriction-lifted",
    "privacy.complaint-answered",
    "privacy.hold-placed",
    "privacy.hold-released",
}

NOTHING: Retired = {}


class NotInCatalogue(ValueError):
    """The event's type is not in the catalogue."""


def holdings_of(event: Event, events: Iterable[Event], retired: Retired = NOTHING) -> list[Holding]:
    """Return the event's holdings, with the windows that the known events give them.

    Legal holds are left out: they stop a command, and move no window.
    """
    events = list(events)
    return [
        cuts.cut_short(holding, events)
        for holding in without_retired(by_table(event, events), retired)
    ]


def by_table(event: Event, events: list[Event]) -> list[Holding]:
    """Return the holdings in the event's line of the table, each with its own rule's window."""
    kind, data, at = event["type"], event["data"], instant(event["time"])

    def dossier(ended: datetime | None) -> Holding:
        basis, systems = "legal_obligation", ["crm"]
        return at_most(event, data["subject"], "legal_compliance", basis, "D8", systems, ended)

    def relationship() -> datetime | None:
        return clocks.customer_ended(events, data["customer_id"])

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
        end = clocks.supplier_or_contact_ended(events, data["supplier_id"], data["contact_id"])
        subject = f"supplier:{data['contact_id']}"
        purpose, basis = "service_delivery", "legitimate_interest"
        return at_most(event, subject, purpose, basis, "R2", ["procurement"], end)

    if kind in ONLY_MOVE_A_CLOCK | MAKE_NO_HOLDING:
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
            end = clocks.message_resolved(events, data["message_id"])
        holdings = [at_most(event, subject, "communication", basis, rule, systems, end)]
        if channel != "form":
            holdings.append(research(subject))
        return holdings

    if kind == "acquisition.lead-acquired":
        subject, basis = f"prospect:{data['prospect_id']}", "legitimate_interest"
        systems = ["crm", "mail", "post"]
        last = clocks.last_contact(events, data["prospect_id"])
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
        holdings = [of_customer(*systems), research(f"customer:{data['customer_id']}")]
        resolved = clocks.ticket_resolved(events, data["ticket_id"])
        for consumer_id in sorted(set(data.get("consumer_ids") or [])):
            subject, basis = f"consumer:{consumer_id}", "legitimate_interest"
            holdings.append(
                at_most(event, subject, "service_delivery", basis, "D7", systems, resolved)
            )
        return holdings

    if kind == "administration.request-received":
        return [of_customer("crm", "accounting"), research(f"customer:{data['customer_id']}")]

    if kind in ("suppliers.supplier-engaged", "suppliers.contact-person-changed"):
        return [of_supplier()]

    if kind == "billing.purchase-invoice-received":
        return [of_supplier(), book_year(f"supplier:{data['contact_id']}")]

    if kind == "recruitment.application-received":
        subject = f"applicant:{data['applicant_id']}"
        basis, rule, fell_back = consents.to_keep_application(event, events)
        closed = clocks.application_closed(events, data["application_id"])
        systems = ["recruitment", "mail"]
        holding = at_most(event, subject, "recruitment", basis, rule, systems, closed)
        return [cuts.not_before_withdrawal(holding, fell_back)]

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

    if kind == "privacy.request-received":
        return [dossier(clocks.request_closed(events, data["request_id"]))]

    if kind == "privacy.objection-raised":
        return [dossier(clocks.objection_decided(events, data["subject"], data["purpose"]))]

    if kind == "privacy.complaint-received":
        return [dossier(clocks.complaint_answered(events, data["complaint_id"]))]

    if kind == "privacy.identity-verified":
        basis, systems = "legal_obligation", ["crm", "mail"]
        return [at_most(event, data["subject"], "legal_compliance", basis, "D9", systems, at)]

    raise NotInCatalogue(f"{kind} (event {event['id']})")


def shared_with(data: Event) -> list[str]:
    """Return the systems that a ticket or message adds, given as one text or a list of texts."""
    recipients = data.get("shared_with") or []
    return [recipients] if isinstance(recipients, str) else list(recipients)
