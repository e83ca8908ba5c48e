"""Which rule the oracle takes for an event, against choices made by hand."""

from collections.abc import Mapping

import pytest

from tests.oracle.language import (
    AmbiguousRule,
    Part,
    Rule,
    Variant,
    is_ambiguous,
    resolved,
    rule_for,
)

Rules = dict[str, Rule | Variant]
BASE = Rule(kind="at_most", parts=(Part(term="P28D"),))
GERMAN = Variant(extends="base", when={"country": ("DE",)}, changes={"parts": (Part(term="P10D"),)})
NEAR = Variant(extends="base", when={"country": ("DE", "AT")})
BANK = Variant(extends="base", when={"place": ("bank",)})
GERMAN_BANK = Variant(extends="base", when={"country": ("DE",), "place": ("bank",)})
INHERITED = Variant(extends="german", when={"place": ("bank",)}, changes={"test": True})
RENAMED = Variant(extends="base", changes={"kind": "at_least"})

RULES: Rules = {
    "base": BASE,
    "german": GERMAN,
    "near": NEAR,
    "inherited": INHERITED,
    "renamed": RENAMED,
}


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ({}, "base"),
        ({"country": "NL"}, "base"),
        ({"country": "AT"}, "near"),
        # Germany alone is more specific than Germany or Austria.
        ({"country": "DE"}, "german"),
        ({"country": "DE", "place": "shop"}, "german"),
        # In a bank, and in Germany by inheritance.
        ({"country": "DE", "place": "bank"}, "inherited"),
        ({"country": "AT", "place": "bank"}, "near"),
        ({"place": "bank"}, "base"),
    ],
)
def test_the_most_specific_rule_applies(data: Mapping[str, str], name: str) -> None:
    assert rule_for("base", data, RULES) == name
    assert not is_ambiguous("base", RULES)


def test_a_rule_without_conditions_only_inherits() -> None:
    assert rule_for("renamed", {"country": "DE"}, RULES) == "renamed"
    assert resolved("renamed", RULES) == Rule(kind="at_least", parts=(Part(term="P28D"),))
    assert resolved("inherited", RULES) == Rule(
        kind="at_most", parts=(Part(term="P10D"),), test=True
    )


def test_two_that_apply_together_are_ambiguous() -> None:
    rules: Rules = {"base": BASE, "german": GERMAN, "bank": BANK}
    assert rule_for("base", {"country": "DE", "place": "shop"}, rules) == "german"
    assert is_ambiguous("base", rules)
    with pytest.raises(AmbiguousRule, match="bank, base, german"):
        rule_for("base", {"country": "DE", "place": "bank"}, rules)


def test_a_third_rule_for_both_conditions_decides() -> None:
    rules: Rules = {"base": BASE, "german": GERMAN, "bank": BANK, "both": GERMAN_BANK}
    assert rule_for("base", {"country": "DE", "place": "bank"}, rules) == "both"
    assert not is_ambiguous("base", rules)


def test_two_rules_with_the_same_conditions_are_ambiguous() -> None:
    rules: Rules = {"base": BASE, "german": GERMAN, "also": GERMAN}
    assert is_ambiguous("base", rules)


def test_two_rules_that_never_apply_together_are_not_ambiguous() -> None:
    austrian_bank = Variant(extends="base", when={"country": ("AT",), "place": ("bank",)})
    rules: Rules = {"base": BASE, "german": GERMAN, "austrian": austrian_bank}
    assert not is_ambiguous("base", rules)


def test_a_holding_names_no_rule_with_conditions() -> None:
    with pytest.raises(ValueError, match="name the rule that it extends"):
        rule_for("german", {"country": "DE"}, RULES)
