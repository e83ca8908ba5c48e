"""Legal holds: what they stop, what they do not stop, and what leaves at their release."""

from typing import Any

from tests.oracle.clocks import Event
from tests.oracle.examples.forms import (
    Example,
    Leaves,
    Line,
    act,
    event,
    feedback,
    order,
    requested,
    terminated,
)

VISITOR, CUSTOMER, CONSUMER = "visitor:1", "customer:1", "consumer:1"
SERVICE, RESEARCH, LEGAL = "service_delivery", "internal_research", "legal_compliance"

# Feedback of 10 January 2024 is due at 2025-01-09T10, and must be gone by 2025-01-10T10.
GIVEN = feedback("e1", "2024-01-10T10")
DUE, BY = "2025-01-09T10", "2025-01-10T10"


def placed(id_: str, at: str, subject: str = VISITOR, name: str = "h1", **fields: Any) -> Event:
    return act(id_, "hold-placed", at, subject, hold_id=name, ground="legal_claim", **fields)


def released(id_: str, at: str, subject: str = VISITOR, name: str = "h1") -> Event:
    return act(id_, "hold-released", at, subject, hold_id=name)


def line(erase_by: str, due: str, state: str, id_: str = "e1", at: str = "2024-01-10T10") -> Line:
    return Line(id_, "website_experience", "consent", "D5", at, erase_by, due, state)


def leaves(at: str, erase_by: str, id_: str = "e1") -> Leaves:
    return Leaves(at, "website", "erase", id_, "D5", "website_experience", erase_by)


