"""The oracle's `simulate`, against commands worked out by hand from the catalogue."""

from typing import Any

from tests.oracle import simulate

END = "2060-01-01T00:00:00Z"


def event(id_: str, type_: str, time: str, source: str = "/crm", **data: Any) -> dict[str, Any]:
    return {"id": id_, "source": source, "type": type_, "time": time, "data": data}


def terminated(id_: str, time: str) -> dict[str, Any]:
    return event(id_, "customers.customer-terminated", time, customer_id="1")


def reinstated(id_: str, time: str) -> dict[str, Any]:
    return event(id_, "customers.customer-reinstated", time, customer_id="1")


def purchase(id_: str, time: str) -> dict[str, Any]:
    return event(id_, "purchases.purchase-made", time, purchase_id="1", customer_id="1")


def invoice(id_: str, time: str) -> dict[str, Any]:
    return event(id_, "billing.invoice-issued", time, invoice_id="1", customer_id="1")


def ticket(id_: str, time: str, consumers: list[str], **fields: Any) -> dict[str, Any]:
    data = {"ticket_id": "1", "customer_id": "1", "consumer_ids": consumers, **fields}
    return event(id_, "helpdesk.ticket-opened", time, **data)


def ticket_resolved(id_: str, time: str) -> dict[str, Any]:
    return event(id_, "helpdesk.ticket-resolved", time, ticket_id="1", customer_id="1")


def brief(commands: list[dict[str, Any]]) -> list[tuple[str, str, str, str, str]]:
    keys = ("issued_at", "system", "subject", "action", "record")
    return [(c[keys[0]], c[keys[1]], c[keys[2]], c[keys[3]], c[keys[4]]) for c in commands]


def test_a_command_carries_the_agreed_fields() -> None:
    feedback = event("e1", "website.feedback-given", "2024-03-30T02:30:00+01:00", visitor_id="1")
    assert simulate([feedback], END) == [
        {
            "issued_at": "2025-03-29T00:30:00Z",
            "system": "website",
            "subject": "visitor:1",
            "action": "erase",
            "record": "e1",
            "rules": ["D5"],
            "purposes": ["website_experience"],
            "erase_by": "2025-03-30T00:30:00Z",
        }
    ]


def test_a_command_leaves_at_its_instant_and_not_a_second_before() -> None:
    feedback = event("e1", "website.feedback-given", "2023-10-27T00:30:00Z", visitor_id="1")
    assert simulate([feedback], "2024-10-26T00:29:59Z") == []
    assert len(simulate([feedback], "2024-10-26T00:30:00Z")) == 1


def test_a_purchase_leaves_its_systems_one_purpose_after_another() -> None:
    events = [purchase("e1", "2023-12-31T23:30:00Z"), terminated("e2", "2024-02-29T13:00:00Z")]
    commands = simulate(events, END)
    customer = "customer:1"
    assert brief(commands) == [
        # R1: 29 February 2024 + P2Y = 28 February 2026, less 24 hours.
        ("2026-02-27T13:00:00Z", "crm", customer, "erase", "e1"),
        ("2026-02-27T13:00:00Z", "orders", customer, "erase", "e1"),
        ("2026-02-27T13:00:00Z", "printer", customer, "erase", "e1"),
        ("2026-02-27T13:00:00Z", "research", customer, "pseudonymise", "e1"),
        # R5: the local book year is 2024.
        ("2031-12-31T23:00:00Z", "accounting", customer, "erase", "e1"),
        # R4: 1 January 2024 00:30 + P20Y, less 24 hours.
        ("2043-12-30T23:30:00Z", "research", customer, "erase", "e1"),
    ]
    masking, books, research = commands[3:]
    assert (masking["rules"], masking["purposes"]) == (["R4"], ["internal_research"])
    assert masking["erase_by"] == "2026-02-28T13:00:00Z"
    assert (books["rules"], books["erase_by"]) == (["R5"], "2032-01-01T23:00:00Z")
    assert research["erase_by"] == "2043-12-31T23:30:00Z"


