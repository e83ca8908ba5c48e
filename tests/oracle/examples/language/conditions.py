"""Rules that extend others, under conditions."""

from tests.oracle.examples.language.forms import (
    LanguageExample,
    Row,
    happened,
    opened,
    schedule,
)
from tests.oracle.language import Anchor, EventType, Part, Rule, Use, Variant

CASE = Anchor(kind="clock", name="case")
FOOTAGE = schedule(
    {
        "footage": Rule(kind="at_most", parts=(Part(term="P28D"),)),
        "footage-german": Variant(
            extends="footage",
            when={"country": ("DE",)},
            changes={"parts": (Part(term="P10D"),)},
        ),
        "footage-near": Variant(
            extends="footage",
            when={"country": ("DE", "AT")},
            changes={"parts": (Part(term="P3D"),)},
        ),
        "footage-german-bank": Variant(
            extends="footage-german",
            when={"place": ("bank",)},
            changes={"parts": (Part(term="P1M", anchor=CASE),)},
        ),
    },
    EventType(uses=(Use(purpose="care", rule="footage", systems=("app",)),)),
)


def row(rule: str, erase_by: str, due: str, anchor_at: str = "2024-03-15T10") -> Row:
    return Row("e1", rule, anchor_at, None, erase_by, due, "scheduled")


CONDITIONS = (
    LanguageExample(
        name="no condition is met: 28 days, over the change to summer time",
        schedule=FOOTAGE,
        events=(opened("2024-03-15T10", country="NL", place="bank"),),
        explained=(row("footage", "2024-04-12T09", "2024-04-11T09"),),
    ),
    LanguageExample(
        name="an absent field meets no condition",
        schedule=FOOTAGE,
        events=(opened("2024-03-15T10"),),
        explained=(row("footage", "2024-04-12T09", "2024-04-11T09"),),
    ),
    LanguageExample(
        name="one country is more specific than two",
        schedule=FOOTAGE,
        events=(opened("2024-03-15T10", country="DE", place="shop"),),
        explained=(row("footage-german", "2024-03-25T10", "2024-03-24T10"),),
    ),
    LanguageExample(
        name="the other of two countries",
        schedule=FOOTAGE,
        events=(opened("2024-03-15T10", country="AT", place="bank"),),
        explained=(row("footage-near", "2024-03-18T10", "2024-03-17T10"),),
    ),
    LanguageExample(
        name="inherited and own conditions together are the most specific, with an anchor of their own",
        schedule=FOOTAGE,
        events=(
            opened("2024-03-15T10", country="DE", place="bank"),
            happened("c1", "case.ended", "2024-03-31T00:30"),
        ),
        # 01:30 in winter time, a month later 01:30 in summer time.
        explained=(
            row("footage-german-bank", "2024-04-29T23:30", "2024-04-28T23:30", "2024-03-31T00:30"),
        ),
    ),
)
