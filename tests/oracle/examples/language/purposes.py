"""Several holdings of a record in one system: restrictions, lifts, and rules under test."""

from tests.oracle.examples.forms import Leaves
from tests.oracle.examples.language.forms import (
    LanguageExample,
    Row,
    happened,
    opened,
    schedule,
)
from tests.oracle.language import Anchor, EventType, Part, Rule, Schedule, Use

YEAR = Rule(kind="at_most", parts=(Part(term="P1Y"),))
THREE = Rule(kind="at_most", parts=(Part(term="P3Y"),))
AFTER_CASE = Rule(
    kind="at_most", parts=(Part(term="P1Y", anchor=Anchor(kind="clock", name="case")),)
)
TAX = Rule(kind="at_least", parts=(Part(term="P7Y"),))
TRIED = Rule(kind="at_least", test=True, parts=(Part(term="P7Y"),))


def holding(*uses: tuple[str, str, str], **rules: Rule) -> Schedule:
    """Return a schedule in which `file.opened` is held so: purpose, rule, systems."""
    held = tuple(
        Use(purpose=purpose, rule=rule, systems=tuple(systems.split()))
        for purpose, rule, systems in uses
    )
    return schedule(rules, EventType(uses=held))


OPENED = opened("2020-03-01T10")
OF_YEAR = Row("e1", "a", "2020-03-01T10", None, "2021-03-01T10", "2021-02-28T10", "scheduled")
OF_THREE = Row("e1", "b", "2020-03-01T10", None, "2023-03-01T10", "2023-02-28T10", "scheduled")
OF_TAX = Row(
    "e1", "c", "2020-03-01T10", "2027-03-01T23", "2027-03-02T23", "2027-03-01T23", "scheduled"
)
TAX_RESTRICTED = Leaves("2027-03-01T23", "app", "restrict", "e1", "c", "tax", "2027-03-02T23")
"""The duty to keep ends, while care goes on."""
CASE_OPEN = Row("e1", "a", None, None, None, None, "open")

ONE_PURPOSE = holding(
    ("care", "a", "app books"),
    ("care", "b", "app mail"),
    ("tax", "c", "app books"),
    a=YEAR,
    b=THREE,
    c=TAX,
)
REVIVED = holding(("care", "a", "app mail"), ("tax", "c", "app"), a=AFTER_CASE, c=TAX)
HALF_REVIVED = holding(
    ("care", "a", "app"), ("care", "b", "app"), ("tax", "c", "app"), a=AFTER_CASE, b=YEAR, c=TAX
)

