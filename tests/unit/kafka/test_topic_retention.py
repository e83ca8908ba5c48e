"""The retention requirements of topics, by the shipped policy."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from schemas import topics as catalogue
from schemas.avro_paths import field_paths
from schemas.schema_files import load as load_schemas
from schemas.schema_versions import SchemaSet
from schemas.topics import business_topic
from services.kafka.topic_retention import (
    RetentionRequirement,
    plaintext_fields,
    retention_requirements,
    shortest_ms,
)
from services.policy.calendar import parse_period
from services.policy.loader import load
from services.policy.model import Policy
from tests.unit.crypto.stage import document, policy_of

DAY = 86_400_000


@cache
def policy() -> Policy:
    """The shipped policy."""
    return load()


@cache
def schemas() -> SchemaSet:
    """The schemas that ship."""
    return load_schemas()


def retention_requirement(event_type: str) -> RetentionRequirement:
    """Return the requirement of an event type's topic, as if one field were unencrypted."""
    [requirement] = retention_requirements(
        policy(), [business_topic(event_type)], {event_type: ("name",)}
    )
    return requirement


@pytest.mark.parametrize(
    ("term", "days"),
    [("P1M", 28), ("P2M", 59), ("P6M", 181), ("P1Y", 365), ("P7Y", 2555), ("P1Y1M2D", 395)],
)
def test_a_term_has_its_shortest_possible_length(term: str, days: int) -> None:
    """A month may be a February."""
    assert shortest_ms(parse_period(term)) == days * DAY


@pytest.mark.parametrize(
    ("event_type", "rule", "days"),
    [
        ("orders.order-placed", "D4", 730),
        ("customers.customer-signed-up", "R1", 730),
        ("recruitment.application-received", "R3a", 28),
        ("credit.check-performed", "D3", 365),
        ("billing.purchase-invoice-received", "R5", 2555),
    ],
)
def test_the_shortest_term_counts_from_the_event(event_type: str, rule: str, days: int) -> None:
    """The retention clock of another event may start right after it."""
    requirement = retention_requirement(event_type)
    assert (requirement.rule, requirement.window_ms) == (rule, days * DAY)


def test_the_term_after_a_withdrawal_counts_too() -> None:
    """Kept for a year by consent, and for a month without."""
    name = "recruitment.application-received"
    kind = policy().events[name]
    rules = tuple(holding for holding in kind.holdings if holding.on_withdrawal)
    consented = replace(policy(), events={name: replace(kind, holdings=rules)})
    [requirement] = retention_requirements(consented, [business_topic(name)], {})
    assert ([rule.rule for rule in rules], requirement.rule) == (["R3b"], "R3a")


@pytest.mark.parametrize(
    ("event_type", "at_once"),
    [
        ("orders.order-placed", ("erasure request",)),
        ("billing.purchase-invoice-received", ("R2 (P0D)", "erasure request")),
        ("privacy.identity-verified", ("D9 (P0D)",)),
        ("acquisition.lead-acquired", ("objection", "erasure request")),
        ("research.survey-answered", ("consent withdrawn", "objection", "erasure request")),
        ("customers.customer-terminated", ()),
    ],
)
def test_terms_that_end_at_once_are_named(event_type: str, at_once: tuple[str, ...]) -> None:
    """No retention of a topic can follow these."""
    ends = retention_requirement(event_type).immediate_ends
    assert [name for name in at_once if name not in ends] == []
    assert bool(ends) == bool(at_once)


def test_tagged_events_and_dead_letters_have_the_shortest_term_of_all() -> None:
    """They are of every event; commands are sent when a term is over, and have a term of the catalogue."""
    topics = [
        business_topic("orders.order-placed"),
        business_topic("recruitment.application-received"),
        catalogue.TAGGED,
        catalogue.DEAD_LETTERS,
        catalogue.command_topic("crm"),
    ]
    requirements = retention_requirements(policy(), topics, {})
    assert [requirement.rule for requirement in requirements[2:]] == ["R3a", "R3a", None]
    assert requirements[2].window_ms == 28 * DAY


def test_decision_fields_do_not_count_as_unencrypted() -> None:
    """Termijn works with them."""
    fields = [
        {"name": "order_id", "type": "string"},
        {"name": "remarks", "type": "string"},
    ]
    record = {"type": "record", "name": "R", "fields": fields}
    assert plaintext_fields(policy().events["orders.order-placed"], record) == ("remarks",)


def encrypted_requirement(written: dict[str, Any]) -> RetentionRequirement:
    """Return the requirement of the topic of orders under a policy that encrypts them."""
    policy = policy_of(written)
    kind = policy.events["orders.order-placed"]
    clear = plaintext_fields(kind, schemas().newest("orders.order-placed").definition)
    topic = business_topic("orders.order-placed")
    [promise] = retention_requirements(policy, [topic], {"orders.order-placed": clear})
    return promise


def test_an_encrypted_topic_may_be_kept_without_limit() -> None:
    """Its keys are destroyed instead."""
    assert encrypted_requirement(document()) == RetentionRequirement(
        topic=business_topic("orders.order-placed"), kind="business"
    )


def test_one_unencrypted_field_limits_the_whole_topic_to_its_term() -> None:
    """It is named."""
    requirement = encrypted_requirement(
        document(plain=["payment.method", "received_at", "placed_through"])
    )
    assert (requirement.plaintext_fields, requirement.rule) == (("lines[].quantity",), "D4")
    assert requirement.immediate_ends == ("erasure request",)


def test_data_of_other_people_in_an_event_limits_its_topic() -> None:
    """A ticket's consumers limit its topic to their term, whatever of it is encrypted."""
    written = document()
    ticket = written["events"]["helpdesk.ticket-opened"]
    ticket["holdings"] = [
        holding
        if holding.get("subject") or holding["rule"] == "R4"
        else {**holding, "systems": ["helpdesk", "bus"]}
        for holding in ticket["holdings"]
    ]
    definition = schemas().newest("helpdesk.ticket-opened").definition
    deciding = set(ticket["fields"])
    paths = [
        leaf for leaf in field_paths(definition) if leaf.path.partition("[")[0] not in deciding
    ]
    ticket["encrypted"] = {leaf.path: ["bus"] for leaf in paths if leaf.is_text}
    ticket["plain"] = [leaf.path for leaf in paths if not leaf.is_text]
    policy = policy_of(written)
    clear = plaintext_fields(policy.events["helpdesk.ticket-opened"], definition)
    topic = business_topic("helpdesk.ticket-opened")
    [promise] = retention_requirements(policy, [topic], {"helpdesk.ticket-opened": clear})
    assert (promise.rule, promise.window_ms) == ("D7", 181 * DAY)
    assert promise.plaintext_fields == tuple(ticket["encrypted"])
