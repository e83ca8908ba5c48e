"""Terms that start at a date in the event, in the past or in the future."""

from tests.oracle.examples.forms import Leaves
from tests.oracle.examples.language.forms import (
    NOT_COMPARED,
    OPEN,
    LanguageExample,
    gone,
    happened,
    kept,
    one_rule,
    opened,
)
from tests.oracle.language import Anchor, EventType, Move, Part, Rule
from tests.oracle.language.rules import Event

BORN = Anchor(kind="field", name="born_on")
VALID = Anchor(kind="field", name="valid_until")

PENSION = one_rule(
    Rule(kind="at_least", parts=(Part(term="P67Y", anchor=BORN),)), dates=("born_on",)
)
MAJORITY = one_rule(
    Rule(kind="at_most", parts=(Part(term="P18Y", anchor=BORN),)), dates=("born_on",)
)
EXPIRY = one_rule(
    Rule(kind="at_most", parts=(Part(term="P1Y", anchor=VALID),)), dates=("valid_until",)
)
AT_EXPIRY = one_rule(
    Rule(kind="at_most", parts=(Part(term="P0D", anchor=VALID),)), dates=("valid_until",)
)
KEPT_AFTER_EXPIRY = one_rule(
    Rule(kind="at_least", parts=(Part(term="P0D", anchor=VALID),)), dates=("valid_until",)
)
ABROAD = one_rule(
    Rule(kind="at_least", parts=(Part(term="P10D", anchor=BORN),)),
    dates=("born_on",),
    zone="America/Sao_Paulo",
)
# The permit's clock ends on the date of the last word about it.
PERMIT = one_rule(
    Rule(kind="at_most", parts=(Part(term="P1Y", anchor=Anchor(kind="clock", name="case")),)),
    dates=("valid_until",),
    moves=(Move(clock="case", ends=True, at="valid_until"),),
    types={
        "permit.changed": EventType(
            moves=(Move(clock="case", ends=True, at="valid_until"),), dates=("valid_until",)
        )
    },
)


def changed(id_: str, at: str, until: str, source: str = "/crm") -> Event:
    return happened(id_, "permit.changed", at, source, valid_until=until)


GRANTED = opened("2024-01-10T10", valid_until="2030-06-01")

