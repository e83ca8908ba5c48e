"""A purchase of 10 January 2024 by customer 1, before any request or objection."""

from tests.oracle.examples.forms import Leaves, Line, purchase

SERVICE, RESEARCH, LEGAL = "service_delivery", "internal_research", "legal_compliance"
CUSTOMER = "customer:1"

CURRENT = Line("e1", SERVICE, "contract", "R1", None, None, None, "open")
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
BOUGHT = purchase("e1", "2024-01-10T10")
BOOKS_LEAVE = Leaves("2031-12-31T23", "accounting", "erase", "e1", "R5", LEGAL, "2032-01-01T23")
STUDY_LEAVES = Leaves("2044-01-09T10", "research", "erase", "e1", "R4", RESEARCH, "2044-01-10T10")
AT = "2024-02-05T10"
