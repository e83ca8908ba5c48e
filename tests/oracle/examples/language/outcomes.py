"""Terms by the outcome of a clock's end."""

from tests.oracle.examples.language.forms import (
    OPEN,
    LanguageExample,
    gone,
    happened,
    kept,
    one_rule,
    opened,
)
from tests.oracle.language import Anchor, EventType, Move, Part, Rule, Schedule

CASE = Anchor(kind="clock", name="case")


def offer(rule: Rule) -> Schedule:
    return one_rule(
        rule,
        types={
            f"offer.{outcome}": EventType(moves=(Move(clock="case", ends=True, outcome=outcome),))
            for outcome in ("accepted", "declined")
        },
    )


# Nothing after the offer, six years if it is accepted.
KEPT_IF_ACCEPTED = offer(
    Rule(kind="at_least", parts=(Part(term="P0D", terms={"accepted": "P6Y"}, anchor=CASE),))
)
NEVER_UNLESS_DECLINED = offer(
    Rule(kind="at_most", parts=(Part(term="never", terms={"declined": "P1M"}, anchor=CASE),))
)
LATER = offer(
    Rule(
        kind="at_most",
        parts=(Part(term="P1Y"), Part(term="P1M", terms={"accepted": "P2Y"}, anchor=CASE)),
    )
)
SENT = opened("2024-01-10T10")

OUTCOMES = (
    LanguageExample(
        name="accepted on a leap day: six years later, through 28 February",
        schedule=KEPT_IF_ACCEPTED,
        events=(SENT, happened("o1", "offer.accepted", "2024-02-29T10")),
        explained=(kept("2024-02-29T10", "2030-02-28T23", "2030-03-01T23"),),
    ),
    LanguageExample(
        name="an outcome without a term of its own takes the rule's",
        schedule=KEPT_IF_ACCEPTED,
        events=(SENT, happened("o1", "offer.declined", "2024-02-29T10")),
        explained=(kept("2024-02-29T10", "2024-02-29T23", "2024-03-01T23"),),
    ),
    LanguageExample(
        name="an end without an outcome takes the rule's",
        schedule=KEPT_IF_ACCEPTED,
        events=(SENT, happened("o1", "case.ended", "2024-02-29T10")),
        explained=(kept("2024-02-29T10", "2024-02-29T23", "2024-03-01T23"),),
    ),
    LanguageExample(
        name="the last word decides the outcome: declined after all",
        schedule=KEPT_IF_ACCEPTED,
        events=(
            happened("o2", "offer.declined", "2024-03-05T10"),
            SENT,
            happened("o1", "offer.accepted", "2024-03-01T10"),
        ),
        explained=(kept("2024-03-05T10", "2024-03-05T23", "2024-03-06T23"),),
    ),
    LanguageExample(
        name="the last word decides the outcome: an end without one takes it away",
        schedule=KEPT_IF_ACCEPTED,
        events=(
            SENT,
            happened("o1", "offer.accepted", "2024-03-01T10"),
            happened("o2", "case.ended", "2024-03-05T10"),
        ),
        explained=(kept("2024-03-05T10", "2024-03-05T23", "2024-03-06T23"),),
    ),
    LanguageExample(
        name="of outcomes at one instant that of the greatest id counts",
        schedule=KEPT_IF_ACCEPTED,
        events=(
            happened("o2", "offer.accepted", "2024-10-27T00:30"),
            happened("o1", "offer.declined", "2024-10-27T00:30"),
            SENT,
        ),
        # Through 27 October 2030, the day the clock goes back.
        explained=(kept("2024-10-27T00:30", "2030-10-27T23", "2030-10-28T23"),),
    ),
    LanguageExample(
        name="a clock that started again has no outcome",
        schedule=KEPT_IF_ACCEPTED,
        events=(
            SENT,
            happened("o1", "offer.accepted", "2024-03-01T10"),
            happened("o2", "case.started", "2024-03-05T10"),
        ),
        explained=(OPEN,),
    ),
    LanguageExample(
        name="never, unless the outcome has a term",
        schedule=NEVER_UNLESS_DECLINED,
        events=(SENT, happened("o1", "offer.declined", "2024-01-31T10")),
        # 29 February 2024, in a leap year.
        explained=(gone("2024-01-31T10", "2024-02-29T10", "2024-02-28T10"),),
    ),
    LanguageExample(
        name="never, with another outcome",
        schedule=NEVER_UNLESS_DECLINED,
        events=(SENT, happened("o1", "offer.accepted", "2024-01-31T10")),
        explained=(OPEN,),
        now="2099-01-01T00",
        sent=(),
    ),
    LanguageExample(
        name="an outcome decides which of two ends is the last: accepted",
        schedule=LATER,
        events=(SENT, happened("o1", "offer.accepted", "2024-02-10T10")),
        explained=(gone("2024-02-10T10", "2026-02-10T10", "2026-02-09T10"),),
    ),
    LanguageExample(
        name="an outcome decides which of two ends is the last: declined",
        schedule=LATER,
        events=(SENT, happened("o1", "offer.declined", "2024-02-10T10")),
        explained=(gone("2024-01-10T10", "2025-01-10T10", "2025-01-09T10"),),
    ),
)
