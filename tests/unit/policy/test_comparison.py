"""Two policies are compared key by key; the differences are listed as text and as JSON."""

from __future__ import annotations

from services.policy.comparison import compare_policies
from services.policy.loader import load, load_text
from tests.unit.policy.small import SMALL, replaced


def words(old: str, new: str) -> list[str]:
    """Return the differences of two policy texts, as text."""
    before, after = load_text(old, "old.yaml"), load_text(new, "new.yaml")
    return [change.in_words() for change in compare_policies(before, after)]


def test_equal_policies_do_not_differ() -> None:
    """Comments and a default that is written out change nothing."""
    rewritten = SMALL.replace("purposes:", "verify_one_in: 100  # the default\npurposes:", 1)
    assert words(SMALL, rewritten) == []
    assert compare_policies(load(), load()) == ()


def test_a_changed_term_is_listed_with_what_it_was() -> None:
    """That is what a privacy officer accepts or not."""
    changed = SMALL.replace("term: P2Y", "term: P30M", 1)
    assert words(SMALL, changed) == ["rule two-years: term is P30M, was P2Y"]


def test_a_change_of_the_controller_or_of_a_single_key_is_listed() -> None:
    """Neither has entries with names."""
    changed = SMALL.replace("Europe/Amsterdam", "Europe/Lisbon").replace(
        'version: "1"', 'version: "2"\nverify_one_in: 10'
    )
    assert words(SMALL, changed) == [
        "version is 2, was 1",
        "controller: time_zone is Europe/Lisbon, was Europe/Amsterdam",
        "verify_one_in is 10, was 100",
    ]


def test_added_and_removed_entries_are_listed_by_name() -> None:
    """An entry is listed once, not key by key."""
    lab = "  lab: {title: Lab, owner: us, lead_time: PT12H}\n"
    with_ward = SMALL.replace(lab, lab + "  ward: {title: Ward, owner: us, lead_time: PT12H}\n")
    assert words(SMALL, with_ward) == ["system ward is new"]
    assert words(with_ward, SMALL) == ["system ward is removed"]
    [change] = compare_policies(load_text(SMALL, "old"), load_text(with_ward, "new"))
    assert change.as_json() == {
        "change": "added",
        "section": "systems",
        "name": "ward",
        "key": "",
        "before": None,
        "after": {
            "title": "Ward",
            "owner": "us",
            "role": "own",
            "outside_eea": False,
            "safeguard": None,
            "lead_time": "PT12H",
            "acknowledge_within": "PT24H",
            "reread": "system",
            "verify_after": "PT0S",
            "holds": "data",
            "retired": None,
            "backups": None,
        },
        "what": "system ward is new",
    }


def test_a_changed_holding_is_named_by_its_purpose() -> None:
    """An event type has several holdings without names of their own."""
    assert words(SMALL, replaced(SMALL, "systems: [app]", "systems: [app, lab]")) == [
        "event type club.joined, holding care: systems is app and lab, was app"
    ]


def test_holdings_of_one_purpose_have_numbers() -> None:
    """The order of the file numbers them."""
    first, second = "rule: year, systems: [app]", "rule: two-years, systems: [lab]"
    holding = "      - {purpose: care, basis: contract, "
    twice = replaced(SMALL, f"{holding}{first}}}\n", f"{holding}{first}}}\n{holding}{second}}}\n")
    assert words(SMALL, twice) == ["event type club.joined, holding care (2) is new"]


def test_a_removed_event_type_is_listed_without_its_holdings() -> None:
    """They go with it."""
    without = SMALL[: SMALL.index("  club.joined:")] + SMALL[SMALL.index("  club.left:") :]
    assert words(SMALL, without) == ["event type club.joined is removed"]


def test_proof_that_was_not_kept_before_is_new() -> None:
    """A section that was missing is an entry without a name."""
    proof = "proof: {term: P5Y, term_from: stated, source: z}\n"
    assert words(SMALL, SMALL + proof) == ["proof is new"]