PURPOSES = (
    LanguageExample(
        name="a purpose is restricted where its last holding has ended, not where its first has",
        schedule=ONE_PURPOSE,
        events=(OPENED,),
        explained=(OF_YEAR, OF_THREE, OF_TAX),
        sent=(
            # Only `books` holds care under the rule of one year alone.
            Leaves("2021-02-28T10", "books", "restrict", "e1", "a", "care", "2021-03-01T10"),
            Leaves("2023-02-28T10", "app", "restrict", "e1", "a b", "care", "2023-03-01T10"),
            Leaves("2023-02-28T10", "mail", "erase", "e1", "b", "care", "2023-03-01T10"),
            Leaves("2027-03-01T23", "books", "erase", "e1", "a c", "care tax", "2027-03-02T23"),
            Leaves("2027-03-01T23", "app", "erase", "e1", "a b c", "care tax", "2027-03-02T23"),
        ),
    ),
    LanguageExample(
        name="a purpose of which one holding is open is not restricted",
        schedule=HALF_REVIVED,
        events=(OPENED,),
        explained=(CASE_OPEN, OF_YEAR._replace(rule="b"), OF_TAX),
        sent=(TAX_RESTRICTED,),
    ),
    LanguageExample(
        name="two holdings of one purpose alone in a system: one erasure, at the last end",
        schedule=holding(("care", "a", "app"), ("care", "b", "app"), a=YEAR, b=THREE),
        events=(OPENED,),
        explained=(OF_YEAR, OF_THREE),
        sent=(Leaves("2023-02-28T10", "app", "erase", "e1", "a b", "care", "2023-03-01T10"),),
    ),
    LanguageExample(
        name="two purposes that end together are erased, and not restricted first",
        schedule=holding(("care", "a", "app"), ("service", "b", "app"), a=YEAR, b=YEAR),
        events=(OPENED,),
        explained=(OF_YEAR, OF_YEAR._replace(rule="b")),
        sent=(
            Leaves("2021-02-28T10", "app", "erase", "e1", "a b", "care service", "2021-03-01T10"),
        ),
    ),
    LanguageExample(
        name="two purposes that end together while a third goes on are restricted together",
        schedule=holding(
            ("care", "a", "app"),
            ("service", "b", "app"),
            ("tax", "c", "app"),
            a=YEAR,
            b=YEAR,
            c=TAX,
        ),
        events=(OPENED,),
        explained=(OF_YEAR, OF_YEAR._replace(rule="b"), OF_TAX),
        sent=(
            Leaves(
                "2021-02-28T10", "app", "restrict", "e1", "a b", "care service", "2021-03-01T10"
            ),
            Leaves(
                "2027-03-01T23", "app", "erase", "e1", "a b c", "care service tax", "2027-03-02T23"
            ),
        ),
    ),
    LanguageExample(
        name="a purpose that lives again is lifted at once, and restricted when it ends again",
        schedule=REVIVED,
        events=(
            OPENED,
            happened("c1", "case.ended", "2020-05-01T10"),
            happened("c2", "case.started", "2022-01-05T10"),
            happened("c3", "case.ended", "2023-06-01T10"),
        ),
        explained=(
            Row("e1", "a", "2023-06-01T10", None, "2024-06-01T10", "2024-05-31T10", "scheduled"),
            OF_TAX,
        ),
        sent=(
            Leaves("2021-04-30T10", "app", "restrict", "e1", "a", "care", "2021-05-01T10"),
            # What was carried out in `mail` stays so.
            Leaves("2021-04-30T10", "mail", "erase", "e1", "a", "care", "2021-05-01T10"),
            Leaves("2022-01-05T10", "app", "lift", "e1", "a", "care", "2022-01-05T10"),
            Leaves("2024-05-31T10", "app", "restrict", "e1", "a", "care", "2024-06-01T10"),
            Leaves("2027-03-01T23", "app", "erase", "e1", "a c", "care tax", "2027-03-02T23"),
        ),
    ),
    LanguageExample(
        name="a purpose whose end is moved into the future is lifted until then",
        schedule=REVIVED,
        events=(
            OPENED,
            happened("c1", "case.ended", "2020-05-01T10"),
            happened("c2", "case.ended", "2022-01-05T10"),
        ),
        explained=(
            Row("e1", "a", "2022-01-05T10", None, "2023-01-05T10", "2023-01-04T10", "scheduled"),
            OF_TAX,
        ),
        sent=(
            Leaves("2021-04-30T10", "app", "restrict", "e1", "a", "care", "2021-05-01T10"),
            Leaves("2021-04-30T10", "mail", "erase", "e1", "a", "care", "2021-05-01T10"),
            Leaves("2022-01-05T10", "app", "lift", "e1", "a", "care", "2022-01-05T10"),
            Leaves("2023-01-04T10", "app", "restrict", "e1", "a", "care", "2023-01-05T10"),
            Leaves("2027-03-01T23", "app", "erase", "e1", "a c", "care tax", "2027-03-02T23"),
        ),
    ),
    LanguageExample(
        name="a case that starts again before its purpose has ended is not restricted",
        schedule=REVIVED,
        events=(
            OPENED,
            happened("c1", "case.ended", "2020-05-01T10"),
            happened("c2", "case.started", "2021-04-30T10"),
        ),
        explained=(CASE_OPEN, OF_TAX),
        sent=(TAX_RESTRICTED,),
    ),
    LanguageExample(
        name="a case that starts again a second too late lifts a restriction",
        schedule=REVIVED,
        events=(
            OPENED,
            happened("c1", "case.ended", "2020-05-01T10"),
            happened("c2", "case.started", "2021-04-30T10:00:01"),
        ),
        explained=(CASE_OPEN, OF_TAX),
        sent=(
            Leaves("2021-04-30T10", "app", "restrict", "e1", "a", "care", "2021-05-01T10"),
            Leaves("2021-04-30T10", "mail", "erase", "e1", "a", "care", "2021-05-01T10"),
            Leaves("2021-04-30T10:00:01", "app", "lift", "e1", "a", "care", "2021-04-30T10:00:01"),
            TAX_RESTRICTED,
        ),
    ),
    LanguageExample(
        name="one of two holdings that lives again lifts the purpose",
        schedule=HALF_REVIVED,
        events=(
            OPENED,
            happened("c1", "case.ended", "2020-05-01T10"),
            happened("c2", "case.started", "2022-01-05T10"),
        ),
        explained=(CASE_OPEN, OF_YEAR._replace(rule="b", state="ended"), OF_TAX),
        sent=(
            Leaves("2021-04-30T10", "app", "restrict", "e1", "a b", "care", "2021-05-01T10"),
            Leaves("2022-01-05T10", "app", "lift", "e1", "a b", "care", "2022-01-05T10"),
            TAX_RESTRICTED,
        ),
    ),
    LanguageExample(
        name="a rule in test is shown, commands nothing, and keeps its data",
        schedule=holding(("care", "a", "app"), ("tax", "c", "app books"), a=YEAR, c=TRIED),
        events=(OPENED,),
        explained=(OF_YEAR, OF_TAX._replace(state="test")),
        sent=(Leaves("2021-02-28T10", "app", "restrict", "e1", "a", "care", "2021-03-01T10"),),
    ),
)
