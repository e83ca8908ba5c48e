"""Notices where several systems, purposes or rules have the data."""

from tests.oracle.examples.forms import Leaves
from tests.oracle.examples.language.forms import LanguageExample, Row, happened, schedule
from tests.oracle.examples.language.notices import (
    CASE,
    DAYS_BEFORE,
    FEBRUARY_2022,
    IN_2020,
    OF_TAX,
    OF_YEAR,
    TAX,
    YEAR,
    uses,
)
from tests.oracle.language import Anchor, EventType, Move, Part, Rule, Use

SOON = Rule(kind="at_most", parts=(Part(term="P1M"),))
ENDED_IN_BOOKS = (
    Leaves("2021-02-28T10", "books", "restrict", "e1", "a", "care", "2021-03-01T10"),
    Leaves("2027-03-01T23", "books", "erase", "e1", "a c", "care tax", "2027-03-02T23"),
)

AFTER_THE_CASE = Rule(kind="at_most", parts=(Part(term="P1Y", anchor=CASE),), notices=DAYS_BEFORE)

AFTER_THE_REPORT = Rule(
    kind="at_most",
    parts=(Part(term="P1Y", anchor=Anchor(kind="clock", name="report")),),
    notices=DAYS_BEFORE,
)


def set_on(clock: str) -> EventType:
    """Return an event type that ends a clock on a date."""
    return EventType(moves=(Move(clock=clock, ends=True, at="on"),), dates=("on",))


