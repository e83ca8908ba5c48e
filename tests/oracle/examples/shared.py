"""A system that serves two purposes for one record: a ticket that is shared with research."""

from typing import Any

from tests.oracle.clocks import Event
from tests.oracle.examples.forms import (
    Example,
    Leaves,
    Line,
    act,
    event,
    order,
    requested,
    terminated,
)

CUSTOMER, CONSUMER = "customer:1", "consumer:1"
SERVICE, RESEARCH, BOTH = (
    "service_delivery",
    "internal_research",
    "internal_research service_delivery",
)


def shared(id_: str, at: str) -> Event:
    data: dict[str, Any] = {"ticket_id": id_, "customer_id": "1", "consumer_ids": []}
    return event(id_, "helpdesk.ticket-opened", at, **data, shared_with=["research"])


def delivery(anchor: str | None, erase_by: str | None, due: str | None, state: str) -> Line:
    return Line("e1", SERVICE, "contract", "R1", anchor, erase_by, due, state)


def study(erase_by: str, due: str, state: str) -> Line:
    at = "2020-01-10T10"
    return Line("e1", RESEARCH, "legitimate_interest", "R4", at, erase_by, due, state)


SHARED = (
    Example(
        name="a hold does not stop the restriction of a purpose that ended",
        events=(
            shared("e1", "2020-01-10T10"),
            terminated("e2", "2020-02-01T10"),
            act("p1", "hold-placed", "2022-01-01T10", CUSTOMER, hold_id="h1", ground="legal_claim"),
            act("p2", "hold-released", "2022-06-01T10", CUSTOMER, hold_id="h1"),
        ),
        explained=(
            delivery("2020-02-01T10", "2022-06-02T10", "2022-06-01T10", "ended"),
            study("2040-01-10T10", "2040-01-09T10", "scheduled"),
        ),
        sent=(
            Leaves("2022-01-31T10", "research", "restrict", "e1", "R1", SERVICE, "2022-02-01T10"),
            Leaves("2022-06-01T10", "helpdesk", "erase", "e1", "R1", SERVICE, "2022-06-02T10"),
            Leaves(
                "2022-06-01T10", "research", "pseudonymise", "e1", "R4", RESEARCH, "2022-06-02T10"
            ),
            Leaves("2040-01-09T10", "research", "erase", "e1", "R1 R4", BOTH, "2040-01-10T10"),
        ),
    ),
    Example(
        name="a customer who comes back has the restriction lifted, until the next end",
        events=(
            shared("e1", "2020-01-10T10"),
            terminated("e2", "2020-02-01T10"),
            event("e3", "customers.customer-reinstated", "2022-03-01T10", customer_id="1"),
            terminated("e4", "2023-01-01T10"),
        ),
        explained=(
            delivery("2023-01-01T10", "2025-01-01T10", "2024-12-31T10", "scheduled"),
            study("2040-01-10T10", "2040-01-09T10", "scheduled"),
        ),
        sent=(
            Leaves("2022-01-31T10", "research", "restrict", "e1", "R1", SERVICE, "2022-02-01T10"),
            # What the helpdesk has erased stays so.
            Leaves("2022-01-31T10", "helpdesk", "erase", "e1", "R1", SERVICE, "2022-02-01T10"),
            Leaves(
                "2022-01-31T10", "research", "pseudonymise", "e1", "R4", RESEARCH, "2022-02-01T10"
            ),
            Leaves("2022-03-01T10", "research", "lift", "e1", "R1", SERVICE, "2022-03-01T10"),
            Leaves("2024-12-31T10", "research", "restrict", "e1", "R1", SERVICE, "2025-01-01T10"),
            Leaves("2040-01-09T10", "research", "erase", "e1", "R1 R4", BOTH, "2040-01-10T10"),
        ),
    ),
    Example(
        name="a customer who comes back under a request to restrict is lifted when that ends",
        events=(
            shared("e1", "2020-01-10T10"),
            terminated("e2", "2020-02-01T10"),
            *requested("restriction", "2022-02-10T10", "2022-02-11T10", CUSTOMER),
            event("e3", "customers.customer-reinstated", "2022-03-01T10", customer_id="1"),
            act("p3", "restriction-lifted", "2022-04-01T10", CUSTOMER, request_id="r1"),
        ),
        explained=(
            delivery(None, None, None, "open"),
            study("2040-01-10T10", "2040-01-09T10", "scheduled"),
        ),
        sent=(
            Leaves("2022-01-31T10", "research", "restrict", "e1", "R1", SERVICE, "2022-02-01T10"),
            Leaves("2022-01-31T10", "helpdesk", "erase", "e1", "R1", SERVICE, "2022-02-01T10"),
            Leaves(
                "2022-01-31T10", "research", "pseudonymise", "e1", "R4", RESEARCH, "2022-02-01T10"
            ),
            Leaves("2022-02-11T10", "research", "restrict", "e1", "R1 R4", BOTH, "2022-02-11T10"),
            # Each restriction is lifted, that of the end and that of the request.
            Leaves("2022-04-01T10", "research", "lift", "e1", "R1", SERVICE, "2022-04-01T10"),
            Leaves("2022-04-01T10", "research", "lift", "e1", "R1 R4", BOTH, "2022-04-01T10"),
            Leaves("2040-01-09T10", "research", "restrict", "e1", "R4", RESEARCH, "2040-01-10T10"),
        ),
    ),
    Example(
        name="what a request ends is restricted where an open contract keeps the record",
        events=(
            shared("e1", "2020-01-10T10"),
            *requested("erasure", "2020-01-20T10", "2020-01-21T10", CUSTOMER),
            terminated("e2", "2020-02-01T10"),
        ),
        explained=(
            delivery("2020-02-01T10", "2022-02-01T10", "2022-01-31T10", "scheduled"),
            study("2020-01-21T10", "2020-01-21T10", "ended"),
        ),
        sent=(
            Leaves("2020-01-21T10", "research", "restrict", "e1", "R4", RESEARCH, "2020-01-21T10"),
            Leaves("2022-01-31T10", "helpdesk", "erase", "e1", "R1", SERVICE, "2022-02-01T10"),
            Leaves("2022-01-31T10", "research", "erase", "e1", "R1 R4", BOTH, "2022-02-01T10"),
        ),
    ),
    Example(
        name="access names all purposes of a system, portability those on contract",
        events=(
            shared("e1", "2020-01-10T10"),
            *requested("access", "2020-01-20T10", "2020-01-21T10", CUSTOMER),
            act(
                "p3",
                "request-received",
                "2020-01-22T10",
                CUSTOMER,
                request_id="r2",
                right="portability",
            ),
            act("p4", "identity-verified", "2020-01-23T10", CUSTOMER, request_id="r2"),
        ),
        explained=(
            delivery(None, None, None, "open"),
            study("2040-01-10T10", "2040-01-09T10", "scheduled"),
        ),
        sent=(
            Leaves("2020-01-21T10", "helpdesk", "disclose", "e1", "R1", SERVICE, "2020-01-21T10"),
            Leaves("2020-01-21T10", "research", "disclose", "e1", "R1 R4", BOTH, "2020-01-21T10"),
            Leaves(
                "2020-01-23T10",
                "helpdesk research",
                "disclose",
                "e1",
                "R1",
                SERVICE,
                "2020-01-23T10",
            ),
        ),
        until="2040-01-09T09",
    ),
    Example(
        name="when all leaves at one release, research gets the erasure alone",
        events=(
            order("e1", "2020-01-10T10"),
            act(
                "p1", "hold-placed", "2021-01-01T10", CONSUMER, hold_id="h1", ground="fraud_inquiry"
            ),
            act("p2", "hold-released", "2045-06-01T10", CONSUMER, hold_id="h1"),
        ),
        explained=(
            Line(
                "e1",
                SERVICE,
                "legitimate_interest",
                "D4",
                "2020-01-10T10",
                "2045-06-02T10",
                "2045-06-01T10",
                "ended",
            ),
            Line(
                "e1",
                "legal_compliance",
                "legal_obligation",
                "R5",
                "2020-12-31T23",
                "2045-06-02T10",
                "2045-06-01T10",
                "ended",
            ),
            study("2045-06-02T10", "2045-06-01T10", "ended"),
        ),
        sent=(
            Leaves("2045-06-01T10", "orders psp", "erase", "e1", "D4", SERVICE, "2045-06-02T10"),
            Leaves(
                "2045-06-01T10",
                "accounting",
                "erase",
                "e1",
                "R5",
                "legal_compliance",
                "2045-06-02T10",
            ),
            Leaves("2045-06-01T10", "research", "erase", "e1", "R4", RESEARCH, "2045-06-02T10"),
        ),
    ),
)