def test_research_on_an_order_is_pseudonymised_when_the_consumers_term_ends() -> None:
    order = event("e1", "orders.order-placed", "2024-03-15T13:00:00Z", consumer_id="1")
    consumer = "consumer:1"
    assert brief(simulate([order], END)) == [
        ("2026-03-14T13:00:00Z", "orders", consumer, "erase", "e1"),
        ("2026-03-14T13:00:00Z", "psp", consumer, "erase", "e1"),
        ("2026-03-14T13:00:00Z", "research", consumer, "pseudonymise", "e1"),
        ("2031-12-31T23:00:00Z", "accounting", consumer, "erase", "e1"),
        ("2044-03-14T13:00:00Z", "research", consumer, "erase", "e1"),
    ]


def test_an_applicants_data_leaves_after_a_month_or_a_year() -> None:
    def received(id_: str, name: str, keep: bool) -> dict[str, Any]:
        data: dict[str, Any] = {"application_id": name, "applicant_id": "1", "keep_consent": keep}
        return event(id_, "recruitment.application-received", "2020-01-02T09:00:00Z", **data)

    def closed(id_: str, name: str) -> dict[str, Any]:
        at = "2020-02-29T02:30:00+01:00"
        return event(id_, "recruitment.application-closed", at, application_id=name)

    events = [received("e1", "1", False), received("e2", "2", True), closed("e3", "1")]
    commands = simulate([*events, closed("e4", "2")], END)
    assert [(c["issued_at"], c["system"], c["rules"], c["erase_by"]) for c in commands] == [
        # 29 March 2020 02:30 does not exist: 00:30Z.
        ("2020-03-28T00:30:00Z", "mail", ["R3a"], "2020-03-29T00:30:00Z"),
        ("2020-03-28T00:30:00Z", "recruitment", ["R3a"], "2020-03-29T00:30:00Z"),
        ("2021-02-27T01:30:00Z", "mail", ["R3b"], "2021-02-28T01:30:00Z"),
        ("2021-02-27T01:30:00Z", "recruitment", ["R3b"], "2021-02-28T01:30:00Z"),
    ]


def test_a_replaced_supplier_contact_leaves_procurement_at_that_instant() -> None:
    events = [
        event(
            "e1",
            "suppliers.supplier-engaged",
            "2023-02-01T09:00:00Z",
            supplier_id="1",
            contact_id="1",
        ),
        event(
            "e2",
            "billing.purchase-invoice-received",
            "2023-05-01T09:00:00Z",
            supplier_id="1",
            contact_id="1",
        ),
        event(
            "e3",
            "suppliers.contact-person-changed",
            "2024-10-27T01:30:00Z",
            supplier_id="1",
            former_contact_id="1",
            contact_id="2",
        ),
        event("e4", "suppliers.supplier-ended", "2024-12-01T09:00:00Z", supplier_id="1"),
    ]
    assert brief(simulate(events, END)) == [
        ("2024-10-27T01:30:00Z", "procurement", "supplier:1", "erase", "e1"),
        ("2024-10-27T01:30:00Z", "procurement", "supplier:1", "erase", "e2"),
        ("2024-12-01T09:00:00Z", "procurement", "supplier:2", "erase", "e3"),
        ("2030-12-31T23:00:00Z", "accounting", "supplier:1", "erase", "e2"),
    ]


def test_a_contact_who_returns_keeps_what_came_after() -> None:
    def changed(id_: str, time: str, former: str, successor: str) -> dict[str, Any]:
        data = {"supplier_id": "1", "former_contact_id": former, "contact_id": successor}
        return event(id_, "suppliers.contact-person-changed", time, **data)

    events = [
        changed("e1", "2023-01-01T09:00:00Z", "2", "1"),
        changed("e2", "2023-02-01T09:00:00Z", "1", "2"),
        changed("e3", "2023-03-01T09:00:00Z", "2", "1"),
        changed("e4", "2023-04-01T09:00:00Z", "1", "2"),
    ]
    # e1 was carried out once, and is not carried out again when contact 1 leaves again.
    assert brief(simulate(events, END)) == [
        ("2023-02-01T09:00:00Z", "procurement", "supplier:1", "erase", "e1"),
        ("2023-03-01T09:00:00Z", "procurement", "supplier:2", "erase", "e2"),
        ("2023-04-01T09:00:00Z", "procurement", "supplier:1", "erase", "e3"),
    ]


