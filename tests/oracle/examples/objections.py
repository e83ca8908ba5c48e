"""Objections: absolute to acquisition, weighed for other legitimate interests, none to a contract."""

from typing import Any

from tests.oracle.clocks import Event
from tests.oracle.examples.forms import Example, Leaves, Line, act, event, order, terminated

PROSPECT, CONSUMER, CUSTOMER = "prospect:1", "consumer:1", "customer:1"
SERVICE, RESEARCH, LEGAL = "service_delivery", "internal_research", "legal_compliance"


def objected(id_: str, at: str, subject: str, purpose: str, **fields: Any) -> Event:
    return act(id_, "objection-raised", at, subject, purpose=purpose, **fields)


def decided(id_: str, at: str, subject: str, purpose: str, outcome: str, **fields: Any) -> Event:
    data = {"purpose": purpose, "outcome": outcome, **fields}
    return act(id_, "objection-decided", at, subject, **data)


def lead(id_: str, at: str) -> Event:
    return event(id_, "acquisition.lead-acquired", at, prospect_id="1", source="bought list")


def ticket(id_: str, at: str) -> Event:
    data: dict[str, Any] = {"ticket_id": id_, "customer_id": "1", "consumer_ids": []}
    return event(id_, "helpdesk.ticket-opened", at, **data)


# An order of 10 January 2024: R5 after seven book years, R4 after twenty years.
BOOKS = Line(
    "e1",
    LEGAL,
    "legal_obligation",
    "R5",
    "2024-12-31T23",
    "2032-01-01T23",
    "2031-12-31T23",
    "scheduled",
)
STUDY = Line(
    "e1",
    RESEARCH,
    "legitimate_interest",
    "R4",
    "2024-01-10T10",
    "2044-01-10T10",
    "2044-01-09T10",
    "scheduled",
)
BOOKS_LEAVE = Leaves("2031-12-31T23", "accounting", "erase", "e1", "R5", LEGAL, "2032-01-01T23")
STUDY_LEAVES = Leaves("2044-01-09T10", "research", "erase", "e1", "R4", RESEARCH, "2044-01-10T10")


def delivery(
    erase_by: str, due: str, state: str, id_: str = "e1", at: str = "2024-01-10T10"
) -> Line:
    return Line(id_, SERVICE, "legitimate_interest", "D4", at, erase_by, due, state)


def masked(at: str, erase_by: str, id_: str = "e1") -> Leaves:
    return Leaves(at, "research", "pseudonymise", id_, "R4", RESEARCH, erase_by)


def told_of(at: str, action: str, id_: str = "e1") -> Leaves:
    return Leaves(at, "orders psp", action, id_, "D4", SERVICE, at)


AS_IF_NOTHING_HAD_BEEN = (
    Leaves("2026-01-09T10", "orders psp", "erase", "e1", "D4", SERVICE, "2026-01-10T10"),
    masked("2026-01-09T10", "2026-01-10T10"),
    BOOKS_LEAVE,
    STUDY_LEAVES,
)

