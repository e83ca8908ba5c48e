"""The shipped policy states what the catalogue states; the tables below are written out by hand."""

from __future__ import annotations

from importlib.resources import files

import yaml

from services.policy import loader

SHIPPED = loader.load()
TEXT = files("services.policy").joinpath(loader.DEFAULT_POLICY).read_text("utf-8")

# id: kind, term, anchor, where the term is from, where the anchor is from
RULES = {
    "R1": ("at_most", "P2Y", "relationship", "stated", "stated"),
    "R2": ("at_most", "P0D", "supplier-contact", "stated", "stated"),
    "R3a": ("at_most", "P1M", "application", "stated", "stated"),
    "R3b": ("at_most", "P1Y", "application", "stated", "derived"),
    "R4": ("at_most", "P20Y", "event", "stated", "derived"),
    "R5": ("at_least", "P7Y", "book-year", "statute", "statute"),
    "D1": ("at_most", "P6M", "message", "derived", "derived"),
    "D2": ("at_most", "P1Y", "last-contact", "derived", "derived"),
    "D3": ("at_most", "P1Y", "event", "derived", "derived"),
    "D4": ("at_most", "P2Y", "event", "derived", "derived"),
    "D5": ("at_most", "P1Y", "event", "derived", "derived"),
    "D6": ("at_most", "P1Y", "event", "derived", "derived"),
    "D7": ("at_most", "P6M", "ticket", "derived", "derived"),
}
# system: role, outside the EEA
SYSTEMS = {
    "crm": ("own", False),
    "orders": ("own", False),
    "psp": ("controller", False),
    "accounting": ("own", False),
    "helpdesk": ("own", False),
    "website": ("processor", False),
    "mail": ("processor", False),
    "printer": ("processor", False),
    "lease": ("processor", False),
    "repair": ("processor", False),
    "post": ("processor", False),
    "whatsapp": ("processor", True),
    "credit-bureau": ("controller", False),
    "recruitment": ("own", False),
    "procurement": ("own", False),
    "research": ("own", False),
}
# clock: key, parent, whether it may stay open without limit
CLOCKS = {
    "relationship": (("customer_id",), None, True),
    "supplier": (("supplier_id",), None, True),
    "supplier-contact": (("supplier_id", "contact_id"), "supplier", True),
    "message": (("message_id",), None, False),
    "ticket": (("ticket_id",), None, False),
    "request": (("request_id",), None, False),
    "application": (("application_id",), None, False),
    "last-contact": (("prospect_id",), None, True),
}
OBJECTIONS = {
    "communication": "restrict",
    "acquisition": "absolute",
    "service_delivery": "restrict",
    "credit_check": "restrict",
    "recruitment": "restrict",
    "legal_compliance": "restrict",
    "website_experience": "restrict",
    "market_research": "withdrawal",
    "internal_research": "restrict",
    "abuse_prevention": "restrict",
}
BASES = {
    "contract": ("GDPR 6(1)(b)", "contract"),
    "legal_obligation": ("GDPR 6(1)(c)", "legal_obligation"),
    "consent": ("GDPR 6(1)(a)", "consent"),
    "legitimate_interest": ("GDPR 6(1)(f)", "legitimate_interest"),
}
# event type: the fields that decide and must be there, the fields that may be there
EVENTS = {
    "contact.message-received": (
        {"message_id"},
        {"customer_id", "visitor_id", "channel", "shared_with"},
    ),
    "contact.message-resolved": ({"message_id"}, {"customer_id", "visitor_id"}),
    "acquisition.lead-acquired": ({"prospect_id", "source"}, set()),
    "acquisition.lead-contacted": ({"prospect_id"}, set()),
    "acquisition.prospect-informed": ({"prospect_id"}, set()),
    "customers.customer-signed-up": ({"customer_id"}, set()),
    "customers.customer-details-changed": ({"customer_id"}, set()),
    "customers.customer-terminated": ({"customer_id"}, set()),
    "customers.customer-reinstated": ({"customer_id"}, set()),
    "purchases.purchase-made": ({"purchase_id", "customer_id"}, set()),
    "orders.order-placed": ({"order_id", "customer_id", "consumer_id"}, set()),
    "billing.invoice-issued": ({"invoice_id", "customer_id"}, set()),
    "billing.purchase-invoice-received": ({"invoice_id", "supplier_id", "contact_id"}, set()),
    "credit.check-performed": (
        {"check_id"},
        {"customer_id", "prospect_id", "supplier_id", "contact_id"},
    ),
    "helpdesk.ticket-opened": ({"ticket_id", "customer_id", "consumer_ids"}, {"shared_with"}),
    "helpdesk.ticket-resolved": ({"ticket_id", "customer_id"}, set()),
    "administration.request-received": ({"request_id", "customer_id"}, set()),
    "administration.request-handled": ({"request_id", "customer_id"}, set()),
    "suppliers.supplier-engaged": ({"supplier_id", "contact_id"}, set()),
    "suppliers.contact-person-changed": ({"supplier_id", "former_contact_id", "contact_id"}, set()),
    "suppliers.supplier-ended": ({"supplier_id"}, set()),
    "recruitment.application-received": ({"application_id", "applicant_id", "keep_consent"}, set()),
    "recruitment.application-closed": ({"application_id", "applicant_id"}, set()),
    "website.feedback-given": ({"feedback_id", "visitor_id"}, set()),
    "research.survey-invited": ({"survey_id"}, {"customer_id", "visitor_id"}),
    "research.survey-answered": ({"survey_id"}, {"customer_id", "visitor_id"}),
}


