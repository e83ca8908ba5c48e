"""What is kept until consent is withdrawn: `kind: at_most, term: never`, and where it is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.policy.documents.concept import term_matrix
from services.policy.documents.linked_register import linked_register
from services.policy.documents.statement import statement_document
from services.policy.lint import lint
from services.policy.loader import InvalidPolicy, load_text, policy_text
from services.policy.term_wording import Language, length_in_words, term_in_words
from services.requests.wording import Translator

TEXT = """\
policy: p
version: "1"
dpv: https://w3id.org/dpv/2.3
include: gdpr
controller: {name: C, contact: c, time_zone: Europe/Amsterdam, statement: S}
purposes: {news: {title: News, dpv: dpv:DirectMarketing, source: s}}
categories: {contact: {title: Names, dpv: [pd:Name]}}
subjects:
  reader: {title: Reader, dpv: dpv:Customer, source: s}
  member: {title: Member, dpv: dpv:Customer, source: s}
systems: {mail: {title: Mail, owner: us}}
rules:
  news: {title: Newsletter, kind: at_most, term: never, term_from: stated, anchor_from: stated, source: s}
  year: {extends: news, term: P1Y, anchor: {kind: event}}
events:
  news.subscribed:
    process: s
    fields: {reader_id: {business_key: true}}
    subject: [{kind: reader, field: reader_id}]
    categories: [contact]
    holdings: [{purpose: news, basis: consent, rule: news, systems: [mail]}]
"""
HOLDING = "basis: consent, rule: news"
OWN = """\
  news.stopped:
    process: s
    fields: {reader_id: {}, purpose: {ONE_OF}}
    subject: [{kind: KIND, field: reader_id}]
    act: consent-withdrawn
"""
WITHOUT = TEXT.replace("include: gdpr\n", "").replace("rules:\n", "clocks: {}\nrules:\n")
WITHOUT = WITHOUT.replace(
    "systems: {mail",
    "bases: {consent: {title: C, dpv: eu-gdpr:A6-1-a, article: GDPR 6(1)(a), ground: consent}}\n"
    "systems: {mail",
)


def own(one_of: str, kind: str) -> str:
    """The policy whose own event withdraws consent to these purposes, for this kind of subjects."""
    return WITHOUT + OWN.replace("ONE_OF", one_of).replace("KIND", kind)


def test_it_is_a_policy_and_read_again_from_its_own_text() -> None:
    for text in (TEXT, own("", "reader"), own("one_of: [news]", "reader")):
        policy = load_text(text, "p.yaml")
        assert policy.rules["news"].lasts_until_withdrawal
        assert not policy.rules["news"].is_never_erased
        assert load_text(policy_text(policy), "p.yaml") == policy


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            TEXT.replace(HOLDING, "basis: legitimate_interest, rule: news"),
            "is a maximum that never ends, and news.subscribed keeps data under it on"
            " legitimate_interest; use kind `at_least` for what is kept permanently, a term, or a basis"
            " of consent, on which it is kept until that is withdrawn",
        ),
        (
            TEXT.replace(HOLDING, f"{HOLDING}, on_withdrawal: {{basis: contract, rule: year}}"),
            "is a maximum that only a withdrawal of consent ends, which would not end the data of"
            " news.subscribed, but change it; remove on_withdrawal, or use a term",
        ),
        (
            TEXT.replace(
                HOLDING, "basis: contract, rule: year, on_consent: {basis: consent, rule: news}"
            ),
            "is a maximum that only a withdrawal of consent ends, which would not end the data of"
            " news.subscribed, but change it; remove on_consent, or use a term",
        ),
        (
            WITHOUT,
            "is a maximum that only a withdrawal of consent ends, and no event withdraws that for news of"
            " the data subjects of news.subscribed; `include: gdpr` adds one",
        ),
        (
            own("one_of: [other]", "reader"),
            "is a maximum that only a withdrawal of consent ends, and no",
        ),
        (own("", "member"), "is a maximum that only a withdrawal of consent ends, and no event"),
    ],
    ids=["basis", "on_withdrawal", "on_consent", "no event", "other purpose", "other subjects"],
)
def test_it_is_refused_where_no_withdrawal_ends_it(text: str, why: str) -> None:
    with pytest.raises(InvalidPolicy) as refused:
        load_text(text, "p.yaml")
    found = [problem for problem in refused.value.problems if problem.key == "rules.news"]
    assert [problem.why[: len(why)] for problem in found] == [why]


def test_a_variant_is_checked_as_the_rule_in_whose_place_it_applies() -> None:
    text = TEXT.replace("extends: news, term: P1Y, anchor: {kind: event}", YEAR_FIRST).replace(
        "{reader_id: {business_key: true}}", "{reader_id: {}, vip: {}}"
    )
    load_text(text, "p.yaml")
    with pytest.raises(InvalidPolicy) as refused:
        load_text(text.replace(HOLDING, "basis: contract, rule: news"), "p.yaml")
    assert {problem.key for problem in refused.value.problems} == {"rules.news", "rules.year"}


YEAR_FIRST = 'extends: news, when: {vip: ["yes"]}, source: t'


@pytest.mark.parametrize(
    ("language", "words"),
    [("nl", "tot u uw toestemming intrekt"), ("en", "until you withdraw your consent")],
)
def test_it_is_stated_in_words(language: Language, words: str) -> None:
    policy = load_text(TEXT, "p.yaml")
    assert term_in_words(policy, "news", language) == words
    assert length_in_words(policy.rules["news"], language) == words
    assert f"{words}." in str(statement_document(policy, language))


def test_the_concept_and_the_linked_register_tell_it_from_what_is_permanent() -> None:
    deeds = "  deeds: {extends: news, kind: at_least}\nevents:\n"
    policy = load_text(TEXT.replace("events:\n", deeds), "p.yaml")
    assert [row[:2] for row in term_matrix(policy).rows] == [
        ("1 year", "year"),
        ("until you withdraw your consent", "news"),
        ("permanently", "deeds"),
    ]
    linked = str(linked_register(policy))
    assert "dpv:UntilEventDuration" in linked
    assert "dpv:EndlessDuration" not in linked
    assert "dpv:Erase" in linked


def test_lint_does_not_say_that_it_is_never_erased() -> None:
    warnings = [warning.message for warning in lint(load_text(TEXT, "p.yaml"))]
    assert "is never erased" not in warnings


@pytest.mark.parametrize(
    ("language", "until", "withdrawn"),
    [
        ("en", "withdrawal of your consent", "1 May 2026"),
        ("nl", "intrekking van uw toestemming", "1 mei 2026"),
    ],
)
def test_letters_state_that_data_is_kept_until_consent_is_withdrawn(
    language: Language, until: str, withdrawn: str
) -> None:
    """Not that the end is not known yet; once it is withdrawn, the day."""
    words = Translator(policy=load_text(TEXT, "p.yaml"), language=language)
    assert words.until(None, "news") == until
    assert words.until(datetime(2026, 5, 1, 10, tzinfo=UTC), "news") == withdrawn
