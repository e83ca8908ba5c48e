"""Data that is handed over to an archive at the end: alone, and beside other rules and decisions."""

from dataclasses import replace

from tests.oracle.examples.forms import Leaves, act
from tests.oracle.examples.language.forms import (
    LanguageExample,
    Row,
    gone,
    happened,
    kept,
    one_rule,
    opened,
    schedule,
)
from tests.oracle.examples.language.notices import (
    CASE,
    DAYS_BEFORE,
    IN_2020,
    OF_TAX,
    OF_YEAR,
    TAX,
    held,
    uses,
)
from tests.oracle.language import Anchor, EventType, Part, Rule, Use

YEAR = Rule(kind="at_most", parts=(Part(term="P1Y"),))
REPORT = Anchor(kind="clock", name="report")
THREE = Rule(kind="at_most", parts=(Part(term="P3Y"),))
AFTER_CASE = Rule(kind="at_most", parts=(Part(term="P1Y", anchor=CASE),), then="transfer")
MINUTES = Rule(
    kind="at_least",
    parts=(Part(term="P10Y", anchor=Anchor(end_of="calendar")),),
    then="transfer-and-erase",
)
OF_THREE = Row("e1", "b", "2020-03-01T10", None, "2023-03-01T10", "2023-02-28T10", "scheduled")
CARE_RESTRICTED = Leaves("2021-02-28T10", "app", "restrict", "e1", "a", "care", "2021-03-01T10")


def of(
    at: str, erase_by: str, *actions: str, rules: str = "main", purposes: str = "care"
) -> tuple[Leaves, ...]:
    """Return what `app` is commanded to do to e1 at one instant."""
    return tuple(Leaves(at, "app", action, "e1", rules, purposes, erase_by) for action in actions)


