"""Rules that extend others, under conditions: what they take over, which one applies, what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from services.policy.conditions import ambiguities, rule_for
from services.policy.editor_schema import policy_schema
from services.policy.lint import lint
from services.policy.loader import (
    InvalidPolicy,
    hash_policy,
    load_accepted,
    load_text,
    policy_text,
    structure_hashes,
)
from services.policy.model import Policy
from services.policy.plans import CompiledPolicy
from services.policy.tagging import tag
from services.policy.term_wording import term_in_words
from tests.effort import SLOW, examples
from tests.oracle.language import AmbiguousRule, Part, Rule, Variant
from tests.oracle.language import rule_for as oracle_rule_for
from tests.oracle.language.conditions import Rules as OracleRules
from tests.oracle.strategies_language import COUNTRIES, PLACES
from tests.unit.policy.constructs import event
from tests.unit.policy.small import SMALL, replaced

FIELDS = "      country: {required: false}\n      place: {required: false, one_of: [bank, shop]}\n"
BASE = (
    "  footage: {title: T, source: s, term_from: stated, anchor_from: stated, kind: at_most,"
    " term: P28D, anchor: {kind: event}}\n"
)
GERMAN = "  german: {extends: footage, when: {country: [DE]}, term: P10D, source: BDSG}\n"
NEAR = "  near: {extends: footage, when: {country: [DE, AT]}, term: P3D, source: s2}\n"
BANK = "  bank: {extends: footage, when: {place: [bank]}, term: P60D, source: s3}\n"
GERMAN_BANK = "  german-bank: {extends: german, when: {place: [bank]}, term: P1M, source: s4}\n"


def text_with(*rules: str, rule: str = "footage", more: str = "") -> str:
    """Return the small policy in which `club.joined` has fields for conditions, and these rules."""
    text = replaced(SMALL, "rules:\n", f"rules:\n{BASE}{''.join(rules)}")
    text = replaced(text, "      paid: {", f"{FIELDS}      paid: {{")
    holding = f"      - {{purpose: study, basis: contract, rule: {rule}, systems: [app]{more}}}\n"
    return replaced(text, "    holdings:\n", f"    holdings:\n{holding}")


def policy_with(*rules: str) -> Policy:
    return load_text(text_with(*rules), "small.yaml")


def problems(text: str) -> list[str]:
    with pytest.raises(InvalidPolicy) as refused:
        load_text(text, "small.yaml")
    return [str(problem).partition(": ")[2] for problem in refused.value.problems]


def test_a_rule_takes_over_what_it_does_not_have() -> None:
    rule = policy_with(GERMAN).rules["german"]
    assert (rule.title, rule.kind, rule.term, rule.source) == ("T", "at_most", "P10D", "BDSG")
    assert rule.when == {"country": ("DE",)}


def test_a_rule_that_only_extends_is_one_of_its_own() -> None:
    policy = policy_with("  footage-2: {extends: footage, status: test, source: s2}\n")
    assert policy.rules["footage-2"].is_in_test
    assert rule_for("footage", {"country": "DE"}, policy) == "footage"


def test_a_term_replaces_several_ends_and_the_other_way_round() -> None:
    ends = (
        "ends: first, of: [{term: P1M, anchor: {kind: event}}, {term: P1Y, anchor: {kind: event}}]"
    )
    policy = policy_with(
        f"  several: {{extends: footage, {ends}}}\n",
        "  again: {extends: several, term: P2D, anchor: {kind: event}}\n",
    )
    assert (policy.rules["several"].term, policy.rules["several"].anchor) == (None, None)
    assert (policy.rules["again"].term, policy.rules["again"].of) == ("P2D", ())
    assert load_text(policy_text(policy), "ledger") == policy


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ({}, "footage"),
        ({"country": "NL", "place": "shop"}, "footage"),
        ({"country": "AT", "place": "shop"}, "near"),
        ({"country": "DE"}, "german"),
        ({"country": "DE", "place": "bank"}, "german-bank"),
    ],
)
def test_the_most_specific_rule_applies(data: Mapping[str, str], name: str) -> None:
    policy = policy_with(GERMAN, NEAR, GERMAN_BANK)
    tagged = tag(event("2024-03-15T10:00Z", client_id="C1", **data), policy)
    assert [each.rule for each in tagged.holdings if each.purpose == "study"] == [name]


def test_events_of_one_type_have_a_plan_for_each_rule() -> None:
    """The value of a condition is part of an event's shape."""
    policy = policy_with(GERMAN)
    compiled = CompiledPolicy(policy=policy)
    rules = []
    for country in ("DE", "NL", "DE", "NL"):
        tagged = compiled.tag(event("2024-03-15T10:00Z", client_id="C1", country=country))
        assert tagged.plan is not None
        rules += [each.rule for each in tagged.holdings if each.purpose == "study"]
    assert rules == ["german", "footage", "german", "footage"]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (
            (GERMAN, BANK),
            "rules.bank.when: german and bank both apply where country is DE and place is bank, and"
            " neither is the more specific; add a rule with `when` for that, which extends one of them",
        ),
        (
            (GERMAN, "  also: {extends: footage, when: {country: [DE]}, source: x}\n"),
            "rules.also.when: german and also both apply where country is DE, and neither is the more"
            " specific; add a rule with `when` for that, which extends one of them",
        ),
        (
            ("  german: {extends: fotage, when: {country: [DE]}}\n",),
            "rules.german.extends: 'fotage' is not defined; did you mean footage?",
        ),
        (
            ("  one: {extends: two}\n  two: {extends: one}\n",),
            "rules.one.extends: leads back to itself: one, two, one; a rule extends another one",
        ),
        (
            ("  german: {extends: german, when: {country: [DE]}}\n",),
            "rules.german.extends: leads back to itself: german, german; a rule extends another one",
        ),
        (
            ("  german: {extends: footage, when: {lands: [DE]}, source: x}\n",),
            "rules.german.when.lands: no event whose data is kept under the rule has this field",
        ),
        (
            ("  german: {extends: footage, when: {place: [bnk]}, source: x}\n",),
            "rules.german.when.place: 'bnk' is not one of bank, shop; did you mean bank?",
        ),
        (
            ("  german: {extends: footage, when: {country: [NO]}, source: x}\n",),
            "rules.german.when.country: is false, as which YAML also reads no or off, and not text;"
            " write it in quotes",
        ),
        (
            ("  german: {extends: footage, when: {country: []}, source: x}\n",),
            "rules.german.when.country: names no value",
        ),
        (
            (GERMAN, "  other: {extends: german, when: {country: [AT]}, source: x}\n"),
            "rules.other.when.country: is never met: german has conditions too, with other values",
        ),
        (
            ("  german: {extends: footage, term: P1 month}\n",),
            "rules.german.term: 'P1 month' is not an ISO 8601 period such as P2Y, P1M or PT24H;"
            " did you mean P1M?",
        ),
    ],
)
def test_each_mistake_has_one_line(rules: tuple[str, ...], expected: str) -> None:
    assert problems(text_with(*rules)) == [expected]


