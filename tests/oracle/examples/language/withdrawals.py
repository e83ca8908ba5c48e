"""What is kept until consent is withdrawn."""

from tests.oracle.examples.forms import Leaves
from tests.oracle.examples.language.forms import (
    OPEN,
    LanguageExample,
    Row,
    happened,
    opened,
    schedule,
)
from tests.oracle.language import EventType, Part, Rule, Use

NEWSLETTER = schedule(
    {"main": Rule(kind="at_most", parts=(Part(term="never"),))},
    EventType(uses=(Use(purpose="care", rule="main", systems=("app",)),)),
    types={"consent.withdrawn": EventType(withdraws="care")},
)


def withdrawn(id_: str, at: str, person: str = "1") -> dict[str, object]:
    return happened(id_, "consent.withdrawn", at, person=person, purpose="care")


WITHDRAWALS = (
    LanguageExample(
        name="consent without a withdrawal is kept, also if others withdraw theirs",
        schedule=NEWSLETTER,
        events=(opened("2024-02-29T10"), withdrawn("w1", "2025-01-01T00", person="2")),
        explained=(OPEN,),
        now="2190-01-01T00",
        sent=(),
        until="2190-01-01T00",
    ),
    LanguageExample(
        name="consent that is withdrawn ends at once, and later data on an old withdrawal too",
        schedule=NEWSLETTER,
        events=(
            opened("2024-02-29T10"),
            withdrawn("w1", "2031-07-02T09:30"),
            happened("e2", "file.opened", "2032-01-01T10"),
        ),
        explained=(
            Row("e1", "main", None, None, "2031-07-02T09:30", "2031-07-02T09:30", "ended"),
            Row("e2", "main", None, None, "2032-01-01T10", "2032-01-01T10", "ended"),
        ),
        sent=(
            Leaves("2031-07-02T09:30", "app", "erase", "e1", "main", "care", "2031-07-02T09:30"),
            Leaves("2032-01-01T10", "app", "erase", "e2", "main", "care", "2032-01-01T10"),
        ),
    ),
)