def test_a_tickets_research_waits_for_the_customer_after_the_consumers() -> None:
    events = [
        ticket("e1", "2024-01-10T09:00:00Z", ["1", "2"], shared_with="repair"),
        ticket_resolved("e2", "2024-02-29T13:00:00Z"),
        terminated("e3", "2024-06-30T10:00:00Z"),
    ]
    commands = simulate(events, END)
    assert brief(commands) == [
        # D7: 29 February + P6M = 29 August 2024, 14:00 in Amsterdam = 12:00Z.
        ("2024-08-28T12:00:00Z", "helpdesk", "consumer:1", "erase", "e1"),
        ("2024-08-28T12:00:00Z", "helpdesk", "consumer:2", "erase", "e1"),
        ("2024-08-28T12:00:00Z", "repair", "consumer:1", "erase", "e1"),
        ("2024-08-28T12:00:00Z", "repair", "consumer:2", "erase", "e1"),
        ("2026-06-29T10:00:00Z", "helpdesk", "customer:1", "erase", "e1"),
        ("2026-06-29T10:00:00Z", "repair", "customer:1", "erase", "e1"),
        ("2026-06-29T10:00:00Z", "research", "customer:1", "pseudonymise", "e1"),
        ("2044-01-09T09:00:00Z", "research", "customer:1", "erase", "e1"),
    ]
    assert commands[6]["erase_by"] == "2026-06-30T10:00:00Z"


def test_a_tickets_research_waits_for_the_consumers_after_the_customer() -> None:
    events = [
        ticket("e1", "2020-01-10T09:00:00Z", ["1"]),
        terminated("e2", "2020-02-01T10:00:00Z"),
        ticket_resolved("e3", "2024-02-29T13:00:00Z"),
    ]
    commands = simulate(events, END)
    assert brief(commands) == [
        ("2022-01-31T10:00:00Z", "helpdesk", "customer:1", "erase", "e1"),
        ("2024-08-28T12:00:00Z", "helpdesk", "consumer:1", "erase", "e1"),
        ("2024-08-28T12:00:00Z", "research", "customer:1", "pseudonymise", "e1"),
        ("2040-01-09T09:00:00Z", "research", "customer:1", "erase", "e1"),
    ]
    assert commands[2]["erase_by"] == "2024-08-29T12:00:00Z"


def test_an_unresolved_ticket_is_never_pseudonymised_but_erased_after_twenty_years() -> None:
    events = [ticket("e1", "2020-01-10T09:00:00Z", ["1"]), terminated("e2", "2020-02-01T10:00:00Z")]
    assert brief(simulate(events, END)) == [
        ("2022-01-31T10:00:00Z", "helpdesk", "customer:1", "erase", "e1"),
        ("2040-01-09T09:00:00Z", "research", "customer:1", "erase", "e1"),
    ]


def test_a_ticket_without_consumers_does_not_wait_for_its_resolution() -> None:
    events = [ticket("e1", "2020-01-10T09:00:00Z", []), terminated("e2", "2020-02-01T10:00:00Z")]
    assert brief(simulate(events, "2039-01-01T00:00:00Z")) == [
        ("2022-01-31T10:00:00Z", "helpdesk", "customer:1", "erase", "e1"),
        ("2022-01-31T10:00:00Z", "research", "customer:1", "pseudonymise", "e1"),
    ]


def test_pseudonymising_is_skipped_where_the_erasure_leaves_at_the_same_instant() -> None:
    # R4 is due 2040-01-09T09:00Z; R1 of this end as well, in the year 2038 + 2.
    events = [purchase("e1", "2020-01-10T09:00:00Z"), terminated("e2", "2038-01-10T09:00:00Z")]
    later = [c for c in brief(simulate(events, END)) if c[1] == "research"]
    assert later == [("2040-01-09T09:00:00Z", "research", "customer:1", "erase", "e1")]