def test_the_rules_of_the_shipped_policy_are_those_of_the_catalogue() -> None:
    """Term, anchor and source of each; those of the privacy events come with them."""
    business = {
        name: (rule.kind, rule.term, str(rule.anchor), rule.term_from, rule.anchor_from)
        for name, rule in SHIPPED.rules.items()
        if name not in {"D8", "D9"}
    }
    assert business == RULES


def test_only_research_is_pseudonymised() -> None:
    """R4, and nothing else."""
    assert [name for name, rule in SHIPPED.rules.items() if rule.pseudonymise] == ["R4"]


def test_each_derived_term_has_its_reason() -> None:
    """The privacy officer confirms each."""
    derived = {
        name
        for name, rule in SHIPPED.rules.items()
        if "derived" in (rule.term_from, rule.anchor_from)
    }
    assert derived >= {"R3b", "R4", "D1", "D2", "D3", "D4", "D5", "D6", "D7"}
    assert all(SHIPPED.rules[name].rationale for name in derived)


def test_the_systems_of_the_shipped_policy_are_those_of_the_catalogue() -> None:
    """Roles, and a safeguard for each outside the EEA; every lead time is 24 hours unless stated."""
    systems = {name: (system.role, system.outside_eea) for name, system in SHIPPED.systems.items()}
    assert systems == SYSTEMS
    assert {system.lead_time for system in SHIPPED.systems.values()} == {"PT24H"}
    assert all(system.safeguard for system in SHIPPED.systems.values() if system.outside_eea)


def test_the_clocks_of_the_shipped_policy_are_those_of_the_catalogue() -> None:
    """Keys by ruling 13; a clock that an event must end has a longest time to be open."""
    business = {
        name: (clock.key, clock.parent, clock.max_open is None)
        for name, clock in SHIPPED.clocks.items()
        if name in CLOCKS
    }
    assert business == CLOCKS


def test_each_purpose_states_the_effect_of_an_objection() -> None:
    """Direct marketing ends at once, market research counts as withdrawal, the rest is restricted."""
    assert {name: purpose.objection for name, purpose in SHIPPED.purposes.items()} == OBJECTIONS


def test_the_legal_bases_of_the_shipped_policy_are_those_of_the_catalogue() -> None:
    """Each is one of the six grounds."""
    assert {name: (basis.article, basis.ground) for name, basis in SHIPPED.bases.items()} == BASES


def test_the_subjects_of_the_shipped_policy_are_those_of_the_catalogue() -> None:
    """Six kinds."""
    assert set(SHIPPED.subjects) == {
        "customer",
        "consumer",
        "supplier",
        "applicant",
        "prospect",
        "visitor",
    }


def test_the_decision_fields_of_the_shipped_policy_are_those_of_the_catalogue() -> None:
    """A field that has a default may be absent."""
    business = {
        name: (
            {n for n, field in event.fields.items() if field.required and field.default is None},
            {n for n, field in event.fields.items() if not field.required or field.default},
        )
        for name, event in SHIPPED.events.items()
        if not name.startswith("privacy.")
    }
    assert business == EVENTS


def test_every_rule_purpose_system_and_category_is_used() -> None:
    """An unused one would be a typing error; abuse prevention has no shipped event yet."""
    holdings = [holding for event in SHIPPED.events.values() for holding in event.holdings]
    assert set(SHIPPED.rules) == {holding.rule for holding in holdings}
    assert set(SHIPPED.purposes) - {holding.purpose for holding in holdings} == {"abuse_prevention"}
    assert {category for event in SHIPPED.events.values() for category in event.categories} == set(
        SHIPPED.categories
    )


def test_the_privacy_statement_is_not_copied() -> None:
    """Facts in Termijn's own words; cited headings are short."""
    document = yaml.safe_load(TEXT)
    assert all(len(rule["source"]) < 80 for rule in document["rules"].values())


def test_the_digest_of_a_policy_is_unique_and_stable() -> None:
    """By the digest the ledger sees whether a role runs with the active policy."""
    other = loader.load_text(TEXT.replace("term: P2Y", "term: P3Y", 1), "other.yaml")
    assert loader.hash_policy(SHIPPED) == loader.hash_policy(loader.load_text(TEXT, "same.yaml"))
    assert loader.hash_policy(other) != loader.hash_policy(SHIPPED)