OBJECTIONS = (
    Example(
        name="an objection to acquisition is absolute, also for a lead that comes later",
        events=(
            lead("e1", "2024-01-10T10"),
            objected("p1", "2024-03-01T10", PROSPECT, "acquisition"),
            decided("p2", "2024-03-02T10", PROSPECT, "acquisition", "rejected"),
            act("p3", "consent-given", "2024-03-03T10", PROSPECT, purpose="acquisition"),
            lead("e2", "2024-05-01T10"),
            objected("p4", "2024-06-01T10", PROSPECT, "acquisition"),
        ),
        explained=tuple(
            Line(
                id_, "acquisition", "legitimate_interest", "D2", "2024-05-01T10", due, due, "ended"
            )
            for id_, due in (("e1", "2024-03-01T10"), ("e2", "2024-05-01T10"))
        ),
        sent=tuple(
            Leaves(at, "crm mail post", "erase", id_, "D2", "acquisition", at)
            for id_, at in (("e1", "2024-03-01T10"), ("e2", "2024-05-01T10"))
        ),
    ),
    Example(
        name="another legitimate interest is restricted until the objection is rejected",
        events=(
            order("e1", "2024-01-10T10"),
            objected("p1", "2024-02-01T10", CONSUMER, SERVICE),
            decided("p2", "2024-02-10T10", CONSUMER, SERVICE, "rejected"),
        ),
        explained=(delivery("2026-01-10T10", "2026-01-09T10", "scheduled"), BOOKS, STUDY),
        sent=(
            told_of("2024-02-01T10", "restrict"),
            told_of("2024-02-10T10", "lift"),
            *AS_IF_NOTHING_HAD_BEEN,
        ),
    ),
    Example(
        name="an undecided objection restricts until the end",
        events=(
            order("e1", "2024-01-10T10"),
            objected("p1", "2024-02-01T10", CONSUMER, SERVICE, objection_id="o1"),
            decided("p2", "2024-02-10T10", CONSUMER, SERVICE, "upheld", objection_id="o2"),
            decided("p3", "2024-02-11T10", CONSUMER, RESEARCH, "upheld"),
            decided("p4", "2024-02-12T10", "consumer:2", SERVICE, "upheld"),
            decided("p5", "2024-01-31T10", CONSUMER, SERVICE, "upheld"),
        ),
        explained=(delivery("2026-01-10T10", "2026-01-09T10", "scheduled"), BOOKS, STUDY),
        sent=(told_of("2024-02-01T10", "restrict"), *AS_IF_NOTHING_HAD_BEEN),
    ),
    Example(
        name="an upheld objection ends the purpose at the decision, and research takes a pseudonym",
        events=(
            order("e1", "2024-01-10T10"),
            objected("p1", "2024-02-01T10", CONSUMER, SERVICE, objection_id="o1"),
            decided("p2", "2024-02-10T10", CONSUMER, SERVICE, "upheld", objection_id="o1"),
        ),
        explained=(delivery("2024-02-10T10", "2024-02-10T10", "ended"), BOOKS, STUDY),
        sent=(
            told_of("2024-02-01T10", "restrict"),
            told_of("2024-02-10T10", "erase"),
            masked("2024-02-10T10", "2024-02-10T10"),
            BOOKS_LEAVE,
            STUDY_LEAVES,
        ),
    ),
    Example(
        name="without ids, a decision is on the latest objection before it",
        events=(
            order("e1", "2024-01-10T10"),
            objected("p1", "2024-02-01T10", CONSUMER, SERVICE),
            decided("p2", "2024-02-10T10", CONSUMER, SERVICE, "rejected"),
            objected("p3", "2024-03-01T10", CONSUMER, SERVICE),
            decided("p4", "2024-03-10T10", CONSUMER, SERVICE, "upheld"),
        ),
        explained=(delivery("2024-03-10T10", "2024-03-10T10", "ended"), BOOKS, STUDY),
        sent=(
            told_of("2024-02-01T10", "restrict"),
            told_of("2024-02-10T10", "lift"),
            told_of("2024-03-01T10", "restrict"),
            told_of("2024-03-10T10", "erase"),
            masked("2024-03-10T10", "2024-03-10T10"),
            BOOKS_LEAVE,
            STUDY_LEAVES,
        ),
    ),
    Example(
        name="upheld under a hold, an objection restricts until the release and is not lifted",
        events=(
            objected("p1", "2024-01-01T10", CONSUMER, SERVICE),
            order("e1", "2024-01-10T10"),
            decided("p2", "2024-01-10T10", CONSUMER, RESEARCH, "upheld"),
            decided("p3", "2024-02-10T10", CONSUMER, SERVICE, "upheld"),
            act("p4", "hold-placed", "2024-02-01T10", CONSUMER, hold_id="h1", ground="legal_claim"),
            act("p5", "hold-released", "2024-03-01T10", CONSUMER, hold_id="h1"),
        ),
        explained=(delivery("2024-03-02T10", "2024-03-01T10", "ended"), BOOKS, STUDY),
        sent=(
            told_of("2024-01-10T10", "restrict"),
            Leaves("2024-03-01T10", "orders psp", "erase", "e1", "D4", SERVICE, "2024-03-02T10"),
            masked("2024-03-01T10", "2024-03-02T10"),
            BOOKS_LEAVE,
            STUDY_LEAVES,
        ),
    ),
    Example(
        name="a record dated at the very decision is ended by it",
        events=(
            objected("p1", "2024-01-01T10", CONSUMER, SERVICE),
            order("e1", "2024-01-10T10"),
            decided("p2", "2024-01-10T10", CONSUMER, SERVICE, "upheld"),
        ),
        explained=(delivery("2024-01-10T10", "2024-01-10T10", "ended"), BOOKS, STUDY),
        sent=(
            told_of("2024-01-10T10", "erase"),
            masked("2024-01-10T10", "2024-01-10T10"),
            BOOKS_LEAVE,
            STUDY_LEAVES,
        ),
    ),
    Example(
        name="decided at its own instant, an objection neither restricts nor lifts",
        events=(
            order("e1", "2024-01-10T10"),
            objected("p1", "2024-02-01T10", CONSUMER, SERVICE),
            decided("p2", "2024-02-01T10", CONSUMER, SERVICE, "rejected"),
        ),
        explained=(delivery("2026-01-10T10", "2026-01-09T10", "scheduled"), BOOKS, STUDY),
        sent=AS_IF_NOTHING_HAD_BEEN,
    ),
    Example(
        name="a record dated while an objection is pending is restricted from its own time",
        events=(
            objected("p1", "2024-01-01T10", CONSUMER, SERVICE),
            order("e1", "2024-01-10T10"),
            decided("p2", "2024-02-01T10", CONSUMER, SERVICE, "rejected"),
            order("e2", "2024-02-01T10"),
        ),
        explained=(
            delivery("2026-01-10T10", "2026-01-09T10", "scheduled"),
            BOOKS,
            STUDY,
            delivery("2026-02-01T10", "2026-01-31T10", "scheduled", "e2", "2024-02-01T10"),
            BOOKS._replace(event="e2"),
            STUDY._replace(
                event="e2",
                anchor_at="2024-02-01T10",
                erase_by="2044-02-01T10",
                due="2044-01-31T10",
            ),
        ),
        sent=(
            told_of("2024-01-10T10", "restrict"),
            told_of("2024-02-01T10", "lift"),
            *AS_IF_NOTHING_HAD_BEEN,
            Leaves("2026-01-31T10", "orders psp", "erase", "e2", "D4", SERVICE, "2026-02-01T10"),
            masked("2026-01-31T10", "2026-02-01T10", "e2"),
            BOOKS_LEAVE._replace(record="e2"),
            STUDY_LEAVES._replace(record="e2", at="2044-01-31T10", erase_by="2044-02-01T10"),
        ),
    ),
    Example(
        name="an objection to research restricts and ends research alone",
        events=(
            order("e1", "2024-01-10T10"),
            objected("p1", "2024-02-01T10", CONSUMER, RESEARCH),
            decided("p2", "2024-02-10T10", CONSUMER, RESEARCH, "upheld"),
        ),
        explained=(
            delivery("2026-01-10T10", "2026-01-09T10", "scheduled"),
            BOOKS,
            STUDY._replace(erase_by="2024-02-10T10", due="2024-02-10T10", state="ended"),
        ),
        sent=(
            Leaves("2024-02-01T10", "research", "restrict", "e1", "R4", RESEARCH, "2024-02-01T10"),
            Leaves("2024-02-10T10", "research", "erase", "e1", "R4", RESEARCH, "2024-02-10T10"),
            Leaves("2026-01-09T10", "orders psp", "erase", "e1", "D4", SERVICE, "2026-01-10T10"),
            BOOKS_LEAVE,
        ),
    ),
    Example(
        name="a contract and a legal obligation ignore an objection, upheld or not",
        events=(
            ticket("e1", "2024-01-10T10"),
            objected("p1", "2024-02-01T10", CUSTOMER, SERVICE),
            decided("p2", "2024-02-10T10", CUSTOMER, SERVICE, "upheld"),
            objected("p3", "2024-02-01T10", CUSTOMER, LEGAL),
            decided("p4", "2024-02-10T10", CUSTOMER, LEGAL, "upheld"),
            terminated("e2", "2024-03-01T10"),
        ),
        explained=(
            Line(
                "e1",
                SERVICE,
                "contract",
                "R1",
                "2024-03-01T10",
                "2026-03-01T10",
                "2026-02-28T10",
                "scheduled",
            ),
            STUDY,
        ),
        sent=(
            Leaves("2026-02-28T10", "helpdesk", "erase", "e1", "R1", SERVICE, "2026-03-01T10"),
            masked("2026-02-28T10", "2026-03-01T10"),
            STUDY_LEAVES,
        ),
    ),
)
