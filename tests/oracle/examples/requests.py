"""Requests for access, for portability, to rectify and to restrict."""

from tests.oracle.examples.dossiers import dossier, proof, proof_leaves
from tests.oracle.examples.forms import Example, Leaves, Line, act, feedback, purchase, requested
from tests.oracle.examples.purchases import (
    AT,
    BOOKS,
    BOOKS_LEAVE,
    BOUGHT,
    CURRENT,
    CUSTOMER,
    LEGAL,
    RESEARCH,
    SERVICE,
    STUDY,
    STUDY_LEAVES,
)

VISITOR = "visitor:1"


def each(
    action: str, at: str = AT, *, books: bool = True, study: bool = True
) -> tuple[Leaves, ...]:
    """Return the commands that a request sends to each system that holds the purchase."""
    commands = [Leaves(at, "crm orders printer", action, "e1", "R1", SERVICE, at)]
    if books:
        commands.append(Leaves(at, "accounting", action, "e1", "R5", LEGAL, at))
    if study:
        commands.append(Leaves(at, "research", action, "e1", "R4", RESEARCH, at))
    return tuple(commands)


REQUESTS = (
    Example(
        name="access asks every system, for the purposes that it serves",
        events=(BOUGHT, *requested("access", "2024-02-01T10", AT, CUSTOMER)),
        explained=(CURRENT, BOOKS, STUDY, dossier("p1", None, None, None), proof(AT)),
        sent=(
            *each("disclose"),
            Leaves(AT, "crm", "disclose", "p1", "D8", LEGAL, AT),
            proof_leaves(AT),
            BOOKS_LEAVE,
            STUDY_LEAVES,
        ),
    ),
    Example(
        name="portability asks only what rests on consent or contract",
        events=(BOUGHT, *requested("portability", "2024-02-01T10", AT, CUSTOMER)),
        explained=(CURRENT, BOOKS, STUDY, dossier("p1", None, None, None), proof(AT)),
        sent=(
            *each("disclose", books=False, study=False),
            proof_leaves(AT),
            BOOKS_LEAVE,
            STUDY_LEAVES,
        ),
    ),
    Example(
        name="rectification is commanded to every system, for nothing that is dated later",
        events=(
            BOUGHT,
            purchase("e2", "2024-02-05T10:00:01"),
            purchase("e3", AT),
            *requested("rectification", "2024-02-01T10", AT, CUSTOMER),
        ),
        explained=(
            CURRENT,
            BOOKS,
            STUDY,
            CURRENT._replace(event="e2"),
            BOOKS._replace(event="e2"),
            STUDY._replace(
                event="e2",
                anchor_at="2024-02-05T10:00:01",
                erase_by="2044-02-05T10:00:01",
                due="2044-02-04T10:00:01",
            ),
            CURRENT._replace(event="e3"),
            BOOKS._replace(event="e3"),
            STUDY._replace(event="e3", anchor_at=AT, erase_by="2044-02-05T10", due="2044-02-04T10"),
        ),
        sent=(*each("rectify"), *(command._replace(record="e3") for command in each("rectify"))),
        until="2024-12-31T00",
    ),
    Example(
        name="a system that erased at the instant of the verification is asked nothing",
        events=(
            feedback("e1", "2024-01-10T10"),
            feedback("e2", "2024-01-10T10:00:01"),
            *requested("access", "2025-01-09T09", "2025-01-09T10", VISITOR),
        ),
        explained=tuple(
            Line(id_, "website_experience", "consent", "D5", *instants)
            for id_, *instants in (
                ("e1", "2024-01-10T10", "2025-01-10T10", "2025-01-09T10", "ended"),
                (
                    "e2",
                    "2024-01-10T10:00:01",
                    "2025-01-10T10:00:01",
                    "2025-01-09T10:00:01",
                    "scheduled",
                ),
            )
        ),
        sent=tuple(
            Leaves(at, "website", action, id_, "D5", "website_experience", erase_by)
            for at, action, id_, erase_by in (
                ("2025-01-09T10", "erase", "e1", "2025-01-10T10"),
                ("2025-01-09T10", "disclose", "e2", "2025-01-09T10"),
                ("2025-01-09T10:00:01", "erase", "e2", "2025-01-10T10:00:01"),
            )
        ),
    ),
    Example(
        name="a restriction reaches all but what the law requires, until it is lifted",
        events=(
            BOUGHT,
            *requested("restriction", "2024-02-01T10", AT, CUSTOMER),
            act("p3", "restriction-lifted", "2024-02-04T10", CUSTOMER),
            act("p4", "restriction-lifted", "2024-02-20T10", CUSTOMER, request_id="r2"),
            act("p5", "restriction-lifted", "2024-03-01T10", CUSTOMER, request_id="r1"),
            act("p6", "restriction-lifted", "2024-03-02T10", CUSTOMER),
        ),
        explained=(CURRENT, BOOKS, STUDY),
        sent=(
            *each("restrict", books=False),
            *each("lift", "2024-03-01T10", books=False),
            BOOKS_LEAVE,
            STUDY_LEAVES,
        ),
    ),
    Example(
        name="a restriction lifted at its own instant is not commanded at all",
        events=(
            BOUGHT,
            *requested("restriction", "2024-02-01T10", AT, CUSTOMER),
            act("p0", "restriction-lifted", AT, CUSTOMER),
        ),
        explained=(CURRENT, BOOKS, STUDY),
        sent=(BOOKS_LEAVE, STUDY_LEAVES),
    ),
    Example(
        name="what is erased in the meantime is not lifted",
        events=(
            feedback("e1", "2024-01-10T10"),
            *requested("restriction", "2025-01-09T08", "2025-01-09T09", VISITOR),
            act("p3", "restriction-lifted", "2025-01-09T10", VISITOR),
        ),
        explained=(
            Line(
                "e1",
                "website_experience",
                "consent",
                "D5",
                "2024-01-10T10",
                "2025-01-10T10",
                "2025-01-09T10",
                "ended",
            ),
        ),
        sent=tuple(
            Leaves(at, "website", action, "e1", "D5", "website_experience", erase_by)
            for at, action, erase_by in (
                ("2025-01-09T09", "restrict", "2025-01-09T09"),
                ("2025-01-09T10", "erase", "2025-01-10T10"),
            )
        ),
    ),
)