def test_conditions_without_a_base_are_refused() -> None:
    text = text_with(
        BASE.replace("footage:", "other:").replace(
            "term: P28D", "term: P28D, when: {place: [bank]}"
        )
    )
    assert problems(text) == [
        "rules.other.when: is allowed only for a rule that extends another, in whose place it applies"
    ]


def test_a_holding_names_no_rule_with_conditions() -> None:
    assert problems(text_with(GERMAN, rule="german")) == [
        "events.club.joined.holdings.0.rule: 'german' applies only under conditions; name footage,"
        " in whose place it applies"
    ]


def test_a_mistake_in_a_base_is_told_once() -> None:
    """At its own line, not at each rule that takes it over."""
    text = replaced(
        text_with(GERMAN, GERMAN_BANK), "kind: at_most, term: P28D", "kind: most, term: P28D"
    )
    assert problems(text) == [
        "rules.footage.kind: is not one of at_most, at_least, got 'most'; did you mean at_most?"
    ]


def test_a_third_rule_decides_where_two_apply() -> None:
    assert (
        "german-bank"
        in policy_with(
            GERMAN,
            BANK,
            GERMAN_BANK.replace("german,", "bank,").replace("when: {", "when: {country: [DE], "),
        ).rules
    )


def test_the_kept_text_is_the_same_policy() -> None:
    """Also with a key of the base that the other rule sets back to its default."""
    base = BASE.replace("term: P28D", "term: P28D, status: test, pseudonymise: true")
    text = text_with(
        "  german: {extends: footage, when: {country: [DE]}, status: active, source: x}\n"
    )
    policy = load_text(replaced(text, BASE, base), "small.yaml")
    kept = policy_text(policy)
    assert load_text(kept, "ledger") == load_accepted(kept, "ledger") == policy
    assert hash_policy(load_accepted(kept, "ledger")) == hash_policy(policy)


def test_a_condition_on_the_term_alone_leaves_the_structure() -> None:
    """So that a policy with it can be activated; one that counts from something else cannot."""
    before = structure_hashes(policy_with())["club.joined"]
    assert structure_hashes(policy_with(GERMAN))["club.joined"] == before
    clock = GERMAN.replace("term: P10D", "term: P10D, anchor: {kind: clock, clock: membership}")
    assert structure_hashes(policy_with(clock))["club.joined"] != before


