"""Terms that start when a year, a quarter or a month has ended."""

from tests.oracle.examples.language.forms import (
    LanguageExample,
    gone,
    happened,
    kept,
    one_rule,
    opened,
)
from tests.oracle.language import Anchor, EventType, Move, Part, Rule, Schedule

YEARS = {
    "calendar": "12-31",
    "fiscal": "08-31",
    "academic": "07-31",
    "short": "02-28",
    "leap": "02-29",
}


def at_least(term: str, end_of: str, kind: str = "event", name: str = "") -> Schedule:
    return _schedule("at_least", term, end_of, kind, name)


def at_most(term: str, end_of: str, kind: str = "event", name: str = "") -> Schedule:
    return _schedule("at_most", term, end_of, kind, name)


def _schedule(kind: str, term: str, end_of: str, anchor: str, name: str) -> Schedule:
    start = Anchor(kind=anchor, name=name, end_of=end_of)  # type: ignore[arg-type]  # as given
    rule = Rule(kind=kind, parts=(Part(term=term, anchor=start),))  # type: ignore[arg-type]  # as given
    return one_rule(rule, dates=(name,) if anchor == "field" else (), years=YEARS)


# The copy of an identity document (Dutch wage tax): five years after the year the employment ended in.
ID_COPY = at_least("P5Y", "calendar", "clock", "case")
PERMIT = one_rule(
    ID_COPY.rules["main"],
    years=YEARS,
    types={
        "permit.granted": EventType(
            moves=(Move(clock="case", ends=True, at="valid_until"),), dates=("valid_until",)
        )
    },
)
HIRED = opened("2019-05-06T10")