def test_pseudonymising_happens_where_the_erasure_leaves_a_second_later() -> None:
    events = [purchase("e1", "2020-01-10T09:00:00Z"), terminated("e2", "2038-01-10T08:59:59Z")]
    later = [c for c in brief(simulate(events, END)) if c[1] == "research"]
    assert later == [
        ("2040-01-09T08:59:59Z", "research", "customer:1", "pseudonymise", "e1"),
        ("2040-01-09T09:00:00Z", "research", "customer:1", "erase", "e1"),
    ]


def test_a_customer_who_comes_back_in_time_is_not_erased() -> None:
    events = [
        invoice("e1", "2020-01-10T09:00:00Z"),
        terminated("e2", "2021-03-15T13:00:00Z"),
        reinstated("e3", "2023-03-14T12:59:59Z"),
    ]
    assert brief(simulate(events, "2027-01-01T00:00:00Z")) == []


def test_a_customer_who_comes_back_at_the_very_instant_is_not_erased() -> None:
    events = [
        invoice("e1", "2020-01-10T09:00:00Z"),
        terminated("e2", "2021-03-15T13:00:00Z"),
        reinstated("e3", "2023-03-14T13:00:00Z"),
    ]
    assert brief(simulate(events, "2027-01-01T00:00:00Z")) == []


def test_erasures_from_before_the_customer_came_back_are_final() -> None:
    events = [
        purchase("e1", "2020-01-10T09:00:00Z"),
        terminated("e2", "2021-03-15T13:00:00Z"),
        reinstated("e3", "2023-03-14T13:00:01Z"),
        purchase("e4", "2023-06-01T10:00:00Z"),
        terminated("e5", "2023-09-01T10:00:00Z"),
    ]
    customer = "customer:1"
    assert brief(simulate(events, "2027-01-01T00:00:00Z")) == [
        ("2023-03-14T13:00:00Z", "crm", customer, "erase", "e1"),
        ("2023-03-14T13:00:00Z", "orders", customer, "erase", "e1"),
        ("2023-03-14T13:00:00Z", "printer", customer, "erase", "e1"),
        ("2023-03-14T13:00:00Z", "research", customer, "pseudonymise", "e1"),
        # e1's share is done; only what came after follows the second end.
        ("2025-08-31T10:00:00Z", "crm", customer, "erase", "e4"),
        ("2025-08-31T10:00:00Z", "orders", customer, "erase", "e4"),
        ("2025-08-31T10:00:00Z", "printer", customer, "erase", "e4"),
        ("2025-08-31T10:00:00Z", "research", customer, "pseudonymise", "e4"),
    ]


def test_a_second_end_moves_what_was_not_yet_carried_out() -> None:
    events = [
        invoice("e1", "2020-01-10T09:00:00Z"),
        terminated("e2", "2021-03-15T13:00:00Z"),
        terminated("e3", "2022-03-15T13:00:00Z"),
    ]
    assert brief(simulate(events, "2027-01-01T00:00:00Z")) == [
        ("2024-03-14T13:00:00Z", "crm", "customer:1", "erase", "e1")
    ]


def test_a_record_after_the_end_leaves_when_it_becomes_known() -> None:
    events = [
        terminated("e1", "2020-03-15T13:00:00Z"),
        purchase("e2", "2024-05-01T10:00:00Z"),
    ]
    commands = simulate(events, "2027-01-01T00:00:00Z")
    assert brief(commands) == [
        ("2024-05-01T10:00:00Z", "crm", "customer:1", "erase", "e2"),
        ("2024-05-01T10:00:00Z", "orders", "customer:1", "erase", "e2"),
        ("2024-05-01T10:00:00Z", "printer", "customer:1", "erase", "e2"),
        ("2024-05-01T10:00:00Z", "research", "customer:1", "pseudonymise", "e2"),
    ]
    assert {c["erase_by"] for c in commands} == {"2022-03-15T13:00:00Z"}