def test_lint_names_a_source_that_is_taken_over_and_events_without_the_field() -> None:
    text = text_with("  german: {extends: footage, when: {country: [DE]}, term: P10D}\n")
    found = {(warning.key, warning.message) for warning in lint(load_text(text, "small.yaml"))}
    message = "has a term of its own, and the source of footage: s"
    assert ("rules.german.source", message) in found
    assert ("rules.german", "is defined and never used") not in found


def test_words_say_where_a_rule_applies() -> None:
    policy = policy_with(GERMAN, NEAR, GERMAN_BANK)
    words = {name: term_in_words(policy, name, "en") for name in ("footage", "near", "german-bank")}
    assert words == {
        "footage": "at most 28 days after the data arose, in all other cases",
        "near": "at most 3 days after the data arose, if country is AT or DE",
        "german-bank": "at most 1 month after the data arose, if place is bank and country is DE",
    }
    assert term_in_words(policy, "near", "nl").endswith(", als country AT of DE is")


def test_the_editor_schema_needs_nothing_more_of_a_rule_that_extends() -> None:
    schema = policy_schema()
    validator = Draft202012Validator({**schema["$defs"]["Rule"], "$defs": schema["$defs"]})
    assert validator.is_valid({"extends": "footage", "when": {"country": ["DE"]}, "term": "P10D"})
    assert not validator.is_valid({"term": "P10D"})


@settings(max_examples=examples(60), deadline=None, suppress_health_check=SLOW)
@given(st.data())
def test_ambiguity_is_found_exactly_where_an_event_would_meet_it(data: st.DataObject) -> None:
    """Every combination of values is tried by the oracle."""
    base = Rule(kind="at_most", parts=(Part(term="P28D"),))
    rules: OracleRules = {"footage": base, **data.draw(_any_variants())}
    texts = []
    for name, rule in rules.items():
        if isinstance(rule, Variant):
            when = {field: list(values) for field, values in rule.when.items()}
            texts.append(f"  {name}: {{extends: {rule.extends}, when: {when}, source: x}}\n")
    text = text_with(*texts).replace("'", "")
    combinations = [
        {field: value for field, value in (("country", country), ("place", place)) if value}
        for country in (None, *COUNTRIES)
        for place in (None, *PLACES)
    ]
    expected: dict[tuple[tuple[str, str], ...], str] = {}
    is_ambiguous = False
    for fields in combinations:
        try:
            expected[tuple(sorted(fields.items()))] = oracle_rule_for("footage", fields, rules)
        except AmbiguousRule:
            is_ambiguous = True
    try:
        policy = load_text(text, "small.yaml")
    except InvalidPolicy as refused:
        lines = [str(problem) for problem in refused.problems]
        assert is_ambiguous == any("both apply" in line for line in lines)
        assert is_ambiguous or all("is never met" in line for line in lines)
        return
    assert not is_ambiguous
    assert not list(ambiguities("footage", policy.rules))
    for key, name in expected.items():
        assert rule_for("footage", dict(key), policy) == name


@st.composite
def _any_variants(draw: st.DrawFn) -> dict[str, Variant]:
    """Return rules with conditions that extend `footage` or each other, ambiguous or not."""
    drawn: dict[str, Variant] = {}
    for number in range(draw(st.integers(0, 4))):
        when = {}
        for field, values in (("country", COUNTRIES), ("place", PLACES)):
            if draw(st.booleans()):
                chosen = st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True)
                when[field] = tuple(sorted(draw(chosen)))
        if when:
            extends = draw(st.sampled_from(("footage", *drawn)))
            drawn[f"v{number}"] = Variant(extends=extends, when=when)
    return drawn


@pytest.mark.parametrize(("data", "name"), [({}, "home"), ({"away": True}, "footage")])
def test_a_boolean_may_have_a_default_by_which_a_rule_applies(
    data: Mapping[str, bool], name: str
) -> None:
    """The event without the field has `false`; alone, by its plan, and after the ledger's text."""
    text = text_with("  home: {extends: footage, when: {away: [false]}, term: P1D, source: x}\n")
    text = replaced(text, FIELDS, f"{FIELDS}      away: {{type: boolean, default: no}}\n")
    policy = load_text(text, "small.yaml")
    again = load_text(policy_text(policy), "ledger")
    compiled = CompiledPolicy(policy=policy)
    values: dict[str, Any] = {"client_id": "C1", **data}
    joined = event("2024-03-15T10:00Z", **values)
    for tagged in (tag(joined, policy), tag(joined, again), compiled.tag(joined)):
        assert [each.rule for each in tagged.holdings if each.purpose == "study"] == [name]