ENDS_OF_YEARS = (
    LanguageExample(
        name="an employment that ended in the last second of 2023, local time",
        schedule=ID_COPY,
        events=(HIRED, happened("c1", "case.ended", "2023-12-31T22:59:59")),
        explained=(kept("2023-12-31T23", "2028-12-31T23", "2029-01-01T23"),),
    ),
    LanguageExample(
        name="an employment that ended as 2024 began, local time, still 2023 in UTC",
        schedule=ID_COPY,
        events=(HIRED, happened("c1", "case.ended", "2023-12-31T23")),
        explained=(kept("2024-12-31T23", "2029-12-31T23", "2030-01-01T23"),),
    ),
    LanguageExample(
        name="a correction moves the end into another year",
        schedule=ID_COPY,
        events=(
            HIRED,
            happened("c3", "case.ended", "2024-01-10T10"),
            happened("c2", "case.started", "2024-01-02T10"),
            happened("c1", "case.ended", "2023-12-20T10"),
        ),
        explained=(kept("2024-12-31T23", "2029-12-31T23", "2030-01-01T23"),),
    ),
    LanguageExample(
        name="a clock that ends at a date counts from the year of that date",
        schedule=PERMIT,
        events=(HIRED, happened("c1", "permit.granted", "2024-01-10T10", valid_until="2041-01-01")),
        explained=(kept("2041-12-31T23", "2046-12-31T23", "2047-01-01T23"),),
    ),
    LanguageExample(
        name="the last second of the fiscal year",
        schedule=at_least("P7Y", "fiscal"),
        events=(opened("2024-08-31T21:59:59"),),
        explained=(kept("2024-08-31T22", "2031-08-31T22", "2031-09-01T22"),),
    ),
    LanguageExample(
        name="the first half hour of the next fiscal year",
        schedule=at_least("P7Y", "fiscal"),
        events=(opened("2024-08-31T22:30"),),
        explained=(kept("2025-08-31T22", "2032-08-31T22", "2032-09-01T22"),),
    ),
    LanguageExample(
        name="a maximum from the end of the fiscal year ends as the first of September begins",
        schedule=at_most("P2Y", "fiscal"),
        events=(opened("2024-08-31T21:59:59"),),
        explained=(gone("2024-08-31T22", "2026-08-31T22", "2026-08-30T22"),),
    ),
    LanguageExample(
        name="a date on the last day of the academic year",
        schedule=at_most("P18Y", "academic", "field", "born_on"),
        events=(opened("2020-05-06T10", born_on="2006-07-31"),),
        explained=(gone("2006-07-31T22", "2024-07-31T22", "2024-07-30T22"),),
    ),
    LanguageExample(
        name="a date on the first day of the academic year",
        schedule=at_most("P18Y", "academic", "field", "born_on"),
        events=(opened("2020-05-06T10", born_on="2006-08-01"),),
        explained=(gone("2007-07-31T22", "2025-07-31T22", "2025-07-30T22"),),
    ),
    LanguageExample(
        name="six months from 30 June: a maximum does not reach 31 December",
        schedule=at_most("P6M", "quarter"),
        # From 30 June through 30 December; from 1 July through 31 December.
        events=(opened("2024-04-01T10"),),
        explained=(gone("2024-06-30T22", "2024-12-30T23", "2024-12-29T23"),),
    ),
    LanguageExample(
        name="six months from 30 June: a minimum keeps 31 December",
        schedule=at_least("P6M", "quarter"),
        events=(opened("2024-06-30T12"),),
        explained=(kept("2024-06-30T22", "2024-12-31T23", "2025-01-01T23"),),
    ),
    LanguageExample(
        name="the last quarter ends with the year, and three months later it is summer time",
        schedule=at_least("P3M", "quarter"),
        events=(opened("2024-11-05T10"),),
        explained=(kept("2024-12-31T23", "2025-03-31T22", "2025-04-01T22"),),
    ),
    LanguageExample(
        name="a month from the end of February in a leap year: a maximum",
        schedule=at_most("P1M", "month"),
        # Through 29 March or through 31 March, the day the clock goes forward.
        events=(opened("2024-02-10T10"),),
        explained=(gone("2024-02-29T23", "2024-03-29T23", "2024-03-28T23"),),
    ),
    LanguageExample(
        name="a month from the end of February in a leap year: a minimum",
        schedule=at_least("P1M", "month"),
        events=(opened("2024-02-10T10"),),
        explained=(kept("2024-02-29T23", "2024-03-31T22", "2024-04-01T22"),),
    ),
    LanguageExample(
        name="ten days from the end of the month in which the clock goes forward",
        schedule=at_least("P10D", "month"),
        events=(opened("2024-03-05T10"),),
        explained=(kept("2024-03-31T22", "2024-04-10T22", "2024-04-11T22"),),
    ),
    LanguageExample(
        name="the end of the year itself, without a term, for a maximum",
        schedule=at_most("P0D", "calendar"),
        events=(opened("2024-05-01T10"),),
        explained=(gone("2024-12-31T23", "2024-12-31T23", "2024-12-31T23"),),
    ),
    LanguageExample(
        name="the end of the year itself, without a term, for a minimum",
        schedule=at_least("P0D", "calendar"),
        events=(opened("2024-05-01T10"),),
        explained=(kept("2024-12-31T23", "2024-12-31T23", "2025-01-01T23"),),
    ),
    LanguageExample(
        name="a year that ends on 28 February: the leap day belongs to the next",
        schedule=at_least("P3Y", "short"),
        # Three years from 28 February 2025 or from 1 March 2025: the leap day 2028 is kept as well.
        events=(opened("2024-02-29T12"),),
        explained=(kept("2025-02-28T23", "2028-02-29T23", "2028-03-01T23"),),
    ),
    LanguageExample(
        name="a year from 28 February of a leap year: a minimum keeps 28 February",
        schedule=at_least("P1Y", "short"),
        events=(opened("2023-03-01T12"),),
        explained=(kept("2024-02-28T23", "2025-02-28T23", "2025-03-01T23"),),
    ),
    LanguageExample(
        name="a year from 28 February of a leap year: a maximum does not reach 28 February",
        schedule=at_most("P1Y", "short"),
        events=(opened("2023-03-01T12"),),
        explained=(gone("2024-02-28T23", "2025-02-27T23", "2025-02-26T23"),),
    ),
    LanguageExample(
        name="a year that ends on the last day of February: the leap day belongs to it",
        schedule=at_least("P1Y", "leap"),
        events=(opened("2024-02-29T12"),),
        explained=(kept("2024-02-29T23", "2025-02-28T23", "2025-03-01T23"),),
    ),
)
