"""The oracle's `explain`, against holdings worked out by hand from the catalogue."""

from typing import Any

import pytest

from tests.oracle import NotInCatalogue, explain


def event(id_: str, type_: str, time: str, source: str = "/crm", **data: Any) -> dict[str, Any]:
    return {"id": id_, "source": source, "type": type_, "time": time, "data": data}


def terminated(id_: str, time: str, **kw: Any) -> dict[str, Any]:
    return event(id_, "customers.customer-terminated", time, customer_id="1", **kw)


def reinstated(id_: str, time: str, **kw: Any) -> dict[str, Any]:
    return event(id_, "customers.customer-reinstated", time, customer_id="1", **kw)


def signed_up(id_: str, time: str) -> dict[str, Any]:
    return event(id_, "customers.customer-signed-up", time, customer_id="1")


def engaged(id_: str, time: str, contact: str = "1", supplier: str = "1") -> dict[str, Any]:
    data = {"supplier_id": supplier, "contact_id": contact}
    return event(id_, "suppliers.supplier-engaged", time, **data)


def changed(id_: str, time: str, former: str, successor: str) -> dict[str, Any]:
    data = {"supplier_id": "1", "former_contact_id": former, "contact_id": successor}
    return event(id_, "suppliers.contact-person-changed", time, **data)


def supplier_ended(id_: str, time: str) -> dict[str, Any]:
    return event(id_, "suppliers.supplier-ended", time, supplier_id="1")


def application(id_: str, time: str, keep: bool, name: str = "1") -> dict[str, Any]:
    data: dict[str, Any] = {"application_id": name, "applicant_id": "1", "keep_consent": keep}
    return event(id_, "recruitment.application-received", time, **data)


def closed(id_: str, time: str, name: str = "1") -> dict[str, Any]:
    data = {"application_id": name, "applicant_id": "1"}
    return event(id_, "recruitment.application-closed", time, **data)


