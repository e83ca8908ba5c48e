"""A minimum beside a maximum, and rules without an end."""

from tests.oracle.examples.forms import Leaves
from tests.oracle.examples.language.forms import (
    OPEN,
    LanguageExample,
    Row,
    happened,
    one_rule,
    opened,
)
from tests.oracle.language import Anchor, Part, Rule, Schedule


def between(minimum: str, maximum: str, anchor: Anchor | None = None) -> Schedule:
    part = Part(term=maximum, anchor=anchor or Anchor())
    return one_rule(Rule(kind="at_most", minimum=minimum, parts=(part,)))


MINIMUM = (
    LanguageExample(
        name="between five and seven years from a leap day",
        schedule=between("P5Y", "P7Y"),
        events=(opened("2020-02-29T10"),),
        explained=(
            Row(
                "e1",
                "main",
                "2020-02-29T10",
                "2025-02-28T23",
                "2027-02-28T10",
                "2027-02-27T10",
                "scheduled",
            ),
        ),
        sent=(Leaves("2027-02-27T10", "app", "erase", "e1", "main", "care", "2027-02-28T10"),),
    ),
    LanguageExample(
        name="of equal terms the minimum wins: its last day is kept whole",
        schedule=between("P5Y", "P5Y"),
        events=(opened("2020-02-29T10"),),
        explained=(
            Row(
                "e1",
                "main",
                "2020-02-29T10",
                "2025-02-28T23",
                "2025-03-01T23",
                "2025-02-28T23",
                "scheduled",
            ),
        ),
        sent=(Leaves("2025-02-28T23", "app", "erase", "e1", "main", "care", "2025-03-01T23"),),
    ),
    LanguageExample(
        name="a day between them is less than the lead time: due when the minimum ends",
        schedule=between("P5Y", "P5Y1D"),
        events=(opened("2020-02-29T10"),),
        explained=(
            Row(
                "e1",
                "main",
                "2020-02-29T10",
                "2025-02-28T23",
                "2025-03-01T10",
                "2025-02-28T23",
                "scheduled",
            ),
        ),
    ),
    LanguageExample(
        name="both wait for the clock",
        schedule=between("P1Y", "P2Y", Anchor(kind="clock", name="case")),
        events=(opened("2020-02-29T10"),),
        explained=(OPEN,),
        now="2050-01-01T00",
    ),
    LanguageExample(
        name="both count from the end of the year",
        schedule=between("P1Y", "P2Y", Anchor(kind="clock", name="case", end_of="calendar")),
        events=(opened("2020-02-29T10"), happened("c1", "case.ended", "2020-03-01T10")),
        explained=(
            Row(
                "e1",
                "main",
                "2020-12-31T23",
                "2021-12-31T23",
                "2022-12-31T23",
                "2022-12-30T23",
                "scheduled",
            ),
        ),
    ),
    LanguageExample(
        name="deeds are kept permanently",
        schedule=one_rule(Rule(kind="at_least", parts=(Part(term="never"),))),
        events=(opened("1999-02-01T10"),),
        explained=(OPEN,),
        now="2190-01-01T00",
        sent=(),
        until="2190-01-01T00",
    ),
)
