"""How long a rule keeps data, as a text; each is written out here by hand."""

from __future__ import annotations

import pytest

from services.policy import loader
from services.policy.model import Policy
from services.policy.term_wording import length_in_words, period_in_words, term_in_words
from tests.unit.policy.small import SMALL, replaced

SHIPPED = loader.load()
RULE = """\
  year:
    title: A year
    kind: at_most
    term: P1Y
    anchor: {kind: event}
"""


def with_rule(text: str) -> Policy:
    """The small policy, whose rule `year` has this kind, term and anchor, and whose stays end as won."""
    controller = "  statement: Statement 1\n"
    years = f'{controller}  years: {{school: "07-31"}}\n'
    rule = f"  year:\n    title: A year\n    {text}\n"
    text = replaced(replaced(SMALL, controller, years), RULE, rule)
    won = replaced(
        text, "      - {clock: stay, move: end}", "      - {clock: stay, move: end, outcome: won}"
    )
    return loader.load_text(won, "small.yaml")


@pytest.mark.parametrize(
    ("term", "english", "dutch"),
    [
        ("P1Y", "1 year", "1 jaar"),
        ("P1Y6M", "1 year 6 months", "1 jaar 6 maanden"),
        ("P2W", "2 weeks", "2 weken"),
        ("P1DT12H", "1 day 12 hours", "1 dag 12 uur"),
        ("PT30M", "30 minutes", "30 minuten"),
        ("P0D", "", ""),
    ],
)
def test_a_period_is_told_with_its_units(term: str, english: str, dutch: str) -> None:
    """After T, M is minutes."""
    assert (period_in_words(term, "en"), period_in_words(term, "nl")) == (english, dutch)


@pytest.mark.parametrize(
    ("rule", "english", "dutch"),
    [
        (
            "R2",
            "at most until the end of “Being a supplier's contact person”",
            "hooguit tot het einde van “contactpersoon van een leverancier zijn”",
        ),
        (
            "R4",
            "at most 20 years after the data arose",
            "hooguit 20 jaar na het ontstaan van de gegevens",
        ),
        (
            "R5",
            "at least 7 years after the end of the book year (last day: 31 December), then erased",
            "ten minste 7 jaar na het einde van het boekjaar (laatste dag: 31 december), daarna gewist",
        ),
        ("D9", "erased at once", "direct gewist"),
    ],
)
def test_a_rule_of_the_shipped_policy_is_told_with_its_start(
    rule: str, english: str, dutch: str
) -> None:
    """From when its term counts, and what follows a minimum."""
    assert term_in_words(SHIPPED, rule, "en") == english
    assert term_in_words(SHIPPED, rule, "nl") == dutch


@pytest.mark.parametrize(
    ("rule", "english"),
    [
        (
            "kind: at_most\n    term: P2M\n    anchor: {kind: clock, clock: stay, end_of: school}",
            "at most 2 months after the end of the year (last day: 31 July)"
            " that contains the end of “Stay”",
        ),
        (
            "kind: at_most\n    term: P7Y\n    minimum: P5Y\n    anchor: {kind: event}",
            "at least 5 years and at most 7 years after the data arose",
        ),
        ("kind: at_least\n    term: never", "permanently"),
        (
            "kind: at_least\n    ends: last\n    of:\n"
            "      - {term: P3Y, anchor: {kind: event}}\n"
            "      - {term: P1Y, anchor: {kind: clock, clock: stay}, if_any: true}",
            "at least 3 years after the data arose or, if that is later,"
            " 1 year after the end of “Stay”, if there is one, then erased",
        ),
        (
            "kind: at_most\n    term: P0D\n    terms: {won: P6Y}\n"
            "    anchor: {kind: clock, clock: stay}",
            "at most until the end of “Stay” (6 years if the outcome is “won”)",
        ),
        (
            "kind: at_most\n    term: P1M\n    anchor: {kind: event, end_of: quarter}",
            "at most 1 month after the end of the quarter",
        ),
    ],
)
def test_every_form_of_a_rule_has_words(rule: str, english: str) -> None:
    """Years, a minimum beside a maximum, several ends, outcomes."""
    assert term_in_words(with_rule(rule), "year", "en") == english


def test_a_letter_states_a_term_of_hours_in_hours() -> None:
    """Half a day is not `no longer than needed`, and thirty minutes are not thirty months."""
    policy = with_rule("kind: at_most\n    term: PT30M\n    anchor: {kind: event}")
    assert length_in_words(policy.rules["year"], "en") == "at most 30 minutes"


def test_fields_and_outcomes_have_the_titles_of_a_language() -> None:
    """Without one they have their own names."""
    text = replaced(
        SMALL, "      - {clock: stay, move: end}", "      - {clock: stay, move: end, outcome: won}"
    )
    stay = (
        "  year:\n    title: A year\n    kind: at_most\n    term: P1Y\n    terms: {won: P2Y}\n"
        "    anchor: {kind: clock, clock: stay}\n"
    )
    text = replaced(text, RULE, stay)
    text = replaced(
        text, "rules:\n", "rules:\n  full: {extends: year, when: {level: [full]}, source: h}\n"
    )
    titled = text + "titles: {en: {outcomes.won: a win, fields.level: the kind of membership}}\n"
    assert term_in_words(loader.load_text(text, "s"), "full", "en") == (
        "at most 1 year after the end of “Stay” (2 years if the outcome is “won”), if level is full"
    )
    policy = loader.load_text(titled, "s")
    assert term_in_words(policy, "full", "en") == (
        "at most 1 year after the end of “Stay” (2 years if the outcome is “a win”), if the kind of"
        " membership is full"
    )
    assert "“won”" in term_in_words(policy, "full", "nl")


def test_a_title_of_nothing_names_what_can_have_one() -> None:
    with pytest.raises(loader.InvalidPolicy) as refused:
        loader.load_text(SMALL + "titles: {nl: {outcome.won: winst}}\n", "s")
    assert [problem.why for problem in refused.value.problems] == [
        "no entry with a title has this name; write `section.name`, of purposes, bases, categories,"
        " subjects, systems, clocks, rules, fields, outcomes"
    ]