TRANSFERS = (
    LanguageExample(
        name="minutes are handed over as the tenth year after theirs has ended, then erased",
        schedule=one_rule(MINUTES),
        # Already 2015 on the local calendar; kept through 2025.
        events=(opened("2014-12-31T23:30"),),
        explained=(kept("2015-12-31T23", "2025-12-31T23", "2026-01-01T23"),),
        sent=of("2025-12-31T23", "2026-01-01T23", "transfer", "erase"),
    ),
    LanguageExample(
        name="a day of 29 February that is handed over stays, whatever the case does later",
        schedule=one_rule(AFTER_CASE),
        events=(
            opened("2024-01-05T10"),
            happened("c1", "case.ended", "2024-02-29T10"),
            happened("c2", "case.started", "2025-03-01T10"),
            happened("c3", "case.ended", "2025-06-01T10"),
        ),
        explained=(gone("2025-06-01T10", "2026-06-01T10", "2026-05-31T10"),),
        sent=of("2025-02-27T10", "2025-02-28T10", "transfer"),
    ),
    LanguageExample(
        name="nothing is lifted or restricted in what was handed over, whatever lives again",
        schedule=uses(
            ("care", "a", "app"),
            ("tax", "b", "app"),
            a=AFTER_CASE,
            b=Rule(
                kind="at_most",
                parts=(Part(term="P1M"), Part(term="P1Y", anchor=REPORT, if_any=True)),
                then="transfer",
            ),
        ),
        # A month later in summer time.
        events=(
            IN_2020,
            happened("c1", "case.ended", "2020-04-01T10"),
            happened("r1", "report.started", "2022-01-01T10"),
        ),
        explained=(
            Row("e1", "a", "2020-04-01T10", None, "2021-04-01T10", "2021-03-31T10", "ended"),
            Row("e1", "b", None, None, None, None, "open"),
        ),
        sent=(
            Leaves("2020-03-31T09", "app", "restrict", "e1", "b", "tax", "2020-04-01T09"),
            Leaves("2021-03-31T10", "app", "transfer", "e1", "a b", "care tax", "2021-04-01T10"),
        ),
    ),
    LanguageExample(
        name="an end that moves before it comes moves the transfer",
        schedule=one_rule(replace(AFTER_CASE, then="transfer-and-erase")),
        events=(
            opened("2023-01-05T10"),
            happened("c1", "case.ended", "2023-02-01T10"),
            happened("c2", "case.ended", "2024-01-31T10"),
        ),
        explained=(gone("2024-01-31T10", "2025-01-31T10", "2025-01-30T10"),),
        sent=of("2025-01-30T10", "2025-01-31T10", "transfer", "erase"),
    ),
    LanguageExample(
        name="a legal hold keeps a transfer back, and the erasure after it",
        schedule=one_rule(
            replace(YEAR, then="transfer-and-erase", notices=DAYS_BEFORE), rights=True
        ),
        events=(IN_2020, *held("2021-02-28T10", "2021-05-01T10")),
        explained=(gone("2020-03-01T10", "2021-05-02T10", "2021-05-01T10", "ended"),),
        sent=(
            Leaves("2021-01-29T10", "mail", "notify", "e1", "main", "care", "2021-02-28T10"),
            *of("2021-05-01T10", "2021-05-02T10", "transfer", "erase"),
        ),
    ),
    LanguageExample(
        name="a request for erasure erases without a transfer and a notice",
        schedule=one_rule(replace(YEAR, then="transfer", notices=DAYS_BEFORE), rights=True),
        events=(
            IN_2020,
            act(
                "p1",
                "request-received",
                "2020-12-01T10",
                "person:1",
                request_id="r1",
                right="erasure",
            ),
            act("p2", "identity-verified", "2020-12-02T10", "person:1", request_id="r1"),
        ),
        explained=(gone("2020-03-01T10", "2020-12-02T10", "2020-12-02T10", "ended"),),
        sent=of("2020-12-02T10", "2020-12-02T10", "erase"),
    ),
    LanguageExample(
        name="a request for erasure after a transfer erases at once what stayed",
        schedule=one_rule(replace(YEAR, then="transfer"), rights=True),
        events=(
            IN_2020,
            act(
                "p1",
                "request-received",
                "2021-06-01T10",
                "person:1",
                request_id="r1",
                right="erasure",
            ),
            act("p2", "identity-verified", "2021-06-02T10", "person:1", request_id="r1"),
        ),
        explained=(gone("2020-03-01T10", "2021-03-01T10", "2021-02-28T10", "ended"),),
        sent=(
            *of("2021-02-28T10", "2021-03-01T10", "transfer"),
            *of("2021-06-02T10", "2021-06-02T10", "erase"),
        ),
    ),
    LanguageExample(
        name="a request for erasure, and a duty that hands over: transferred at its end, then erased",
        schedule=schedule(
            {"a": replace(YEAR, then="transfer"), "c": replace(TAX, then="transfer")},
            EventType(
                uses=(
                    Use(purpose="care", rule="a", systems=("app",)),
                    Use(purpose="tax", rule="c", systems=("app",)),
                )
            ),
            rights=True,
        ),
        events=(
            IN_2020,
            act(
                "p1",
                "request-received",
                "2020-12-01T10",
                "person:1",
                request_id="r1",
                right="erasure",
            ),
            act("p2", "identity-verified", "2020-12-02T10", "person:1", request_id="r1"),
        ),
        explained=(
            OF_YEAR._replace(erase_by="2020-12-02T10", due="2020-12-02T10", state="ended"),
            OF_TAX,
        ),
        sent=(
            *of("2020-12-02T10", "2020-12-02T10", "restrict", rules="a"),
            *of(
                "2027-03-01T23",
                "2027-03-02T23",
                "transfer",
                "erase",
                rules="a c",
                purposes="care tax",
            ),
        ),
    ),
    LanguageExample(
        name="of two rules in one system the last one hands over, the first one erases",
        schedule=uses(
            ("care", "a", "app"), ("tax", "c", "app"), a=YEAR, c=replace(TAX, then="transfer")
        ),
        events=(IN_2020,),
        explained=(OF_YEAR, OF_TAX),
        sent=(
            CARE_RESTRICTED,
            *of(
                "2027-03-01T23",
                "2027-03-02T23",
                "transfer",
                "erase",
                rules="a c",
                purposes="care tax",
            ),
        ),
    ),
    LanguageExample(
        name="two rules in one system that only hand over: one transfer, at the last end",
        schedule=uses(
            ("care", "a", "app"),
            ("tax", "c", "app"),
            a=replace(YEAR, then="transfer"),
            c=replace(TAX, then="transfer"),
        ),
        events=(IN_2020,),
        explained=(OF_YEAR, OF_TAX),
        sent=(
            CARE_RESTRICTED,
            *of("2027-03-01T23", "2027-03-02T23", "transfer", rules="a c", purposes="care tax"),
        ),
    ),
    LanguageExample(
        name="only the system that serves the purpose that hands over does so",
        schedule=uses(
            ("care", "a", "app"),
            ("service", "b", "app books"),
            a=replace(YEAR, then="transfer"),
            b=THREE,
        ),
        events=(IN_2020,),
        explained=(OF_YEAR, OF_THREE),
        sent=(
            CARE_RESTRICTED,
            Leaves("2023-02-28T10", "books", "erase", "e1", "b", "service", "2023-03-01T10"),
            *of(
                "2023-02-28T10",
                "2023-03-01T10",
                "transfer",
                "erase",
                rules="a b",
                purposes="care service",
            ),
        ),
    ),
    LanguageExample(
        name="a retired system hands over what it got before, and has nothing newer",
        schedule=uses(
            ("care", "a", "app books"),
            retired={"books": "2020-03-01T10:00:00Z"},
            a=replace(YEAR, then="transfer", notices=DAYS_BEFORE),
        ),
        events=(IN_2020, happened("e0", "file.opened", "2020-02-29T10")),
        explained=(
            OF_YEAR,
            # 29 February and a year: 28 February.
            Row("e0", "a", "2020-02-29T10", None, "2021-02-28T10", "2021-02-27T10", "scheduled"),
        ),
        sent=(
            Leaves("2021-01-28T10", "mail", "notify", "e0", "a", "care", "2021-02-27T10"),
            Leaves("2021-02-27T10", "app books", "transfer", "e0", "a", "care", "2021-02-28T10"),
            Leaves("2021-01-29T10", "mail", "notify", "e1", "a", "care", "2021-02-28T10"),
            *of("2021-02-28T10", "2021-03-01T10", "transfer", rules="a"),
        ),
    ),
)
