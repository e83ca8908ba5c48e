"""What is promised of a topic, by the shipped policy."""

from __future__ import annotations

from functools import cache

import pytest

from schemas import catalogue
from schemas.catalogue import business_topic
from services.policy.calendar import period
from services.policy.loader import load
from services.policy.model import Policy
from services.topics.promises import Promise, in_clear, promises, shortest_ms

DAY = 86_400_000


@cache
def policy() -> Policy:
    """The shipped policy."""
    return load()


def promised(event_type: str) -> Promise:
    """Of the topic of an event type, as if one field of it were in clear."""
    [found] = promises(policy(), [business_topic(event_type)], {event_type: ("name",)})
    return found


@pytest.mark.parametrize(
    ("term", "days"),
    [("P1M", 28), ("P2M", 59), ("P6M", 181), ("P1Y", 365), ("P7Y", 2555), ("P1Y1M2D", 395)],
)
def test_a_term_is_as_short_as_it_can_be(term: str, days: int) -> None:
    """A month may be a February."""
    assert shortest_ms(period(term)) == days * DAY


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
    """Also where the clock is another's: it may stop right after."""
    found = promised(event_type)
    assert (found.rule, found.window_ms) == (rule, days * DAY)


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
def test_what_ends_at_once_is_named(event_type: str, at_once: tuple[str, ...]) -> None:
    """No topic's retention can follow these."""
    found = promised(event_type).at_once
    assert [one for one in at_once if one not in found] == []
    assert bool(found) == bool(at_once)


def test_tags_and_dead_letters_have_the_shortest_term_of_all() -> None:
    """They are of every event; a command leaves when a term is over, and has the catalogue's own."""
    topics = [
        business_topic("orders.order-placed"),
        business_topic("recruitment.application-received"),
        catalogue.TAGGED,
        catalogue.DEAD_LETTERS,
        catalogue.commands("crm"),
    ]
    found = promises(policy(), topics, {})
    assert [one.rule for one in found[2:]] == ["R3a", "R3a", None]
    assert found[2].window_ms == 28 * DAY


def test_deciding_fields_are_not_among_those_in_clear() -> None:
    """Termijn works with them."""
    fields = [
        {"name": "order_id", "type": "string"},
        {"name": "remarks", "type": "string"},
    ]
    record = {"type": "record", "name": "R", "fields": fields}
    assert in_clear(policy().events["orders.order-placed"], record) == ("remarks",)