NOTICE_HOLDINGS = (
    LanguageExample(
        name="a purpose that later turns out to end with another is announced together with it",
        schedule=schedule(
            {"a": AFTER_THE_CASE, "b": AFTER_THE_REPORT},
            EventType(
                uses=(
                    Use(purpose="care", rule="a", systems=("app",)),
                    Use(purpose="service", rule="b", systems=("app",)),
                )
            ),
            types={"case.set": set_on("case"), "report.set": set_on("report")},
        ),
        events=(
            happened("e1", "file.opened", "2022-01-05T10"),
            happened("s1", "case.set", "2022-01-06T10", on="2022-02-01"),
            happened("s2", "report.set", "2023-01-10T10", on="2022-02-01"),
        ),
        explained=tuple(
            Row(
                *("e1", rule, "2022-01-31T23", None),
                *("2023-01-31T23", "2023-01-30T23", "scheduled"),
            )
            for rule in "ab"
        ),
        sent=(
            Leaves("2022-12-31T23", "mail", "notify", "e1", "a", "care", "2023-01-30T23"),
            Leaves("2023-01-10T10", "mail", "notify", "e1", "a b", "care service", "2023-01-30T23"),
            Leaves("2023-01-30T23", "app", "erase", "e1", "a b", "care service", "2023-01-31T23"),
        ),
    ),
    LanguageExample(
        name="an end that moves once one system has erased is announced as it comes in the other",
        schedule=uses(("care", "a", "app books"), lead_hours={"app": 48}, a=AFTER_THE_CASE),
        events=(*FEBRUARY_2022, happened("c2", "case.ended", "2023-01-30T20")),
        explained=(
            Row(
                "e1",
                "a",
                "2023-01-30T20",
                None,
                "2024-01-30T20",
                "2024-01-28T20 2024-01-29T20",
                "scheduled",
            ),
        ),
        sent=(
            Leaves("2022-12-31T10", "mail", "notify", "e1", "a", "care", "2023-01-30T10"),
            Leaves("2023-01-30T10", "app", "erase", "e1", "a", "care", "2023-02-01T10"),
            Leaves("2023-12-30T20", "mail", "notify", "e1", "a", "care", "2024-01-29T20"),
            Leaves("2024-01-29T20", "books", "erase", "e1", "a", "care", "2024-01-30T20"),
        ),
    ),
    LanguageExample(
        name="a system that has erased its own copy still gives notice of the others",
        schedule=uses(("service", "s", "mail"), ("care", "a", "app"), s=SOON, a=YEAR),
        events=(IN_2020,),
        explained=(
            Row("e1", "s", "2020-03-01T10", None, "2020-04-01T09", "2020-03-31T09", "scheduled"),
            OF_YEAR,
        ),
        sent=(
            Leaves("2020-03-31T09", "mail", "erase", "e1", "s", "service", "2020-04-01T09"),
            Leaves("2021-01-29T10", "mail", "notify", "e1", "a", "care", "2021-02-28T10"),
            Leaves("2021-02-28T10", "app", "erase", "e1", "a", "care", "2021-03-01T10"),
        ),
    ),
    LanguageExample(
        name="the first system that erases the data is announced, another keeps it for the tax",
        schedule=uses(("care", "a", "app books"), ("tax", "c", "books"), a=YEAR, c=TAX),
        events=(IN_2020,),
        explained=(OF_YEAR, OF_TAX),
        sent=(
            Leaves("2021-01-29T10", "mail", "notify", "e1", "a", "care", "2021-02-28T10"),
            Leaves("2021-02-28T10", "app", "erase", "e1", "a", "care", "2021-03-01T10"),
            *ENDED_IN_BOOKS,
        ),
    ),
    LanguageExample(
        name="where another purpose keeps the data, the end of the first is announced",
        schedule=uses(("care", "a", "books"), ("tax", "c", "books"), a=YEAR, c=TAX),
        events=(IN_2020,),
        explained=(OF_YEAR, OF_TAX),
        sent=(
            Leaves("2021-01-29T10", "mail", "notify", "e1", "a", "care", "2021-02-28T10"),
            *ENDED_IN_BOOKS,
        ),
    ),
    LanguageExample(
        name="a system that was retired before the event is not the first to erase",
        schedule=uses(
            ("care", "a", "app books"),
            retired={"books": "2020-03-01T10:00:00Z"},
            lead_hours={"books": 48},
            a=YEAR,
        ),
        events=(IN_2020, happened("e0", "file.opened", "2020-03-01T09")),
        explained=(
            OF_YEAR,
            Row(
                "e0",
                "a",
                "2020-03-01T09",
                None,
                "2021-03-01T09",
                "2021-02-27T09 2021-02-28T09",
                "scheduled",
            ),
        ),
        sent=(
            Leaves("2021-01-29T10", "mail", "notify", "e1", "a", "care", "2021-02-28T10"),
            Leaves("2021-02-28T10", "app", "erase", "e1", "a", "care", "2021-03-01T10"),
            Leaves("2021-01-28T09", "mail", "notify", "e0", "a", "care", "2021-02-27T09"),
            Leaves("2021-02-27T09", "books", "erase", "e0", "a", "care", "2021-03-01T09"),
            Leaves("2021-02-28T09", "app", "erase", "e0", "a", "care", "2021-03-01T09"),
        ),
    ),
    LanguageExample(
        name="a retired system still gives notice, also where it would have held the data itself",
        schedule=uses(("care", "a", "app mail"), retired={"mail": "2020-03-01T10:00:00Z"}, a=YEAR),
        events=(IN_2020,),
        explained=(OF_YEAR,),
        sent=(
            Leaves("2021-01-29T10", "mail", "notify", "e1", "a", "care", "2021-02-28T10"),
            Leaves("2021-02-28T10", "app", "erase", "e1", "a", "care", "2021-03-01T10"),
        ),
    ),
    LanguageExample(
        name="what ends together is announced together",
        schedule=uses(("care", "a", "app"), ("service", "b", "app"), a=YEAR, b=YEAR),
        events=(IN_2020,),
        explained=(OF_YEAR, OF_YEAR._replace(rule="b")),
        sent=(
            Leaves("2021-01-29T10", "mail", "notify", "e1", "a b", "care service", "2021-02-28T10"),
            Leaves("2021-02-28T10", "app", "erase", "e1", "a b", "care service", "2021-03-01T10"),
        ),
    ),
)
