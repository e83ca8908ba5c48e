"""Notices before the end: ends that move, legal holds, and requests for erasure."""

from collections.abc import Mapping
from typing import Any

from tests.oracle.examples.forms import Leaves, act
from tests.oracle.examples.language.forms import (
    OPEN,
    LanguageExample,
    Row,
    gone,
    happened,
    one_rule,
    opened,
    schedule,
)
from tests.oracle.language import Anchor, EventType, Move, Notice, Part, Rule, Schedule, Use

DAYS_BEFORE = (Notice(before="P30D", system="mail"),)
AT_EVENT = Anchor()
CASE = Anchor(kind="clock", name="case")


def at_most(
    term: str, anchor: Anchor = AT_EVENT, notices: tuple[Notice, ...] = DAYS_BEFORE, **more: Any
) -> Schedule:
    """Return a schedule of one rule, which `mail` announces."""
    rule = Rule(kind="at_most", parts=(Part(term=term, anchor=anchor),), notices=notices)
    return one_rule(rule, **more)


def notice(at: str, end: str) -> Leaves:
    return Leaves(at, "mail", "notify", "e1", "main", "care", end)


def erased(at: str, erase_by: str) -> Leaves:
    return Leaves(at, "app", "erase", "e1", "main", "care", erase_by)


# Two years from 10 January 2022: due on 9 January 2024, 30 days after 10 December 2023.
TWO_YEARS = at_most("P2Y", rights=True)
OF_TWO_YEARS = gone("2022-01-10T10", "2024-01-10T10", "2024-01-09T10")
JANUARY_2022 = opened("2022-01-10T10")
NOTICED, ERASED = (
    notice("2023-12-10T10", "2024-01-09T10"),
    erased("2024-01-09T10", "2024-01-10T10"),
)
# A year after the case: if it ended on 1 February 2022 due on 31 January 2023, 30 days after the 1st.
AFTER_CASE = at_most("P1Y", CASE)
# A permit's last word is its date: from 1 February 2022 due on 30 January 2023, 23:00 in UTC.
AFTER_PERMIT = at_most(
    "P1Y",
    CASE,
    types={
        "permit.set": EventType(
            moves=(Move(clock="case", ends=True, at="valid_until"),), dates=("valid_until",)
        )
    },
)
FEBRUARY_2022 = (opened("2022-01-05T10"), happened("c1", "case.ended", "2022-02-01T10"))
NOTICED_ONCE = notice("2023-01-01T10", "2023-01-31T10")


def held(from_: str, until: str, *records: str) -> tuple[dict[str, Any], ...]:
    """Return a legal hold over person 1, or over these records only, and its release."""
    data: dict[str, Any] = {"hold_id": "h1", "ground": "legal_claim"}
    if records:
        data["records"] = list(records)
    return (
        act("h1", "hold-placed", from_, "person:1", **data),
        act("h2", "hold-released", until, "person:1", hold_id="h1"),
    )