DATES = (
    LanguageExample(
        name="a birth in 1938 gives a window in the past, which is due at once",
        schedule=PENSION,
        # Kept through 4 May 2005, in summer time.
        events=(opened("2024-05-06T10", born_on="1938-05-04"),),
        explained=(kept(NOT_COMPARED, "2005-05-04T22", "2005-05-05T22", "ended"),),
        sent=(Leaves("2024-05-06T10", "app", "erase", "e1", "main", "care", "2005-05-05T22"),),
    ),
    LanguageExample(
        name="67 years after a leap day is 28 February",
        schedule=PENSION,
        events=(opened("2001-05-06T10", born_on="1940-02-29"),),
        explained=(kept(NOT_COMPARED, "2007-02-28T23", "2007-03-01T23"),),
    ),
    LanguageExample(
        name="the date of birth counts as written, whatever the time difference was then",
        schedule=PENSION,
        # 16 May 1940 began at 01:40 with the occupation's time, or at midnight: it is the 16th.
        events=(opened("2001-05-06T10", born_on="1940-05-16"),),
        explained=(kept(NOT_COMPARED, "2007-05-16T22", "2007-05-17T22"),),
    ),
    LanguageExample(
        name="a birth before 1900 is a fact like any other",
        schedule=PENSION,
        events=(opened("2001-05-06T10", born_on="1899-12-31"),),
        explained=(kept(NOT_COMPARED, "1966-12-31T23", "1967-01-01T23", "ended"),),
    ),
    LanguageExample(
        name="a maximum from a leap day ends at the beginning of 28 February",
        schedule=MAJORITY,
        events=(opened("2020-05-06T10", born_on="2004-02-29"),),
        explained=(gone("2004-02-28T23", "2022-02-27T23", "2022-02-26T23"),),
    ),
    LanguageExample(
        name="an expiry in 2041, on the day the clock goes forward",
        schedule=EXPIRY,
        # 31 March 2041 begins in winter time, 31 March 2042 in summer time.
        events=(opened("2024-05-06T10", valid_until="2041-03-31"),),
        explained=(gone("2041-03-30T23", "2042-03-30T22", "2042-03-29T22"),),
    ),
    LanguageExample(
        name="no term after a date: due as that day begins",
        schedule=AT_EXPIRY,
        events=(opened("2024-05-06T10", valid_until="2041-10-27"),),
        explained=(gone("2041-10-26T22", "2041-10-26T22", "2041-10-26T22"),),
    ),
    LanguageExample(
        name="a minimum without a term after a date: kept through that day of 25 hours",
        schedule=KEPT_AFTER_EXPIRY,
        events=(opened("2024-05-06T10", valid_until="2041-10-27"),),
        explained=(kept("2041-10-26T22", "2041-10-27T23", "2041-10-28T23"),),
    ),
    LanguageExample(
        name="an event without the date is open",
        schedule=EXPIRY,
        events=(opened("2024-05-06T10"),),
        explained=(OPEN,),
        now="2099-01-01T00",
        sent=(),
    ),
    LanguageExample(
        name="where midnight does not exist the last day is kept until it has passed",
        schedule=ABROAD,
        # In Sao Paulo 3 November 2018 ended at 03:00Z, when 00:00 became 01:00 of the 4th.
        events=(opened("2018-10-25T15", born_on="2018-10-24"),),
        explained=(kept("2018-10-24T03", "2018-11-04T03", "2018-11-05T03"),),
    ),
    LanguageExample(
        name="a clock ends at a date in the future, and is not open until then",
        schedule=PERMIT,
        events=(GRANTED,),
        explained=(gone("2030-05-31T22", "2031-05-31T22", "2031-05-30T22"),),
    ),
    LanguageExample(
        name="the last word about a date wins, not the latest date",
        schedule=PERMIT,
        events=(
            GRANTED,
            changed("p2", "2026-02-01T10", "2028-11-15"),
            changed("p1", "2025-02-01T10", "2035-06-01"),
        ),
        explained=(gone("2028-11-14T23", "2029-11-14T23", "2029-11-13T23"),),
    ),
    LanguageExample(
        name="of words at one instant that of the greatest source wins, then of the greatest id",
        schedule=PERMIT,
        events=(
            changed("p9", "2026-02-01T10", "2035-06-01", "/crm"),
            changed("p2", "2026-02-01T10", "2028-01-15", "/desk"),
            changed("p1", "2026-02-01T10", "2029-01-15", "/desk"),
            GRANTED,
        ),
        explained=(gone("2028-01-14T23", "2029-01-14T23", "2029-01-13T23"),),
    ),
    LanguageExample(
        name="a word from before the grant that arrives late changes nothing",
        schedule=PERMIT,
        events=(GRANTED, changed("p1", "2023-12-31T10", "2050-06-01")),
        explained=(gone("2030-05-31T22", "2031-05-31T22", "2031-05-30T22"),),
    ),
    LanguageExample(
        name="an end without a date is at the time of its event",
        schedule=PERMIT,
        events=(GRANTED, happened("p1", "case.ended", "2025-02-01T10")),
        explained=(gone("2025-02-01T10", "2026-02-01T10", "2026-01-31T10"),),
    ),
    LanguageExample(
        name="a start opens a clock that had an end in the future",
        schedule=PERMIT,
        events=(GRANTED, happened("p1", "case.started", "2025-02-01T10")),
        explained=(OPEN,),
        sent=(),
    ),
    LanguageExample(
        name="an event that names no date does not move the clock",
        schedule=PERMIT,
        events=(GRANTED, happened("p1", "permit.changed", "2025-02-01T10")),
        explained=(gone("2030-05-31T22", "2031-05-31T22", "2031-05-30T22"),),
    ),
    LanguageExample(
        name="a date is moved into the past, and the erasure leaves at once",
        schedule=PERMIT,
        events=(GRANTED, changed("p1", "2025-02-01T10", "2023-06-01")),
        explained=(gone("2023-05-31T22", "2024-05-31T22", "2024-05-30T22", "ended"),),
        sent=(Leaves("2025-02-01T10", "app", "erase", "e1", "main", "care", "2024-05-31T22"),),
    ),
)