def test_a_record_after_the_end_but_in_its_window_leaves_with_the_others() -> None:
    events = [terminated("e1", "2020-03-15T13:00:00Z"), invoice("e2", "2021-05-01T10:00:00Z")]
    assert brief(simulate(events, "2027-01-01T00:00:00Z")) == [
        ("2022-03-14T13:00:00Z", "crm", "customer:1", "erase", "e2")
    ]


def test_a_message_resolved_long_before_it_was_received_leaves_at_once() -> None:
    events = [
        event("e1", "contact.message-resolved", "2023-01-15T13:00:00Z", message_id="1"),
        event(
            "e2",
            "contact.message-received",
            "2024-05-01T10:00:00Z",
            message_id="1",
            visitor_id="1",
            channel="whatsapp",
        ),
    ]
    at, visitor = "2024-05-01T10:00:00Z", "visitor:1"
    assert brief(simulate(events, END)) == [
        (at, "helpdesk", visitor, "erase", "e2"),
        (at, "mail", visitor, "erase", "e2"),
        (at, "research", visitor, "pseudonymise", "e2"),
        (at, "website", visitor, "erase", "e2"),
        (at, "whatsapp", visitor, "erase", "e2"),
        ("2044-04-30T10:00:00Z", "research", visitor, "erase", "e2"),
    ]


def test_a_lead_contacted_in_time_stays_and_one_contacted_too_late_is_gone() -> None:
    def lead(id_: str, kind: str, time: str) -> dict[str, Any]:
        return event(id_, f"acquisition.lead-{kind}", time, prospect_id="1", source="bought")

    in_time = [
        lead("e1", "acquired", "2022-01-10T10:00:00Z"),
        lead("e2", "contacted", "2023-01-09T10:00:00Z"),
    ]
    too_late = [
        lead("e1", "acquired", "2022-01-10T10:00:00Z"),
        lead("e2", "contacted", "2023-01-09T10:00:01Z"),
    ]
    assert {c["issued_at"] for c in simulate(in_time, END)} == {"2024-01-08T10:00:00Z"}
    assert {c["issued_at"] for c in simulate(too_late, END)} == {"2023-01-09T10:00:00Z"}


def test_a_system_that_serves_two_purposes_restricts_the_first_and_erases_with_the_last() -> None:
    events = [
        ticket("e1", "2020-01-10T09:00:00Z", [], shared_with=["research"]),
        terminated("e2", "2020-02-01T10:00:00Z"),
    ]
    commands = [c for c in simulate(events, END) if c["system"] == "research"]
    assert brief(commands) == [
        ("2022-01-31T10:00:00Z", "research", "customer:1", "pseudonymise", "e1"),
        ("2022-01-31T10:00:00Z", "research", "customer:1", "restrict", "e1"),
        ("2040-01-09T09:00:00Z", "research", "customer:1", "erase", "e1"),
    ]
    _, restriction, erasure = commands
    assert (restriction["rules"], restriction["purposes"]) == (["R1"], ["service_delivery"])
    assert restriction["erase_by"] == "2022-02-01T10:00:00Z"
    assert erasure["rules"] == ["R1", "R4"]
    assert erasure["purposes"] == ["internal_research", "service_delivery"]
    assert erasure["erase_by"] == "2040-01-10T09:00:00Z"


def test_the_purpose_that_waits_for_an_open_clock_keeps_the_data_in_its_system() -> None:
    opened = ticket("e1", "2020-01-10T09:00:00Z", [], shared_with=["research"])
    # R4's own end comes first here, while the customer is still a customer.
    assert brief(simulate([opened], END)) == [
        ("2040-01-09T09:00:00Z", "research", "customer:1", "restrict", "e1")
    ]


def test_duplicates_and_order_change_nothing() -> None:
    events = [
        ticket("e1", "2024-01-10T09:00:00Z", ["1", "2"]),
        ticket_resolved("e2", "2024-02-29T13:00:00Z"),
        terminated("e3", "2024-06-30T10:00:00Z"),
    ]
    assert simulate([*reversed(events), *events], END) == simulate(events, END)


def test_simulating_no_events_gives_no_commands() -> None:
    assert simulate([], END) == []
