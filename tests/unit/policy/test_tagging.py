"""Tagging under the shipped policy: the catalogue's table of holdings and clocks, written out by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from schemas.cloudevents import CloudEvent
from services.policy import loader
from services.policy.event_subject import business_keys
from services.policy.tagged_event import TaggedEvent
from services.policy.tagging import tag
from services.policy.tagging_error import TaggingFailed

SHIPPED = loader.load()
TIME = datetime(2024, 3, 15, 13, tzinfo=UTC)

Line = tuple[str, str, str, str, str]
"""Subject, purpose, basis, rule, systems."""

RESEARCH = ("internal_research", "legitimate_interest", "R4", "research")
STATUTE = ("legal_compliance", "legal_obligation", "R5", "accounting")
CONTRACT = ("service_delivery", "contract", "R1")


def tagged(type_: str, time: datetime = TIME, **data: Any) -> TaggedEvent:
    return tag(CloudEvent(id="e1", source="/crm", type=type_, time=time, data=data), SHIPPED)


def holdings(tagged_event: TaggedEvent) -> set[Line]:
    lines = [
        (h.subject, h.purpose, h.basis, h.rule, " ".join(h.systems)) for h in tagged_event.holdings
    ]
    assert len(lines) == len(set(lines))
    return set(lines)


def moves(tagged_event: TaggedEvent) -> list[tuple[str, str]]:
    return [(str(move.clock), move.move) for move in tagged_event.clock_changes]


@pytest.mark.parametrize(
    ("type_", "data", "expected"),
    [
        pytest.param(
            "contact.message-received",
            {"message_id": "m1", "visitor_id": "v1"},
            {("visitor:v1", "communication", "legitimate_interest", "D1", "helpdesk mail website")},
            id="visitor-by-form-unless-said",
        ),
        pytest.param(
            "contact.message-received",
            {"message_id": "m1", "visitor_id": "v1", "channel": "form"},
            {("visitor:v1", "communication", "legitimate_interest", "D1", "helpdesk mail website")},
            id="form-is-never-researched",
        ),
        pytest.param(
            "contact.message-received",
            {"message_id": "m1", "visitor_id": "v1", "channel": "phone"},
            {
                (
                    "visitor:v1",
                    "communication",
                    "legitimate_interest",
                    "D1",
                    "helpdesk mail website",
                ),
                ("visitor:v1", *RESEARCH),
            },
            id="visitor-by-phone",
        ),
        pytest.param(
            "contact.message-received",
            {"message_id": "m1", "visitor_id": "v1", "channel": "whatsapp"},
            {
                (
                    "visitor:v1",
                    "communication",
                    "legitimate_interest",
                    "D1",
                    "helpdesk mail website whatsapp",
                ),
                ("visitor:v1", *RESEARCH),
            },
            id="visitor-by-whatsapp",
        ),
        pytest.param(
            "contact.message-received",
            {"message_id": "m1", "customer_id": "c1", "visitor_id": "v1", "channel": "mail"},
            {
                ("customer:c1", "communication", "contract", "R1", "helpdesk mail website"),
                ("customer:c1", *RESEARCH),
            },
            id="customer-before-visitor",
        ),
        pytest.param(
            "contact.message-received",
            {"message_id": "m1", "customer_id": "c1", "shared_with": "repair"},
            {("customer:c1", "communication", "contract", "R1", "helpdesk mail repair website")},
            id="shared-with-one",
        ),
        pytest.param(
            "acquisition.lead-acquired",
            {"prospect_id": "p1", "source": "bought"},
            {("prospect:p1", "acquisition", "legitimate_interest", "D2", "crm mail post")},
            id="lead",
        ),
        pytest.param(
            "customers.customer-signed-up",
            {"customer_id": "c1"},
            {("customer:c1", *CONTRACT, "crm lease orders printer psp website")},
            id="sign-up",
        ),
        pytest.param(
            "customers.customer-details-changed",
            {"customer_id": "c1"},
            {("customer:c1", *CONTRACT, "crm lease orders printer psp website")},
            id="details",
        ),
        pytest.param(
            "purchases.purchase-made",
            {"purchase_id": "1", "customer_id": "c1"},
            {
                ("customer:c1", *CONTRACT, "crm orders printer"),
                ("customer:c1", *STATUTE),
                ("customer:c1", *RESEARCH),
            },
            id="purchase",
        ),
        pytest.param(
            "orders.order-placed",
            {"order_id": "1", "customer_id": "c1", "consumer_id": "k1", "amount": "12.50"},
            {
                ("consumer:k1", "service_delivery", "legitimate_interest", "D4", "orders psp"),
                ("consumer:k1", *STATUTE),
                ("consumer:k1", *RESEARCH),
            },
            id="order-of-the-consumer-alone",
        ),
        pytest.param(
            "billing.invoice-issued",
            {"invoice_id": "1", "customer_id": "c1"},
            {("customer:c1", *CONTRACT, "crm"), ("customer:c1", *STATUTE)},
            id="invoice",
        ),
        pytest.param(
            "credit.check-performed",
            {"check_id": "1", "customer_id": "c1"},
            {("customer:c1", "credit_check", "legitimate_interest", "D3", "credit-bureau crm")},
            id="credit-of-customer",
        ),
        pytest.param(
            "credit.check-performed",
            {"check_id": "1", "prospect_id": "p1"},
            {("prospect:p1", "credit_check", "legitimate_interest", "D3", "credit-bureau crm")},
            id="credit-of-prospect",
        ),
        pytest.param(
            "credit.check-performed",
            {"check_id": "1", "supplier_id": "s1", "contact_id": "p1"},
            {("supplier:p1", "credit_check", "legitimate_interest", "D3", "credit-bureau crm")},
            id="credit-of-supplier-contact",
        ),
        pytest.param(
            "helpdesk.ticket-opened",
            {"ticket_id": "t1", "customer_id": "c1", "consumer_ids": []},
            {("customer:c1", *CONTRACT, "helpdesk"), ("customer:c1", *RESEARCH)},
            id="ticket-without-consumers",
        ),
        pytest.param(
            "helpdesk.ticket-opened",
            {
                "ticket_id": "t1",
                "customer_id": "c1",
                "consumer_ids": ["k1", "k2", "k1"],
                "shared_with": ["repair"],
            },
            {
                ("customer:c1", *CONTRACT, "helpdesk repair"),
                ("customer:c1", *RESEARCH),
                ("consumer:k1", "service_delivery", "legitimate_interest", "D7", "helpdesk repair"),
                ("consumer:k2", "service_delivery", "legitimate_interest", "D7", "helpdesk repair"),
            },
            id="ticket-with-consumers",
        ),
        pytest.param(
            "administration.request-received",
            {"request_id": "r1", "customer_id": "c1"},
            {("customer:c1", *CONTRACT, "accounting crm"), ("customer:c1", *RESEARCH)},
            id="request",
        ),
        pytest.param(
            "suppliers.supplier-engaged",
            {"supplier_id": "s1", "contact_id": "p1"},
            {("supplier:p1", "service_delivery", "legitimate_interest", "R2", "procurement")},
            id="supplier",
        ),
        pytest.param(
            "suppliers.contact-person-changed",
            {"supplier_id": "s1", "former_contact_id": "p1", "contact_id": "p2"},
            {("supplier:p2", "service_delivery", "legitimate_interest", "R2", "procurement")},
            id="contact-person",
        ),
        pytest.param(
            "billing.purchase-invoice-received",
            {"invoice_id": "1", "supplier_id": "s1", "contact_id": "p1"},
            {
                ("supplier:p1", "service_delivery", "legitimate_interest", "R2", "procurement"),
                ("supplier:p1", *STATUTE),
            },
            id="purchase-invoice",
        ),
        pytest.param(
            "recruitment.application-received",
            {"application_id": "a1", "applicant_id": "p1", "keep_consent": False},
            {("applicant:p1", "recruitment", "contract", "R3a", "mail recruitment")},
            id="application",
        ),
        pytest.param(
            "recruitment.application-received",
            {"application_id": "a1", "applicant_id": "p1", "keep_consent": True},
            {("applicant:p1", "recruitment", "consent", "R3b", "mail recruitment")},
            id="application-with-consent",
        ),
        pytest.param(
            "website.feedback-given",
            {"feedback_id": "1", "visitor_id": "v1"},
            {("visitor:v1", "website_experience", "consent", "D5", "website")},
            id="feedback",
        ),
        pytest.param(
            "research.survey-invited",
            {"survey_id": "1", "customer_id": "c1"},
            {("customer:c1", "market_research", "consent", "D6", "mail research")},
            id="survey-of-customer",
        ),
        pytest.param(
            "research.survey-answered",
            {"survey_id": "1", "visitor_id": "v1"},
            {("visitor:v1", "market_research", "consent", "D6", "mail research")},
            id="survey-of-visitor",
        ),
        pytest.param(
            "contact.message-resolved",
            {"message_id": "m1", "visitor_id": "v1"},
            set(),
            id="resolved",
        ),
        pytest.param("acquisition.lead-contacted", {"prospect_id": "p1"}, set(), id="contacted"),
        pytest.param(
            "helpdesk.ticket-resolved",
            {"ticket_id": "t1", "customer_id": "c1"},
            set(),
            id="ticket-resolved",
        ),
        pytest.param(
            "administration.request-handled",
            {"request_id": "r1", "customer_id": "c1"},
            set(),
            id="handled",
        ),
        pytest.param("suppliers.supplier-ended", {"supplier_id": "s1"}, set(), id="supplier-ended"),
        pytest.param(
            "recruitment.application-closed",
            {"application_id": "a1", "applicant_id": "p1"},
            set(),
            id="closed",
        ),
        pytest.param(
            "customers.customer-terminated", {"customer_id": "c1"}, set(), id="terminated"
        ),
        pytest.param(
            "customers.customer-reinstated", {"customer_id": "c1"}, set(), id="reinstated"
        ),
    ],
)
def test_an_event_makes_the_holdings_of_the_catalogue(
    type_: str, data: dict[str, Any], expected: set[Line]
) -> None:
    """One line per (event, subject, purpose), each in the systems that serve the purpose."""
    assert holdings(tagged(type_, **data)) == expected


@pytest.mark.parametrize(
    ("type_", "data", "expected"),
    [
        (
            "contact.message-resolved",
            {"message_id": "m1", "customer_id": "c1"},
            [("message:m1", "end")],
        ),
        (
            "acquisition.lead-acquired",
            {"prospect_id": "p1", "source": "fair"},
            [("last-contact:p1", "end")],
        ),
        ("acquisition.lead-contacted", {"prospect_id": "p1"}, [("last-contact:p1", "end")]),
        ("customers.customer-terminated", {"customer_id": "c1"}, [("relationship:c1", "end")]),
        ("customers.customer-reinstated", {"customer_id": "c1"}, [("relationship:c1", "start")]),
        ("customers.customer-signed-up", {"customer_id": "c1"}, []),
        (
            "helpdesk.ticket-resolved",
            {"ticket_id": "t1", "customer_id": "c1"},
            [("ticket:t1", "end")],
        ),
        (
            "administration.request-handled",
            {"request_id": "r1", "customer_id": "c1"},
            [("request:r1", "end")],
        ),
        (
            "suppliers.supplier-engaged",
            {"supplier_id": "s1", "contact_id": "p1"},
            [("supplier:s1", "start"), ("supplier-contact:s1/p1", "start")],
        ),
        (
            "suppliers.contact-person-changed",
            {"supplier_id": "s1", "former_contact_id": "p1", "contact_id": "p2"},
            [("supplier-contact:s1/p1", "end"), ("supplier-contact:s1/p2", "start")],
        ),
        ("suppliers.supplier-ended", {"supplier_id": "s1"}, [("supplier:s1", "end")]),
        (
            "recruitment.application-closed",
            {"application_id": "a1", "applicant_id": "p1"},
            [("application:a1", "end")],
        ),
    ],
)
def test_an_event_changes_the_clocks_of_the_catalogue(
    type_: str, data: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    """Ruling 13: relationship per customer; (supplier, contact); the rest by their own ids."""
    assert moves(tagged(type_, **data)) == expected


@pytest.mark.parametrize(
    ("type_", "data", "reason", "key"),
    [
        pytest.param("orders.order-lost", {}, "unknown-type", "type", id="unknown-type"),
        pytest.param("orders.order-placed.v1", {}, "unknown-type", "type", id="a-topic-is-no-type"),
        pytest.param(
            "contact.message-received",
            {"message_id": "m1"},
            "unknown-subject",
            "customer_id or visitor_id",
            id="no-subject",
        ),
        pytest.param(
            "credit.check-performed",
            {"check_id": "1", "supplier_id": "s1"},
            "unknown-subject",
            "customer_id or prospect_id or contact_id",
            id="a-supplier-without-contact",
        ),
        pytest.param(
            "customers.customer-terminated", {}, "unknown-subject", "customer_id", id="no-customer"
        ),
        pytest.param(
            "customers.customer-terminated",
            {"customer_id": ""},
            "unknown-subject",
            "customer_id",
            id="empty-customer",
        ),
        pytest.param(
            "customers.customer-terminated",
            {"customer_id": None},
            "unknown-subject",
            "customer_id",
            id="null-customer",
        ),
        pytest.param(
            "billing.invoice-issued",
            {"customer_id": "c1"},
            "missing-field",
            "invoice_id",
            id="missing-key",
        ),
        pytest.param(
            "acquisition.lead-acquired",
            {"prospect_id": "p1"},
            "missing-field",
            "source",
            id="a-lead-needs-its-source",
        ),
        pytest.param(
            "helpdesk.ticket-opened",
            {"ticket_id": "t1", "customer_id": "c1"},
            "missing-field",
            "consumer_ids",
            id="consumers-may-be-empty-not-absent",
        ),
        pytest.param(
            "recruitment.application-received",
            {"application_id": "a1", "applicant_id": "p1"},
            "missing-field",
            "keep_consent",
            id="consent-is-said",
        ),
        pytest.param(
            "recruitment.application-received",
            {"application_id": "a1", "applicant_id": "p1", "keep_consent": "yes"},
            "invalid-field",
            "keep_consent",
            id="consent-is-a-boolean",
        ),
        pytest.param(
            "recruitment.application-received",
            {"application_id": "a1", "applicant_id": "p1", "keep_consent": 1},
            "invalid-field",
            "keep_consent",
            id="one-is-not-true",
        ),
        pytest.param(
            "customers.customer-terminated",
            {"customer_id": 12},
            "invalid-field",
            "customer_id",
            id="a-number-is-no-id",
        ),
        pytest.param(
            "helpdesk.ticket-opened",
            {"ticket_id": "t1", "customer_id": "c1", "consumer_ids": ["k1", 2]},
            "invalid-field",
            "consumer_ids",
            id="a-list-of-texts",
        ),
        pytest.param(
            "helpdesk.ticket-opened",
            {"ticket_id": "t1", "customer_id": "c1", "consumer_ids": ["k1", ""]},
            "invalid-field",
            "consumer_ids",
            id="no-empty-consumer",
        ),
        pytest.param(
            "contact.message-received",
            {"message_id": "m1", "visitor_id": "v1", "channel": "pigeon"},
            "invalid-field",
            "channel",
            id="unknown-channel",
        ),
        pytest.param(
            "contact.message-received",
            {"message_id": "m1", "visitor_id": "v1", "shared_with": ["nobody"]},
            "invalid-field",
            "shared_with",
            id="unknown-system",
        ),
    ],
)
def test_an_event_that_cannot_be_tagged_has_a_reason(
    type_: str, data: dict[str, Any], reason: str, key: str
) -> None:
    """Each reason is that of a dead letter, with the key that is wrong."""
    with pytest.raises(TaggingFailed) as refused:
        tagged(type_, **data)
    assert (refused.value.reason, refused.value.key) == (reason, key)


@pytest.mark.parametrize(
    "time",
    [
        datetime(1899, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9500, 1, 1, tzinfo=UTC),
    ],
)
def test_an_impossible_time_is_refused(time: datetime) -> None:
    """Ruling 15 of the design: a time before 1900 comes from a wrong clock."""
    with pytest.raises(TaggingFailed) as refused:
        tagged("customers.customer-signed-up", time=time, customer_id="c1")
    assert (refused.value.reason, refused.value.key) == ("impossible-time", "time")


@pytest.mark.parametrize(
    "time",
    [
        datetime(1900, 1, 1, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(9499, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ],
)
def test_the_first_and_last_allowed_times_have_retention_windows(time: datetime) -> None:
    """Every term can be computed from them."""
    tagged_event = tagged("purchases.purchase-made", time=time, purchase_id="1", customer_id="c1")
    assert len(tagged_event.holdings) == 3


def test_unknown_fields_of_an_event_are_ignored() -> None:
    """A body may grow; it never reaches the ledger."""
    tagged_event = tagged(
        "customers.customer-signed-up", customer_id="c1", iban="X", nested={"a": 1}
    )
    assert tagged_event.decision_fields == {"customer_id": "c1"}


def test_a_command_has_only_keys_of_the_subjects_rows() -> None:
    """The company of a consumer's order is left out; a pseudonymised record names no person."""
    tagged_event = tagged("orders.order-placed", order_id="o1", customer_id="c1", consumer_id="k1")
    assert business_keys(tagged_event, SHIPPED, "consumer:k1") == {
        "order_id": "o1",
        "consumer_id": "k1",
    }
    assert business_keys(tagged_event, SHIPPED, "consumer:k1", names_subject=False) == {
        "order_id": "o1"
    }
    assert business_keys(tagged_event, SHIPPED, "consumer:k1", excluded=["order_id"]) == {
        "consumer_id": "k1"
    }