MOVED = (
    LanguageExample(
        name="a case that ends again when all is erased is not announced",
        schedule=AFTER_CASE,
        events=(*FEBRUARY_2022, happened("c2", "case.ended", "2023-06-01T10")),
        explained=(gone("2023-06-01T10", "2024-06-01T10", "2024-05-31T10"),),
        sent=(NOTICED_ONCE, erased("2023-01-31T10", "2023-02-01T10")),
    ),
    LanguageExample(
        name="an end that moves as its notice leaves is announced at the new end only",
        schedule=AFTER_CASE,
        events=(*FEBRUARY_2022, happened("c2", "case.ended", "2023-01-01T10")),
        explained=(gone("2023-01-01T10", "2024-01-01T10", "2023-12-31T10"),),
        sent=(
            notice("2023-12-01T10", "2023-12-31T10"),
            erased("2023-12-31T10", "2024-01-01T10"),
        ),
    ),
    LanguageExample(
        name="an end that moves a second after its notice is announced again",
        schedule=AFTER_CASE,
        events=(*FEBRUARY_2022, happened("c2", "case.ended", "2023-01-01T10:00:01")),
        explained=(gone("2023-01-01T10:00:01", "2024-01-01T10:00:01", "2023-12-31T10:00:01"),),
        sent=(
            NOTICED_ONCE,
            notice("2023-12-01T10:00:01", "2023-12-31T10:00:01"),
            erased("2023-12-31T10:00:01", "2024-01-01T10:00:01"),
        ),
    ),
    LanguageExample(
        name="an end that moves back to an earlier one is announced again",
        schedule=AFTER_PERMIT,
        events=(
            opened("2022-01-05T10"),
            happened("s1", "permit.set", "2022-01-06T10", valid_until="2022-02-01"),
            happened("s2", "permit.set", "2023-01-10T10", valid_until="2022-02-10"),
            happened("s3", "permit.set", "2023-01-15T10", valid_until="2022-02-01"),
        ),
        explained=(gone("2022-01-31T23", "2023-01-31T23", "2023-01-30T23"),),
        sent=(
            notice("2022-12-31T23", "2023-01-30T23"),
            notice("2023-01-10T10", "2023-02-08T23"),
            notice("2023-01-15T10", "2023-01-30T23"),
            erased("2023-01-30T23", "2023-01-31T23"),
        ),
    ),
    LanguageExample(
        name="a customer who is reinstated after the notice gets one of the next end",
        schedule=AFTER_CASE,
        events=(
            *FEBRUARY_2022,
            happened("c2", "case.started", "2023-01-20T10"),
            happened("c3", "case.ended", "2023-06-01T10"),
        ),
        explained=(gone("2023-06-01T10", "2024-06-01T10", "2024-05-31T10"),),
        sent=(
            NOTICED_ONCE,
            notice("2024-05-01T10", "2024-05-31T10"),
            erased("2024-05-31T10", "2024-06-01T10"),
        ),
    ),
    LanguageExample(
        name="a customer who is reinstated before the notice and stays gets none",
        schedule=AFTER_CASE,
        events=(*FEBRUARY_2022, happened("c2", "case.started", "2022-12-31T10")),
        explained=(OPEN,),
        sent=(),
    ),
    LanguageExample(
        name="an end that is nearer than the notice when it becomes known is announced at once",
        schedule=at_most("P2W"),
        events=(opened("2024-02-20T10"),),
        # Two weeks over a leap day.
        explained=(gone("2024-02-20T10", "2024-03-05T10", "2024-03-04T10"),),
        sent=(
            notice("2024-02-20T10", "2024-03-04T10"),
            erased("2024-03-04T10", "2024-03-05T10"),
        ),
    ),
    LanguageExample(
        name="an end that had come when it became known is not announced",
        schedule=at_most("P1Y", Anchor(kind="field", name="valid_until"), dates=("valid_until",)),
        events=(opened("2024-06-01T10", valid_until="2023-05-01"),),
        explained=(gone("2023-04-30T22", "2024-04-30T22", "2024-04-29T22", "ended"),),
        sent=(erased("2024-06-01T10", "2024-04-30T22"),),
    ),
    LanguageExample(
        name="two notices of one end, by two systems",
        schedule=at_most("P2Y", notices=(*DAYS_BEFORE, Notice(before="P1W", system="post"))),
        events=(JANUARY_2022,),
        explained=(OF_TWO_YEARS,),
        sent=(
            NOTICED,
            Leaves("2024-01-02T10", "post", "notify", "e1", "main", "care", "2024-01-09T10"),
            ERASED,
        ),
    ),
)

TWO_BY_MAIL = (*DAYS_BEFORE, Notice(before="P1W", system="mail"))
SEVERAL = (
    LanguageExample(
        name="two notices of one end, by one system, each in its time",
        schedule=at_most("P2Y", notices=TWO_BY_MAIL),
        events=(JANUARY_2022,),
        explained=(OF_TWO_YEARS,),
        sent=(NOTICED, notice("2024-01-02T10", "2024-01-09T10"), ERASED),
    ),
    LanguageExample(
        name="of two notices that an end is nearer than only one is given",
        schedule=at_most("P6D", notices=TWO_BY_MAIL),
        events=(opened("2024-02-20T10"),),
        explained=(gone("2024-02-20T10", "2024-02-26T10", "2024-02-25T10"),),
        sent=(
            notice("2024-02-20T10", "2024-02-25T10"),
            erased("2024-02-25T10", "2024-02-26T10"),
        ),
    ),
    LanguageExample(
        name="an end that is between two notices when it becomes known is announced at once and then",
        schedule=at_most("P2W", notices=TWO_BY_MAIL),
        events=(opened("2024-02-20T10"),),
        explained=(gone("2024-02-20T10", "2024-03-05T10", "2024-03-04T10"),),
        sent=(
            notice("2024-02-20T10", "2024-03-04T10"),
            notice("2024-02-26T10", "2024-03-04T10"),
            erased("2024-03-04T10", "2024-03-05T10"),
        ),
    ),
    LanguageExample(
        name="an end that comes back within two notices is announced again once",
        schedule=at_most(
            "P1Y",
            CASE,
            TWO_BY_MAIL,
            types={
                "permit.set": EventType(
                    moves=(Move(clock="case", ends=True, at="valid_until"),), dates=("valid_until",)
                )
            },
        ),
        events=(
            opened("2022-01-05T10"),
            happened("s1", "permit.set", "2022-01-06T10", valid_until="2022-02-01"),
            happened("s2", "permit.set", "2023-01-25T10", valid_until="2022-02-10"),
            happened("s3", "permit.set", "2023-01-26T10", valid_until="2022-02-01"),
        ),
        explained=(gone("2022-01-31T23", "2023-01-31T23", "2023-01-30T23"),),
        sent=(
            notice("2022-12-31T23", "2023-01-30T23"),
            notice("2023-01-23T23", "2023-01-30T23"),
            notice("2023-01-25T10", "2023-02-08T23"),
            notice("2023-01-26T10", "2023-01-30T23"),
            erased("2023-01-30T23", "2023-01-31T23"),
        ),
    ),
)

