"""The last or the first of several ends."""

from tests.oracle.examples.language.forms import (
    OPEN,
    LanguageExample,
    gone,
    happened,
    kept,
    one_rule,
    opened,
)
from tests.oracle.language import Anchor, Part, Rule
from tests.oracle.language.rules import Event

CASE = Anchor(kind="clock", name="case")
REPORT = Anchor(kind="clock", name="report")

# Three years after the hire, or one after the employment, whichever is later (the form I-9).
LATER = one_rule(
    Rule(kind="at_least", ends="last", parts=(Part(term="P3Y"), Part(term="P1Y", anchor=CASE)))
)
# Ten years after the file, and after the report if there is one.
IF_ANY = one_rule(
    Rule(
        kind="at_least",
        ends="last",
        parts=(Part(term="P10Y"), Part(term="P10Y", anchor=REPORT, if_any=True)),
    )
)
ONLY_IF_ANY = one_rule(
    Rule(kind="at_most", ends="last", parts=(Part(term="P1Y", anchor=REPORT, if_any=True),))
)
# Two years after the case, but no longer than ten after the file.
EARLIER = one_rule(
    Rule(kind="at_most", ends="first", parts=(Part(term="P10Y"), Part(term="P2Y", anchor=CASE)))
)
TWO_CLOCKS = one_rule(
    Rule(
        kind="at_most",
        ends="first",
        parts=(Part(term="P1Y", anchor=CASE), Part(term="P1M", anchor=REPORT)),
    )
)
LAST_OR_NEVER = one_rule(
    Rule(kind="at_least", ends="last", parts=(Part(term="P1Y"), Part(term="never")))
)
FIRST_OR_NEVER = one_rule(
    Rule(kind="at_least", ends="first", parts=(Part(term="never"), Part(term="P1Y", anchor=CASE)))
)


def ended(at: str, id_: str = "c1", clock: str = "case") -> Event:
    return happened(id_, f"{clock}.ended", at)


def started(at: str, id_: str = "c2", clock: str = "case") -> Event:
    return happened(id_, f"{clock}.started", at)


HIRED = opened("2020-03-02T08")

SEVERAL_ENDS = (
    LanguageExample(
        name="the last of two: the hire, where the employment was short",
        schedule=LATER,
        # Kept through 2 March 2023. The employment would give 30 June 2022.
        events=(HIRED, ended("2021-06-30T15")),
        explained=(kept("2020-03-02T08", "2023-03-02T23", "2023-03-03T23"),),
    ),
    LanguageExample(
        name="the last of two: the employment, where it was long",
        schedule=LATER,
        # Kept through 1 October 2024, in summer time. The hire would give 2 March 2023.
        events=(ended("2023-10-01T10"), HIRED),
        explained=(kept("2023-10-01T10", "2024-10-01T22", "2024-10-02T22"),),
    ),
    LanguageExample(
        name="the last of two is not known while one is not, however long the other has passed",
        schedule=LATER,
        events=(HIRED,),
        explained=(OPEN,),
        now="2040-01-01T00",
        sent=(),
    ),
    LanguageExample(
        name="a correction opens the last of two again",
        schedule=LATER,
        events=(HIRED, ended("2021-06-30T15"), started("2021-07-01T10")),
        explained=(OPEN,),
        sent=(),
    ),
    LanguageExample(
        name="of two ends on one day the first that is listed decides",
        schedule=LATER,
        # 2 March 2022 and a year: also through 2 March 2023.
        events=(HIRED, ended("2022-03-02T20")),
        explained=(kept("2020-03-02T08", "2023-03-02T23", "2023-03-03T23"),),
    ),
    LanguageExample(
        name="what counts only if there is any does not count before it began",
        schedule=IF_ANY,
        events=(opened("2015-02-10T12"),),
        explained=(kept("2015-02-10T12", "2025-02-10T23", "2025-02-11T23"),),
    ),
    LanguageExample(
        name="what counts if there is any keeps all open once it began",
        schedule=IF_ANY,
        events=(opened("2015-02-10T12"), started("2024-01-05T10", clock="report")),
        explained=(OPEN,),
    ),
    LanguageExample(
        name="what counts if there is any decides once it ended",
        schedule=IF_ANY,
        events=(
            ended("2017-07-03T12", clock="report"),
            opened("2015-02-10T12"),
            started("2016-01-05T10", clock="report"),
        ),
        explained=(kept("2017-07-03T12", "2027-07-03T22", "2027-07-04T22"),),
    ),
    LanguageExample(
        name="a report about another file does not count",
        schedule=IF_ANY,
        events=(
            opened("2015-02-10T12"),
            happened("c2", "report.started", "2016-01-05T10", file="2"),
        ),
        explained=(kept("2015-02-10T12", "2025-02-10T23", "2025-02-11T23"),),
    ),
    LanguageExample(
        name="where nothing counts, the end is not known",
        schedule=ONLY_IF_ANY,
        events=(opened("2015-02-10T12"),),
        explained=(OPEN,),
        now="2045-01-01T00",
        sent=(),
    ),
    LanguageExample(
        name="the first of two: an end that is not known does not count",
        schedule=EARLIER,
        events=(opened("2020-01-15T10"),),
        explained=(gone("2020-01-15T10", "2030-01-15T10", "2030-01-14T10"),),
    ),
    LanguageExample(
        name="the first of two: an earlier end is the new one as soon as it is known",
        schedule=EARLIER,
        # 1 May is in summer time in 2021 and in 2023.
        events=(opened("2020-01-15T10"), ended("2021-05-01T10")),
        explained=(gone("2021-05-01T10", "2023-05-01T10", "2023-04-30T10"),),
    ),
    LanguageExample(
        name="the first of two: a later end changes nothing",
        schedule=EARLIER,
        events=(opened("2020-01-15T10"), ended("2029-05-01T10")),
        explained=(gone("2020-01-15T10", "2030-01-15T10", "2030-01-14T10"),),
    ),
    LanguageExample(
        name="the first of two: a correction takes an end back",
        schedule=EARLIER,
        events=(started("2021-05-02T10"), ended("2021-05-01T10"), opened("2020-01-15T10")),
        explained=(gone("2020-01-15T10", "2030-01-15T10", "2030-01-14T10"),),
    ),
    LanguageExample(
        name="the first of two: a known end stays when a later clock begins",
        schedule=TWO_CLOCKS,
        # 31 January and a month: 28 February 2023.
        events=(
            opened("2020-01-15T10"),
            ended("2023-01-31T10", clock="report"),
            started("2023-02-01T10"),
        ),
        explained=(gone("2023-01-31T10", "2023-02-28T10", "2023-02-27T10"),),
    ),
    LanguageExample(
        name="the first of two is open while no end is known",
        schedule=TWO_CLOCKS,
        events=(opened("2020-01-15T10"), started("2020-01-16T10")),
        explained=(OPEN,),
        sent=(),
    ),
    LanguageExample(
        name="the last of a term and never is never",
        schedule=LAST_OR_NEVER,
        events=(opened("2020-01-15T10"),),
        explained=(OPEN,),
        now="2099-01-01T00",
        sent=(),
        until="2099-01-01T00",
    ),
    LanguageExample(
        name="the first of a term and never is the term",
        schedule=FIRST_OR_NEVER,
        events=(opened("2020-01-15T10"), ended("2024-02-29T10")),
        # A year after a leap day: through 28 February 2025.
        explained=(kept("2024-02-29T10", "2025-02-28T23", "2025-03-01T23"),),
    ),
)