def test_a_command_has_only_the_key_that_named_its_subject() -> None:
    """Other fields that could name a subject may belong to other people."""
    tagged_event = tagged(
        "credit.check-performed", check_id="1", customer_id="c1", prospect_id="victim"
    )
    assert business_keys(tagged_event, SHIPPED, "customer:c1") == {
        "check_id": "1",
        "customer_id": "c1",
    }


def test_a_person_who_is_only_mentioned_has_no_key_of_the_event() -> None:
    """The ticket is the customer's, with its own term: erasing a consumer must not erase it."""
    tagged_event = tagged(
        "helpdesk.ticket-opened", ticket_id="t1", customer_id="c1", consumer_ids=["k1"]
    )
    assert business_keys(tagged_event, SHIPPED, "customer:c1") == {
        "ticket_id": "t1",
        "customer_id": "c1",
    }
    assert business_keys(tagged_event, SHIPPED, "consumer:k1") == {}


def test_a_shared_number_is_not_a_key() -> None:
    """A survey has many answers; two suppliers may use one invoice number."""
    answered = tagged("research.survey-answered", survey_id="s1", visitor_id="v1")
    assert business_keys(answered, SHIPPED, "visitor:v1") == {"visitor_id": "v1"}
    received = tagged(
        "billing.purchase-invoice-received", invoice_id="1", supplier_id="s1", contact_id="p1"
    )
    assert business_keys(received, SHIPPED, "supplier:p1") == {"contact_id": "p1"}