BY_PERSONS = (
    LanguageExample(
        name="a legal hold keeps a notice back until it is released",
        schedule=TWO_YEARS,
        events=(JANUARY_2022, *held("2023-12-01T10", "2023-12-20T10")),
        explained=(OF_TWO_YEARS,),
        sent=(notice("2023-12-20T10", "2024-01-09T10"), ERASED),
    ),
    LanguageExample(
        name="a hold from exactly the notice's instant keeps it back, one of other records does not",
        schedule=TWO_YEARS,
        events=(
            JANUARY_2022,
            happened("e2", "file.opened", "2022-01-10T10"),
            *held("2023-12-10T10", "2023-12-20T10", "e1"),
        ),
        explained=(OF_TWO_YEARS, OF_TWO_YEARS._replace(event="e2")),
        sent=(
            notice("2023-12-20T10", "2024-01-09T10"),
            ERASED,
            NOTICED._replace(record="e2"),
            ERASED._replace(record="e2"),
        ),
    ),
    LanguageExample(
        name="after a hold over notice and end the data goes at once, without a notice",
        schedule=TWO_YEARS,
        events=(JANUARY_2022, *held("2023-12-01T10", "2024-02-01T10")),
        explained=(gone("2022-01-10T10", "2024-02-02T10", "2024-02-01T10", "ended"),),
        sent=(erased("2024-02-01T10", "2024-02-02T10"),),
    ),
    LanguageExample(
        name="a hold between the notice and the end does not make another notice",
        schedule=TWO_YEARS,
        events=(JANUARY_2022, *held("2023-12-15T10", "2023-12-20T10")),
        explained=(OF_TWO_YEARS,),
        sent=(NOTICED, ERASED),
    ),
    LanguageExample(
        name="a request for erasure before the notice leaves none",
        schedule=TWO_YEARS,
        events=(
            JANUARY_2022,
            act(
                "p1",
                "request-received",
                "2023-11-01T10",
                "person:1",
                request_id="r1",
                right="erasure",
            ),
            act("p2", "identity-verified", "2023-11-02T10", "person:1", request_id="r1"),
        ),
        explained=(gone("2022-01-10T10", "2023-11-02T10", "2023-11-02T10", "ended"),),
        sent=(erased("2023-11-02T10", "2023-11-02T10"),),
    ),
    LanguageExample(
        name="an end that the person has decided and a minimum puts off is not announced",
        schedule=one_rule(
            Rule(
                kind="at_most",
                parts=(Part(term="P2Y"),),
                minimum="P1Y",
                notices=DAYS_BEFORE,
            ),
            rights=True,
        ),
        events=(
            JANUARY_2022,
            act(
                "p1",
                "request-received",
                "2022-06-01T10",
                "person:1",
                request_id="r1",
                right="erasure",
            ),
            act("p2", "identity-verified", "2022-06-01T10", "person:1", request_id="r1"),
        ),
        # Kept through 10 January 2023.
        explained=(
            Row(
                *("e1", "main", "2022-01-10T10", "2023-01-10T23"),
                *("2023-01-10T23", "2023-01-10T23", "scheduled"),
            ),
        ),
        sent=(erased("2023-01-10T23", "2023-01-10T23"),),
    ),
)

YEAR = Rule(kind="at_most", parts=(Part(term="P1Y"),), notices=DAYS_BEFORE)
TAX = Rule(kind="at_least", parts=(Part(term="P7Y"),))
IN_2020 = opened("2020-03-01T10")
OF_YEAR = Row("e1", "a", "2020-03-01T10", None, "2021-03-01T10", "2021-02-28T10", "scheduled")
OF_TAX = Row(
    "e1", "c", "2020-03-01T10", "2027-03-01T23", "2027-03-02T23", "2027-03-01T23", "scheduled"
)


def uses(
    *held: tuple[str, str, str],
    retired: Mapping[str, str] | None = None,
    lead_hours: Mapping[str, int] | None = None,
    **rules: Rule,
) -> Schedule:
    """Return a schedule in which `file.opened` is held so: purpose, rule, systems."""
    all_uses = tuple(Use(purpose=p, rule=r, systems=tuple(s.split())) for p, r, s in held)
    return schedule(
        rules, EventType(uses=all_uses), retired=retired or {}, lead_hours=lead_hours or {}
    )


NOTICES = (*MOVED, *SEVERAL, *BY_PERSONS)