def brief(lines: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    keys = ("event", "purpose", "subject", "basis", "rule", "systems")
    return [tuple(line[key] for key in keys) for line in lines]


def ends(lines: list[dict[str, Any]]) -> dict[str, str | None]:
    return {f"{line['event']} {line['rule']}": line["erase_by"] for line in lines}


def test_a_line_has_exactly_the_contracts_keys() -> None:
    (line,) = explain(
        [signed_up("e1", "2020-01-01T12:00:00Z"), terminated("e2", "2024-03-15T13:00:00Z")]
    )
    assert line.pop("anchor")
    systems = ["crm", "lease", "orders", "printer", "psp", "website"]
    assert line == {
        "event": "e1",
        "type": "customers.customer-signed-up",
        "subject": "customer:1",
        "purpose": "service_delivery",
        "basis": "contract",
        "rule": "R1",
        "stated": True,
        "systems": systems,
        "anchor_at": "2024-03-15T13:00:00Z",
        "not_before": None,
        "erase_by": "2026-03-15T13:00:00Z",
        "due_at": dict.fromkeys(systems, "2026-03-14T13:00:00Z"),
        "state": "scheduled",
    }


def test_a_customer_who_stays_a_customer_has_an_open_window() -> None:
    (line,) = explain([signed_up("e1", "2020-01-01T12:00:00Z")], now="2050-01-01T00:00:00Z")
    assert (line["anchor_at"], line["not_before"], line["erase_by"]) == (None, None, None)
    assert set(line["due_at"].values()) == {None}
    assert line["state"] == "open"


def test_an_invoice_is_kept_until_the_seventh_year_after_its_book_year_has_passed() -> None:
    invoice = event(
        "e1", "billing.invoice-issued", "2024-03-15T13:00:00Z", invoice_id="1", customer_id="1"
    )
    legal, service = explain([invoice])
    assert service["state"] == "open"
    assert service["systems"] == ["crm"]
    assert (legal["rule"], legal["basis"], legal["stated"]) == ("R5", "legal_obligation", True)
    assert legal["anchor_at"] == "2024-12-31T23:00:00Z"
    assert legal["not_before"] == "2031-12-31T23:00:00Z"
    assert legal["erase_by"] == "2032-01-01T23:00:00Z"
    assert legal["due_at"] == {"accounting": "2031-12-31T23:00:00Z"}


@pytest.mark.parametrize(
    ("time", "not_before"),
    [
        ("2023-12-31T23:30:00Z", "2031-12-31T23:00:00Z"),
        ("2023-12-31T23:00:00Z", "2031-12-31T23:00:00Z"),
        ("2023-12-31T22:59:59Z", "2030-12-31T23:00:00Z"),
    ],
)
def test_the_book_year_of_an_invoice_is_the_local_one(time: str, not_before: str) -> None:
    invoice = event("e1", "billing.invoice-issued", time, invoice_id="1", customer_id="1")
    assert explain([invoice])[0]["not_before"] == not_before


def test_a_window_ends_when_its_command_leaves() -> None:
    events = [signed_up("e1", "2020-01-01T12:00:00Z"), terminated("e2", "2024-03-15T13:00:00Z")]
    assert explain(events, now="2026-03-14T12:59:59Z")[0]["state"] == "scheduled"
    assert explain(events, now="2026-03-14T13:00:00Z")[0]["state"] == "ended"


def test_lead_time_is_24_hours_that_pass() -> None:
    feedback = event(
        "e1", "website.feedback-given", "2024-03-30T13:00:00Z", feedback_id="1", visitor_id="1"
    )
    (line,) = explain([feedback])
    # 14:00 on the day of the change is 12:00Z; 24 hours before it the wall clock shows 13:00.
    assert line["erase_by"] == "2025-03-30T12:00:00Z"
    assert line["due_at"] == {"website": "2025-03-29T12:00:00Z"}


@pytest.mark.parametrize(
    ("type_", "data", "expected"),
    [
        (
            "contact.message-received",
            {"message_id": "1", "visitor_id": "1"},
            [("communication", "visitor:1", "legitimate_interest", "D1", "helpdesk mail website")],
        ),
        (
            "contact.message-received",
            {"message_id": "1", "customer_id": "1", "channel": "form"},
            [("communication", "customer:1", "contract", "R1", "helpdesk mail website")],
        ),
        (
            "contact.message-received",
            {"message_id": "1", "visitor_id": "1", "channel": "whatsapp", "shared_with": "repair"},
            [
                (
                    "communication",
                    "visitor:1",
                    "legitimate_interest",
                    "D1",
                    "helpdesk mail repair website whatsapp",
                ),
                ("internal_research", "visitor:1", "legitimate_interest", "R4", "research"),
            ],
        ),
        (
            "acquisition.lead-acquired",
            {"prospect_id": "1", "source": "bought"},
            [("acquisition", "prospect:1", "legitimate_interest", "D2", "crm mail post")],
        ),
        (
            "customers.customer-details-changed",
            {"customer_id": "1"},
            [
                (
                    "service_delivery",
                    "customer:1",
                    "contract",
                    "R1",
                    "crm lease orders printer psp website",
                )
            ],
        ),
        (
            "purchases.purchase-made",
            {"purchase_id": "1", "customer_id": "1"},
            [
                ("internal_research", "customer:1", "legitimate_interest", "R4", "research"),
                ("legal_compliance", "customer:1", "legal_obligation", "R5", "accounting"),
                ("service_delivery", "customer:1", "contract", "R1", "crm orders printer"),
            ],
        ),
        (
            "orders.order-placed",
            {"order_id": "1", "customer_id": "1", "consumer_id": "2"},
            [
                ("internal_research", "consumer:2", "legitimate_interest", "R4", "research"),
                ("legal_compliance", "consumer:2", "legal_obligation", "R5", "accounting"),
                ("service_delivery", "consumer:2", "legitimate_interest", "D4", "orders psp"),
            ],
        ),
        (
            "credit.check-performed",
            {"check_id": "1", "supplier_id": "1", "contact_id": "2"},
            [("credit_check", "supplier:2", "legitimate_interest", "D3", "credit-bureau crm")],
        ),
        (
            "credit.check-performed",
            {"check_id": "1", "prospect_id": "1"},
            [("credit_check", "prospect:1", "legitimate_interest", "D3", "credit-bureau crm")],
        ),
        (
            "helpdesk.ticket-opened",
            {
                "ticket_id": "1",
                "customer_id": "1",
                "consumer_ids": ["2", "1"],
                "shared_with": ["repair"],
            },
            [
                ("internal_research", "customer:1", "legitimate_interest", "R4", "research"),
                ("service_delivery", "consumer:1", "legitimate_interest", "D7", "helpdesk repair"),
                ("service_delivery", "consumer:2", "legitimate_interest", "D7", "helpdesk repair"),
                ("service_delivery", "customer:1", "contract", "R1", "helpdesk repair"),
            ],
        ),
        (
            "administration.request-received",
            {"request_id": "1", "customer_id": "1"},
            [
                ("internal_research", "customer:1", "legitimate_interest", "R4", "research"),
                ("service_delivery", "customer:1", "contract", "R1", "accounting crm"),
            ],
        ),
        (
            "suppliers.contact-person-changed",
            {"supplier_id": "1", "former_contact_id": "1", "contact_id": "2"},
            [("service_delivery", "supplier:2", "legitimate_interest", "R2", "procurement")],
        ),
        (
            "billing.purchase-invoice-received",
            {"invoice_id": "1", "supplier_id": "1", "contact_id": "2"},
            [
                ("legal_compliance", "supplier:2", "legal_obligation", "R5", "accounting"),
                ("service_delivery", "supplier:2", "legitimate_interest", "R2", "procurement"),
            ],
        ),
        (
            "recruitment.application-received",
            {"application_id": "1", "applicant_id": "1", "keep_consent": False},
            [("recruitment", "applicant:1", "contract", "R3a", "mail recruitment")],
        ),
        (
            "recruitment.application-received",
            {"application_id": "1", "applicant_id": "1", "keep_consent": True},
            [("recruitment", "applicant:1", "consent", "R3b", "mail recruitment")],
        ),
        (
            "website.feedback-given",
            {"feedback_id": "1", "visitor_id": "1"},
            [("website_experience", "visitor:1", "consent", "D5", "website")],
        ),
        (
            "research.survey-invited",
            {"survey_id": "1", "visitor_id": "1"},
            [("market_research", "visitor:1", "consent", "D6", "mail research")],
        ),
        (
            "research.survey-answered",
            {"survey_id": "1", "customer_id": "1"},
            [("market_research", "customer:1", "consent", "D6", "mail research")],
        ),
    ],
)
def test_an_event_makes_the_catalogues_holdings(
    type_: str, data: dict[str, Any], expected: list[tuple[str, str, str, str, str]]
) -> None:
    explained = brief(explain([event("e1", type_, "2024-03-15T13:00:00Z", **data)]))
    assert explained == [
        ("e1", purpose, subject, basis, rule, systems.split())
        for purpose, subject, basis, rule, systems in expected
    ]


@pytest.mark.parametrize(
    "type_",
    [
        "contact.message-resolved",
        "acquisition.lead-contacted",
        "helpdesk.ticket-resolved",
        "administration.request-handled",
        "suppliers.supplier-ended",
        "recruitment.application-closed",
        "customers.customer-terminated",
        "customers.customer-reinstated",
    ],
)
def test_what_only_moves_a_clock_makes_no_holding(type_: str) -> None:
    data = {
        "customer_id": "1",
        "message_id": "1",
        "prospect_id": "1",
        "ticket_id": "1",
        "supplier_id": "1",
        "application_id": "1",
    }
    assert explain([event("e1", type_, "2024-03-15T13:00:00Z", **data)]) == []


def test_only_rules_of_the_statement_are_stated() -> None:
    order = event("e1", "orders.order-placed", "2024-03-15T13:00:00Z", consumer_id="1")
    assert {line["rule"]: line["stated"] for line in explain([order])} == {
        "D4": False,
        "R4": True,
        "R5": True,
    }


def test_the_terms_that_count_from_the_event() -> None:
    at = "2024-02-29T13:00:00Z"
    events = [
        event("e1", "orders.order-placed", at, consumer_id="1"),
        event("e2", "credit.check-performed", at, customer_id="1"),
        event("e3", "website.feedback-given", at, visitor_id="1"),
        event("e4", "research.survey-invited", at, visitor_id="1"),
    ]
    assert ends(explain(events)) == {
        "e1 R4": "2044-02-29T13:00:00Z",
        "e1 R5": "2032-01-01T23:00:00Z",
        "e1 D4": "2026-02-28T13:00:00Z",
        "e2 D3": "2025-02-28T13:00:00Z",
        "e3 D5": "2025-02-28T13:00:00Z",
        "e4 D6": "2025-02-28T13:00:00Z",
    }


def test_consent_to_keep_an_application_longer_gives_it_a_year() -> None:
    events = [
        application("e1", "2024-01-02T09:00:00Z", keep=False, name="1"),
        application("e2", "2024-01-03T09:00:00Z", keep=True, name="2"),
        closed("e3", "2024-01-31T09:00:00Z", name="1"),
        closed("e4", "2024-01-31T09:00:00Z", name="2"),
    ]
    without, with_consent = explain(events)
    assert (without["rule"], without["erase_by"]) == ("R3a", "2024-02-29T09:00:00Z")
    assert without["due_at"]["mail"] == "2024-02-28T09:00:00Z"
    assert (with_consent["rule"], with_consent["erase_by"]) == ("R3b", "2025-01-31T09:00:00Z")


def test_the_clock_is_the_applications_not_the_persons() -> None:
    events = [
        application("e1", "2024-01-02T09:00:00Z", keep=False, name="1"),
        application("e2", "2024-01-03T09:00:00Z", keep=False, name="2"),
        closed("e3", "2024-01-31T09:00:00Z", name="2"),
    ]
    assert ends(explain(events)) == {"e1 R3a": None, "e2 R3a": "2024-02-29T09:00:00Z"}


def test_a_later_close_wins_and_receiving_again_reopens_nothing() -> None:
    events = [
        closed("e4", "2024-02-10T09:00:00Z"),
        application("e1", "2024-01-02T09:00:00Z", keep=False),
        closed("e2", "2024-01-31T09:00:00Z"),
        application("e3", "2024-03-01T09:00:00Z", keep=True),
    ]
    assert ends(explain(events)) == {
        "e1 R3a": "2024-03-10T09:00:00Z",
        "e3 R3b": "2025-02-10T09:00:00Z",
    }


def test_a_message_resolved_before_it_was_received_counts_from_the_resolution() -> None:
    received = event(
        "e1", "contact.message-received", "2024-05-01T10:00:00Z", message_id="1", visitor_id="1"
    )
    resolved = event(
        "e2", "contact.message-resolved", "2024-03-15T13:00:00Z", message_id="1", visitor_id="1"
    )
    (line,) = explain([received, resolved])
    assert line["anchor_at"] == "2024-03-15T13:00:00Z"
    assert line["erase_by"] == "2024-09-15T12:00:00Z"


def test_resolving_does_not_touch_a_customers_message() -> None:
    received = event(
        "e1", "contact.message-received", "2024-03-01T10:00:00Z", message_id="1", customer_id="1"
    )
    resolved = event(
        "e2", "contact.message-resolved", "2024-03-15T13:00:00Z", message_id="1", customer_id="1"
    )
    assert explain([received, resolved])[0]["state"] == "open"


def test_clocks_of_different_kinds_with_the_same_id_are_apart() -> None:
    ticket = event(
        "e1",
        "helpdesk.ticket-opened",
        "2024-03-01T10:00:00Z",
        ticket_id="1",
        customer_id="1",
        consumer_ids=["1"],
    )
    others = [
        event("e2", "contact.message-resolved", "2024-03-02T10:00:00Z", message_id="1"),
        event("e3", "administration.request-handled", "2024-03-03T10:00:00Z", request_id="1"),
        closed("e4", "2024-03-04T10:00:00Z"),
        supplier_ended("e5", "2024-03-05T10:00:00Z"),
    ]
    assert ends(explain([ticket, *others])) == {
        "e1 R4": "2044-03-01T10:00:00Z",
        "e1 D7": None,
        "e1 R1": None,
    }


def test_last_contact_is_the_latest_of_acquired_and_contacted() -> None:
    events = [
        event("e1", "acquisition.lead-acquired", "2024-01-10T10:00:00Z", prospect_id="1"),
        event("e2", "acquisition.lead-contacted", "2024-05-10T10:00:00Z", prospect_id="1"),
        event("e3", "acquisition.lead-contacted", "2024-03-10T10:00:00Z", prospect_id="1"),
        event("e4", "acquisition.lead-acquired", "2024-04-10T10:00:00Z", prospect_id="1"),
        event("e5", "acquisition.lead-contacted", "2024-06-10T10:00:00Z", prospect_id="2"),
    ]
    assert ends(explain(events)) == {
        "e1 D2": "2025-05-10T10:00:00Z",
        "e4 D2": "2025-05-10T10:00:00Z",
    }


def test_a_reinstated_customers_window_is_open_again() -> None:
    events = [
        reinstated("e3", "2024-06-01T10:00:00Z"),
        terminated("e2", "2024-03-15T13:00:00Z"),
        signed_up("e1", "2020-01-01T12:00:00Z"),
    ]
    assert explain(events)[0]["state"] == "open"


def test_the_last_clock_change_counts_whatever_came_before() -> None:
    events = [
        signed_up("e1", "2020-01-01T12:00:00Z"),
        terminated("e2", "2024-03-15T13:00:00Z"),
        reinstated("e3", "2024-06-01T10:00:00Z"),
        terminated("e4", "2024-09-01T10:00:00Z"),
        terminated("e5", "2024-08-01T10:00:00Z"),
    ]
    assert explain(events)[0]["erase_by"] == "2026-09-01T10:00:00Z"


@pytest.mark.parametrize(
    ("source_of_end", "id_of_end", "open_"),
    [
        # Against the reinstatement e10 of /crm, at the same instant.
        ("/a", "e99", True),
        ("/z", "e01", False),
        ("/crm", "e09", True),
        ("/crm", "e2", False),  # ids compare as text: "e2" is after "e10"
    ],
)
def test_of_clock_changes_at_one_time_source_and_id_decide(
    source_of_end: str, id_of_end: str, open_: bool
) -> None:
    at = "2024-03-15T13:00:00Z"
    events = [
        signed_up("e1", "2020-01-01T12:00:00Z"),
        terminated(id_of_end, at, source=source_of_end),
        reinstated("e10", at, source="/crm"),
    ]
    assert (explain(events)[0]["state"] == "open") is open_


def test_the_same_instant_in_another_offset_is_the_same_instant() -> None:
    events = [
        signed_up("e1", "2020-01-01T12:00:00Z"),
        terminated("e2", "2024-03-15T14:00:00+01:00"),
        reinstated("e3", "2024-03-15T08:00:00-05:00"),
    ]
    assert explain(events)[0]["state"] == "open"


def test_a_record_after_the_end_depends_on_the_same_end() -> None:
    events = [
        terminated("e1", "2020-03-15T13:00:00Z"),
        event("e2", "billing.invoice-issued", "2024-05-01T10:00:00Z", customer_id="1"),
    ]
    legal, service = explain(events)
    assert service["erase_by"] == "2022-03-15T13:00:00Z"
    assert service["state"] == "ended"
    assert legal["not_before"] == "2031-12-31T23:00:00Z"


def test_a_replaced_contact_ends_at_once_and_the_supplier_goes_on() -> None:
    events = [
        engaged("e1", "2023-02-01T09:00:00Z", contact="1"),
        changed("e2", "2024-10-27T01:30:00Z", "1", "2"),
        event(
            "e3",
            "billing.purchase-invoice-received",
            "2023-05-01T09:00:00Z",
            supplier_id="1",
            contact_id="1",
        ),
    ]
    first, second, legal, bought = explain(events)
    # 01:30Z is the second 02:30 of that night; without a term the wall clock is not read.
    for line in (first, bought):
        assert line["anchor_at"] == line["erase_by"] == "2024-10-27T01:30:00Z"
        assert line["due_at"] == {"procurement": "2024-10-27T01:30:00Z"}
        assert line["state"] == "ended"
    assert (second["subject"], second["state"]) == ("supplier:2", "open")
    assert legal["not_before"] == "2030-12-31T23:00:00Z"


def test_contacts_replaced_to_and_fro_follow_their_last_move() -> None:
    events = [
        engaged("e1", "2023-02-01T09:00:00Z", contact="1"),
        changed("e2", "2023-03-01T09:00:00Z", "1", "2"),
        changed("e3", "2023-04-01T09:00:00Z", "2", "1"),
    ]
    assert ends(explain(events)) == {
        "e1 R2": None,
        "e2 R2": "2023-04-01T09:00:00Z",
        "e3 R2": None,
    }


def test_the_end_of_business_ends_every_contact_at_the_earlier_end() -> None:
    events = [
        engaged("e1", "2023-02-01T09:00:00Z", contact="1"),
        changed("e2", "2023-03-01T09:00:00Z", "1", "2"),
        supplier_ended("e3", "2023-04-01T09:00:00Z"),
        changed("e4", "2023-05-01T09:00:00Z", "2", "3"),
    ]
    assert ends(explain(events)) == {
        "e1 R2": "2023-03-01T09:00:00Z",
        "e2 R2": "2023-04-01T09:00:00Z",
        "e4 R2": "2023-04-01T09:00:00Z",
    }


def test_engaging_a_supplier_again_resumes_its_business_and_only_that_contact() -> None:
    events = [
        engaged("e1", "2023-02-01T09:00:00Z", contact="1"),
        changed("e2", "2023-03-01T09:00:00Z", "1", "2"),
        supplier_ended("e3", "2023-04-01T09:00:00Z"),
        engaged("e4", "2023-05-01T09:00:00Z", contact="3"),
    ]
    assert ends(explain(events)) == {
        "e1 R2": "2023-03-01T09:00:00Z",
        "e2 R2": None,
        "e4 R2": None,
    }


def test_the_same_contact_of_two_suppliers_has_two_clocks() -> None:
    events = [
        engaged("e1", "2023-02-01T09:00:00Z", supplier="1"),
        engaged("e2", "2023-02-01T09:00:00Z", supplier="2"),
        supplier_ended("e3", "2023-04-01T09:00:00Z"),
    ]
    assert ends(explain(events)) == {"e1 R2": "2023-04-01T09:00:00Z", "e2 R2": None}


def test_everything_is_known_whatever_now_is() -> None:
    events = [signed_up("e1", "2020-01-01T12:00:00Z"), terminated("e2", "2024-03-15T13:00:00Z")]
    (line,) = explain(events, now="2021-01-01T00:00:00Z")
    assert line["erase_by"] == "2026-03-15T13:00:00Z"


def test_a_duplicate_counts_once() -> None:
    once = signed_up("e1", "2020-01-01T12:00:00Z")
    again = signed_up("e1", "2020-01-01T13:00:00+01:00")
    assert len(explain([once, again, once])) == 1


def test_the_same_identity_with_other_content_is_refused() -> None:
    with pytest.raises(ValueError, match="other content"):
        explain([signed_up("e1", "2020-01-01T12:00:00Z"), terminated("e1", "2020-01-01T12:00:00Z")])


def test_the_same_id_from_two_sources_is_two_events() -> None:
    first = event("e1", "website.feedback-given", "2024-01-01T12:00:00Z", "/a", visitor_id="1")
    second = event("e1", "website.feedback-given", "2024-01-01T12:00:00Z", "/b", visitor_id="1")
    assert len(explain([first, second])) == 2


def test_what_the_catalogue_does_not_list_is_refused() -> None:
    with pytest.raises(NotInCatalogue, match="hold-hidden"):
        explain([event("e1", "privacy.hold-hidden", "2024-01-01T12:00:00Z", subject="customer:1")])


def test_explaining_no_events_gives_no_lines() -> None:
    assert explain([]) == []