def test_keys_that_contain_separators_are_different_clocks() -> None:
    """Supplier `a/b` with contact `c` is not supplier `a` with contact `b/c`."""
    tagged_event = tagged("suppliers.supplier-engaged", supplier_id="a/b", contact_id="c")
    other = tagged("suppliers.supplier-engaged", supplier_id="a", contact_id="b/c")
    assert {str(move.clock) for move in tagged_event.clock_changes}.isdisjoint(
        str(move.clock) for move in other.clock_changes
    )


def test_a_ticket_has_a_record_for_each_person_in_it() -> None:
    """The customer's and each consumer's, in the order of the holdings."""
    tagged_event = tagged(
        "helpdesk.ticket-opened", ticket_id="t1", customer_id="c1", consumer_ids=["k2", "k1"]
    )
    assert tagged_event.subjects == ("customer:c1", "consumer:k2", "consumer:k1")
    assert tagged_event.subject == "customer:c1"


def test_an_event_that_names_no_person_is_partitioned_by_its_clock() -> None:
    """The end of a supplier is in the partition of the supplier's other events."""
    assert tagged("suppliers.supplier-ended", supplier_id="s1").message_key == "supplier:s1"


NAMES = st.text(alphabet="a/: é", max_size=3)
VALUES = st.one_of(st.none(), st.booleans(), st.integers(0, 3), NAMES, st.lists(NAMES, max_size=3))
FIELDS = sorted({name for event in SHIPPED.events.values() for name in event.fields})


@given(st.sampled_from(sorted(SHIPPED.events)), st.dictionaries(st.sampled_from(FIELDS), VALUES))
def test_any_data_is_tagged_or_refused_with_a_key(type_: str, data: dict[str, Any]) -> None:
    """Nothing that a publisher sends breaks the tagger; the same event is tagged the same."""
    try:
        tagged_event = tagged(type_, **data)
    except TaggingFailed as refused:
        event(refused.reason)
        return
    assert tagged_event == tagged(type_, **data)
    assert tagged_event.holdings or tagged_event.clock_changes
    assert all(":" in holding.subject and holding.systems for holding in tagged_event.holdings)
