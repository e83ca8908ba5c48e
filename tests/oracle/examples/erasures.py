"""Requests for erasure: granted at the verification, except for open contracts and legal obligations."""

from tests.oracle.examples.forms import Example, Leaves, Line, act, order, requested, terminated
from tests.oracle.examples.purchases import (
    AT,
    BOOKS,
    BOOKS_LEAVE,
    BOUGHT,
    CURRENT,
    CUSTOMER,
    RESEARCH,
    SERVICE,
    STUDY,
    STUDY_LEAVES,
)

CONSUMER = "consumer:1"

ERASURES = (
    Example(
        name="a current customer keeps what the contract needs and loses the rest at verification",
        events=(BOUGHT, *requested("erasure", "2024-02-01T10", AT, CUSTOMER)),
        explained=(CURRENT, BOOKS, STUDY._replace(erase_by=AT, due=AT, state="ended")),
        sent=(
            Leaves(AT, "research", "erase", "e1", "R4", RESEARCH, AT),
            BOOKS_LEAVE,
        ),
    ),
    Example(
        name="a former customer loses all but the books, at the verification",
        events=(
            BOUGHT,
            terminated("e2", AT),
            *requested("erasure", "2024-02-01T10", AT, CUSTOMER),
        ),
        explained=(
            CURRENT._replace(anchor_at=AT, erase_by=AT, due=AT, state="ended"),
            BOOKS,
            STUDY._replace(erase_by=AT, due=AT, state="ended"),
        ),
        sent=(
            Leaves(AT, "crm orders printer", "erase", "e1", "R1", SERVICE, AT),
            Leaves(AT, "research", "erase", "e1", "R4", RESEARCH, AT),
            BOOKS_LEAVE,
        ),
    ),
    Example(
        name="a customer who leaves a second after the verification was a current one",
        events=(
            BOUGHT,
            terminated("e2", "2024-02-05T10:00:01"),
            *requested("erasure", "2024-02-01T10", AT, CUSTOMER),
        ),
        explained=(
            CURRENT._replace(
                anchor_at="2024-02-05T10:00:01",
                erase_by="2026-02-05T10:00:01",
                due="2026-02-04T10:00:01",
                state="scheduled",
            ),
            BOOKS,
            STUDY._replace(erase_by=AT, due=AT, state="ended"),
        ),
        sent=(
            Leaves(AT, "research", "erase", "e1", "R4", RESEARCH, AT),
            Leaves(
                "2026-02-04T10:00:01",
                "crm orders printer",
                "erase",
                "e1",
                "R1",
                SERVICE,
                "2026-02-05T10:00:01",
            ),
            BOOKS_LEAVE,
        ),
    ),
    Example(
        name="a request refused to a current customer is granted at a verification after the end",
        events=(
            BOUGHT,
            *requested("erasure", "2024-02-01T10", AT, CUSTOMER),
            terminated("e2", "2024-03-01T10"),
            act(
                "p3",
                "request-received",
                "2024-04-01T10",
                CUSTOMER,
                request_id="r2",
                right="erasure",
            ),
            act("p4", "identity-verified", "2024-04-02T10", CUSTOMER, request_id="r2"),
        ),
        explained=(
            CURRENT._replace(
                anchor_at="2024-03-01T10",
                erase_by="2024-04-02T10",
                due="2024-04-02T10",
                state="ended",
            ),
            BOOKS,
            STUDY._replace(erase_by=AT, due=AT, state="ended"),
        ),
        sent=(
            Leaves(AT, "research", "erase", "e1", "R4", RESEARCH, AT),
            Leaves(
                "2024-04-02T10", "crm orders printer", "erase", "e1", "R1", SERVICE, "2024-04-02T10"
            ),
            BOOKS_LEAVE,
        ),
    ),
    Example(
        name="nothing is due before the identity is verified, nor for another's verification",
        events=(
            BOUGHT,
            *requested("erasure", "2024-02-01T10", None, CUSTOMER),
            act("p3", "identity-verified", AT, CUSTOMER, request_id="r2"),
            act("p4", "identity-verified", AT, "customer:2", request_id="r1"),
        ),
        explained=(CURRENT, BOOKS, STUDY),
        sent=(BOOKS_LEAVE, STUDY_LEAVES),
    ),
    Example(
        name="a consumer's record dated at the verification is erased, a later one is not",
        events=(
            order("e1", AT),
            order("e2", "2024-02-05T10:00:01"),
            *requested("erasure", "2024-02-01T10", AT, CONSUMER),
        ),
        explained=(
            Line("e1", SERVICE, "legitimate_interest", "D4", AT, AT, AT, "ended"),
            BOOKS,
            STUDY._replace(anchor_at=AT, erase_by=AT, due=AT, state="ended"),
            Line(
                "e2",
                SERVICE,
                "legitimate_interest",
                "D4",
                "2024-02-05T10:00:01",
                "2026-02-05T10:00:01",
                "2026-02-04T10:00:01",
                "scheduled",
            ),
            BOOKS._replace(event="e2"),
            STUDY._replace(
                event="e2",
                anchor_at="2024-02-05T10:00:01",
                erase_by="2044-02-05T10:00:01",
                due="2044-02-04T10:00:01",
            ),
        ),
        sent=(
            Leaves(AT, "orders psp", "erase", "e1", "D4", SERVICE, AT),
            Leaves(AT, "research", "erase", "e1", "R4", RESEARCH, AT),
        ),
        until="2026-02-04T10",
    ),
)