HOLDS = (
    Example(
        name="what fell due under a hold leaves at its release, with the lead time from there",
        events=(GIVEN, placed("p1", "2025-01-01T12"), released("p2", "2025-03-01T12")),
        explained=(line("2025-03-02T12", "2025-03-01T12", "ended"),),
        sent=(leaves("2025-03-01T12", "2025-03-02T12"),),
    ),
    Example(
        name="before its release a hold is shown as held, with the instants that will hold",
        events=(GIVEN, placed("p1", "2025-01-01T12"), released("p2", "2025-03-01T12")),
        explained=(line("2025-03-02T12", "2025-03-01T12", "held"),),
        sent=(),
        now="2025-03-01T11:59:59",
        until="2025-03-01T11:59:59",
    ),
    Example(
        name="nothing leaves under a hold that is never released, and the instants stay nominal",
        events=(GIVEN, placed("p1", "2025-01-01T12")),
        explained=(line(BY, DUE, "held"),),
        sent=(),
    ),
    Example(
        name="a hold at exactly the due instant wins",
        events=(GIVEN, placed("p1", DUE)),
        explained=(line(BY, DUE, "held"),),
        sent=(),
    ),
    Example(
        name="a hold a second after the due instant is too late",
        events=(GIVEN, placed("p1", "2025-01-09T10:00:01")),
        explained=(line(BY, DUE, "ended"),),
        sent=(leaves(DUE, BY),),
    ),
    Example(
        name="what falls due at the release leaves as if there had been no hold",
        events=(GIVEN, placed("p1", "2024-02-01T10"), released("p2", DUE)),
        explained=(line(BY, DUE, "ended"),),
        sent=(leaves(DUE, BY),),
    ),
    Example(
        name="before a record is due, a hold is shown and changes nothing",
        events=(GIVEN, placed("p1", "2024-02-01T10"), released("p2", "2024-03-01T10")),
        explained=(line(BY, DUE, "held"),),
        sent=(leaves(DUE, BY),),
        now="2024-02-01T10",
    ),
    Example(
        name="several holds stop it until the last is released, also where one takes over",
        events=(
            GIVEN,
            placed("p1", "2025-01-01T12"),
            placed("p2", "2025-01-05T12", name="h2"),
            released("p3", "2025-02-01T12"),
            placed("p4", "2025-03-01T12", name="h3"),
            released("p5", "2025-03-01T12", name="h2"),
            released("p6", "2025-04-01T12", name="h3"),
        ),
        explained=(line("2025-04-02T12", "2025-04-01T12", "ended"),),
        sent=(leaves("2025-04-01T12", "2025-04-02T12"),),
    ),
    Example(
        name="a release before the placement closes nothing, and a hold can be placed again",
        events=(
            GIVEN,
            released("p1", "2024-12-01T12"),
            released("p2", "2025-01-05T12"),
            placed("p3", "2025-01-01T12"),
            placed("p4", "2025-01-08T12"),
            released("p5", "2025-02-01T12"),
        ),
        explained=(line("2025-02-02T12", "2025-02-01T12", "ended"),),
        sent=(leaves("2025-02-01T12", "2025-02-02T12"),),
    ),
    Example(
        name="a hold on some records leaves the others and other persons' alone",
        events=(
            GIVEN,
            feedback("e2", "2024-01-10T11"),
            placed("p1", "2025-01-01T12", records=["e1", "e9"]),
            placed("p2", "2025-01-01T12", "visitor:2", name="h2"),
        ),
        explained=(
            line(BY, DUE, "held"),
            line("2025-01-10T11", "2025-01-09T11", "ended", "e2", "2024-01-10T11"),
        ),
        sent=(leaves("2025-01-09T11", "2025-01-10T11", "e2"),),
        now="2025-06-01T10",
    ),
    Example(
        name="a release of the same hold for somebody else changes nothing",
        events=(GIVEN, placed("p1", "2025-01-01T12"), released("p2", "2025-03-01T12", "visitor:2")),
        explained=(line(BY, DUE, "held"),),
        sent=(),
    ),
    Example(
        name="a record that comes under a hold is held, also while its clock is open",
        events=(
            placed("p1", "2024-01-01T10", CUSTOMER),
            event("e1", "customers.customer-signed-up", "2024-01-10T10", customer_id="1"),
        ),
        explained=(Line("e1", SERVICE, "contract", "R1", None, None, None, "held"),),
        sent=(),
    ),
    Example(
        name="a granted request to erase waits for the release; a restriction does not",
        events=(
            GIVEN,
            placed("p3", "2024-02-01T10"),
            *requested("erasure", "2024-02-02T10", "2024-02-03T10", VISITOR),
            act(
                "p4",
                "request-received",
                "2024-02-04T10",
                VISITOR,
                request_id="r2",
                right="restriction",
            ),
            act("p5", "identity-verified", "2024-02-05T10", VISITOR, request_id="r2"),
            released("p6", "2024-03-01T10"),
        ),
        explained=(line("2024-03-02T10", "2024-03-01T10", "ended"),),
        sent=(
            Leaves(
                "2024-02-05T10",
                "website",
                "restrict",
                "e1",
                "D5",
                "website_experience",
                "2024-02-05T10",
            ),
            leaves("2024-03-01T10", "2024-03-02T10"),
        ),
    ),
    Example(
        name="a hold moves the books, never the instant before which they must be there",
        events=(
            order("e1", "2012-01-10T10"),
            placed("p1", "2019-12-31T23", CONSUMER, records=["e1"]),
            released("p2", "2020-02-01T10", CONSUMER),
        ),
        explained=(
            Line(
                "e1",
                SERVICE,
                "legitimate_interest",
                "D4",
                "2012-01-10T10",
                "2014-01-10T10",
                "2014-01-09T10",
                "ended",
            ),
            Line(
                "e1",
                LEGAL,
                "legal_obligation",
                "R5",
                "2012-12-31T23",
                "2020-02-02T10",
                "2020-02-01T10",
                "ended",
            ),
            Line(
                "e1",
                RESEARCH,
                "legitimate_interest",
                "R4",
                "2012-01-10T10",
                "2032-01-10T10",
                "2032-01-09T10",
                "scheduled",
            ),
        ),
        sent=(
            Leaves("2014-01-09T10", "orders psp", "erase", "e1", "D4", SERVICE, "2014-01-10T10"),
            Leaves(
                "2014-01-09T10", "research", "pseudonymise", "e1", "R4", RESEARCH, "2014-01-10T10"
            ),
            Leaves("2020-02-01T10", "accounting", "erase", "e1", "R5", LEGAL, "2020-02-02T10"),
        ),
        until="2032-01-09T09",
    ),
    Example(
        name="research waits for a hold on another person in the same ticket",
        events=(
            event(
                "e1",
                "helpdesk.ticket-opened",
                "2024-01-10T10",
                ticket_id="1",
                customer_id="1",
                consumer_ids=["1"],
            ),
            event(
                "e2",
                "helpdesk.ticket-resolved",
                "2024-02-01T10",
                ticket_id="1",
                customer_id="1",
            ),
            terminated("e3", "2024-03-01T10"),
            placed("p1", "2024-07-31T09", CONSUMER),
            released("p2", "2026-06-01T10", CONSUMER),
        ),
        explained=(
            Line(
                "e1",
                RESEARCH,
                "legitimate_interest",
                "R4",
                "2024-01-10T10",
                "2044-01-10T10",
                "2044-01-09T10",
                "scheduled",
                CUSTOMER,
            ),
            Line(
                "e1",
                SERVICE,
                "legitimate_interest",
                "D7",
                "2024-02-01T10",
                "2026-06-02T10",
                "2026-06-01T10",
                "ended",
                CONSUMER,
            ),
            Line(
                "e1",
                SERVICE,
                "contract",
                "R1",
                "2024-03-01T10",
                "2026-03-01T10",
                "2026-02-28T10",
                "ended",
                CUSTOMER,
            ),
        ),
        sent=(
            Leaves("2026-02-28T10", "helpdesk", "erase", "e1", "R1", SERVICE, "2026-03-01T10"),
            Leaves("2026-06-01T10", "helpdesk", "erase", "e1", "D7", SERVICE, "2026-06-02T10"),
            Leaves(
                "2026-06-01T10", "research", "pseudonymise", "e1", "R4", RESEARCH, "2026-06-02T10"
            ),
            Leaves("2044-01-09T10", "research", "erase", "e1", "R4", RESEARCH, "2044-01-10T10"),
        ),
    ),
)
