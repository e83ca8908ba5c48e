"""Rules with several ends, dates, outcomes, a minimum or no end: what is refused, and what they mean."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

import pytest

from services.policy.event_fields import date_text
from services.policy.explain import explain_events
from services.policy.lint import lint
from services.policy.loader import InvalidPolicy, hash_policy, load_text, structure_hashes
from services.policy.model import Policy
from services.policy.retention_windows import check_times, compute_window
from services.policy.rule_ends import ClockStanding
from services.policy.subject_state import SubjectState, VerifiedRequest
from services.policy.tagging import tag
from services.policy.tagging_error import TaggingFailed
from services.requests.wording import Language, Translator
from tests.unit.policy.constructs import event, instant, policy_text, policy_with, window
from tests.unit.policy.random_facts import FactsAbout
from tests.unit.policy.small import replaced

EVENT, STAY = "anchor: {kind: event}", "anchor: {kind: clock, clock: stay}"
BORN = "anchor: {kind: field, field: born_on}"
DATE = "      born_on: {type: date, required: false}\n"
ACCEPTED = """\
  club.accepted:
    process: q
    fields: {stay_id: {}, from_on: {type: date, required: false}}
    moves: [{clock: stay, move: end, outcome: accepted, at: from_on}]
"""


@pytest.mark.parametrize(
    ("rule", "key", "why"),
    [
        ("kind: at_most, anchor: {kind: event}", "term", "is missing"),
        ("kind: at_most, term: P1Y", "anchor", "is missing"),
        (
            "kind: at_most, term: never",
            "",
            "is a maximum that never ends, and club.joined keeps data under it on contract; use kind"
            " `at_least` for what is kept permanently, a term, or a basis of consent",
        ),
        (
            "kind: at_most, ends: last, of: [{term: never}, {term: never}]",
            "",
            "is a maximum that never ends; use kind `at_least` for what is kept permanently, or"
            " `term: never` alone for what is kept until consent is withdrawn",
        ),
        (
            "kind: at_most, term: never, minimum: P1Y",
            "",
            "is a maximum that never ends; use kind `at_least` for what is kept permanently",
        ),
        (
            f"kind: at_most, term: P1Y, {EVENT}, ends: last",
            "of",
            "is missing: `ends` counts the ends",
        ),
        (
            f"kind: at_most, of: [{{term: P1Y, {EVENT}}}]",
            "ends",
            "is missing: `last` or `first` of the ends in `of`",
        ),
        (
            f"kind: at_most, term: P1Y, {EVENT}, notices: [{{before: P30D, system: mail}}]",
            "notices.0.system",
            "'mail' is not defined",
        ),
        (
            f"kind: at_most, term: P1Y, {EVENT}, notices: [{{before: P0D, system: app}}]",
            "notices.0.before",
            "has no length; a notice is given before the end",
        ),
        (
            f"kind: at_most, term: P1Y, {EVENT}, notices: [{{before: 30, system: app}}]",
            "notices.0.before",
            "is not text",
        ),
        (
            f"kind: at_most, term: P1Y, {EVENT},"
            " notices: [{before: P1W, system: app}, {before: P1W, system: app}]",
            "notices.1",
            "is there twice; remove one",
        ),
        (
            "kind: at_least, term: never, notices: [{before: P1W, system: app}]",
            "notices",
            "is not allowed for a rule that never ends",
        ),
        (
            f"kind: at_most, terms: {{accepted: P1Y}}, ends: last, of: [{{term: P1Y, {EVENT}}}]",
            "terms",
            "is not allowed beside `of`",
        ),
        (
            f"kind: at_most, ends: last, of: [{{term: P1Y, {EVENT}, if_any: true}}]",
            "of.0.if_any",
            "is allowed only for an anchor of kind clock or field, got event",
        ),
        ("kind: at_most, ends: last, of: [{term: P1Y}]", "of.0.anchor", "is missing"),
        (
            f"kind: at_most, term: P1Y, minimum: never, {EVENT}",
            "minimum",
            "'never' is not an ISO 8601 period such as P2Y, P1M or PT24H",
        ),
        (
            f"kind: at_most, term: P1Y, minimum: P2Y, {EVENT}",
            "minimum",
            "is longer than the term, got P2Y",
        ),
        (
            f"kind: at_least, term: P3Y, minimum: P2Y, {EVENT}",
            "minimum",
            "is allowed only beside a maximum (at_most)",
        ),
        (
            f"kind: at_most, term: P1Y, {EVENT}, terms: {{accepted: P2Y}}",
            "terms",
            "is allowed only for an anchor of kind clock",
        ),
        (
            f"kind: at_most, term: P1Y, {STAY}, terms: {{acepted: P2Y}}",
            "terms.acepted",
            "no event ends the clock stay with this outcome, only: accepted",
        ),
        (
            "kind: at_most, term: P1Y, anchor: {kind: field}",
            "anchor",
            "`field` must be set for kind `field`",
        ),
        (f"kind: at_most, term: P1, {EVENT}", "term", "'P1' is not an ISO 8601 period"),
    ],
)
def test_a_rule_without_a_clear_meaning_is_refused(rule: str, key: str, why: str) -> None:
    with pytest.raises(InvalidPolicy) as refused:
        load_text(policy_text({"a": rule}, more=ACCEPTED), "small.yaml")
    (problem,) = refused.value.problems
    assert problem.key == f"rules.a.{key}".removesuffix(".")
    assert problem.why.startswith(why)


@pytest.mark.parametrize(
    ("old", "new", "key", "why"),
    [
        (DATE, "      born_on: {}\n", "rule", "counts from 'born_on', which is a string"),
        (
            DATE,
            "",
            "rules.a.anchor.field",
            "no event whose data is kept under the rule has the field 'born_on'",
        ),
        (
            DATE,
            DATE.replace("required: false", "default: x"),
            "default",
            "is not allowed for a field",
        ),
        (
            "      - {kind: client, field: client_id}",
            "      - {kind: client, field: born_on}",
            "field",
            "'born_on' is a date, which is allowed only for an anchor and for `at` of a move",
        ),
    ],
)
def test_a_date_is_only_an_anchor(old: str, new: str, key: str, why: str) -> None:
    text = policy_text({"a": f"kind: at_most, term: P1Y, {BORN}"}, fields=DATE)
    with pytest.raises(InvalidPolicy) as refused:
        load_text(replaced(text, old, new), "small.yaml")
    problem = refused.value.problems[0]
    assert problem.key.endswith(key)
    assert problem.why.startswith(why)


@pytest.mark.parametrize(
    "value",
    [
        "2024-02-30",
        "20240301",
        "2024-3-1",
        "0001-01-01",
        "9999-12-31",
        "2024-03-01T00:00:00Z",
        5,
        True,
    ],
)
def test_an_event_with_an_impossible_date_is_not_tagged(value: object) -> None:
    """Such as .NET's default, or what stands for no date."""
    policy = policy_with({"a": f"kind: at_most, term: P1Y, {BORN}"}, fields=DATE)
    with pytest.raises(TaggingFailed) as refused:
        tag(event("2024-01-01T12:00Z", born_on=value), policy)
    assert refused.value.key == "born_on"


def test_a_date_is_read_as_avro_and_json_have_it() -> None:
    assert date_text("1938-05-04") == date_text(date(1938, 5, 4)) == "1938-05-04"


@pytest.mark.parametrize(
    ("at", "due"),
    [
        # The person's request ends it before the minimum, which ends with 15 March 2029.
        ("2026-01-01T12:00Z", "2029-03-16T00:00+01:00"),
        # After the minimum the request is due at its own instant.
        ("2029-06-01T12:00Z", "2029-06-01T12:00Z"),
    ],
)
def test_a_minimum_holds_for_what_a_person_may_end(at: str, due: str) -> None:
    policy = policy_with({"a": f"kind: at_most, term: P7Y, minimum: P5Y, {EVENT}"})
    tagged = tag(event("2024-03-15T12:00Z"), policy)
    request = VerifiedRequest(id="q", right="erasure", sort_key=(instant(at), "/desk", "v"))
    state = SubjectState(requests=(request,), change_times=(instant(at),))
    facts = FactsAbout({}, {tagged.subjects[0]: state})
    found = compute_window(tagged.holdings[0], tagged.time, facts, policy)
    assert found.not_before == instant("2029-03-16T00:00+01:00")
    assert found.due_at == {"app": instant(due)}


def test_minimums_are_check_times_of_a_clock() -> None:
    """An objection before the minimum is due when that ends: five years from 1 June 2024."""
    policy = policy_with({"a": f"kind: at_most, term: P7Y, minimum: P5Y, {STAY}"})
    times = check_times("stay", instant("2024-06-01T10:00Z"), policy)
    assert instant("2029-06-02T00:00+02:00") in times


def test_a_minimum_of_hours_is_kept_for_these_hours() -> None:
    """48 hours from 15 March, 13:00: through 17 March."""
    policy = policy_with({"a": f"kind: at_least, term: PT48H, {EVENT}"})
    assert window(policy, "2024-03-15T12:00Z").not_before == instant("2024-03-18T00:00+01:00")


def test_explain_lists_every_anchor_of_several_and_names_the_deciding_one() -> None:
    parts = f"{{term: P3Y, {EVENT}}}, {{term: P1Y, {STAY}}}"
    policy = policy_with({"a": f"kind: at_least, ends: last, of: [{parts}]"})
    (row,) = explain_events([tag(event("2024-03-15T12:00Z"), policy)], policy)
    assert (row.window.anchor, row.window.anchor_at) == ("event", None)
    assert [tuple(anchor) for anchor in row.window.anchors] == [
        ("event", instant("2024-03-15T12:00Z"), instant("2027-03-16T00:00+01:00")),
        ("stay", None, None),
    ]


def test_a_rule_with_one_anchor_lists_none() -> None:
    assert (
        window(
            policy_with({"a": f"kind: at_most, term: P1Y, {EVENT}"}), "2024-03-15T12:00Z"
        ).anchors
        == ()
    )


def test_lint_names_what_has_no_end() -> None:
    """What is kept permanently, and an event that may lack the date from which a term counts."""
    rules = {"a": f"kind: at_most, term: P1Y, {BORN}", "b": "kind: at_least, term: never"}
    warnings = {(item.key, item.message) for item in lint(policy_with(rules, fields=DATE))}
    assert ("rules.b", "is never erased") in warnings
    assert (
        "events.club.joined.holdings.0",
        "has no end in an event without born_on, which is not required",
    ) in warnings


def _structure(policy: Policy) -> str:
    return structure_hashes(policy)["club.joined"]


def test_a_policy_with_another_clock_or_date_of_a_rule_has_another_structure() -> None:
    """Recorded events do not have them; another term, year or outcome fits."""
    several = "kind: at_most, ends: %s, of: [{term: %s, anchor: {kind: event}}, {term: P1Y, %s}]"
    one = policy_with({"a": several % ("last", "P1Y", STAY)})
    same = policy_with({"a": several % ("first", "P9Y", STAY.replace("}", ", end_of: month}"))})
    other = policy_with(
        {"a": several % ("last", "P1Y", "anchor: {kind: clock, clock: membership}")}
    )
    assert _structure(one) == _structure(same) != _structure(other)
    assert hash_policy(one) != hash_policy(same)


def test_another_date_of_a_clocks_end_is_another_structure() -> None:
    rules = {"a": f"kind: at_most, term: P1Y, {STAY}"}
    with_date = policy_with(rules, more=ACCEPTED)
    without = policy_with(rules, more=ACCEPTED.replace(", at: from_on", ""))
    assert (
        structure_hashes(with_date)["club.accepted"] != structure_hashes(without)["club.accepted"]
    )


@pytest.mark.parametrize(
    ("rule", "english", "dutch"),
    [
        ("kind: at_least, term: never", "permanently", "blijvend"),
        (
            f"kind: at_most, term: P7Y, minimum: P5Y, {EVENT}",
            "at least 5 years, at most 7 years",
            "ten minste 5 jaar, hooguit 7 jaar",
        ),
        (
            f"kind: at_least, ends: last, of: [{{term: P3Y, {EVENT}}}, {{term: P1M, {STAY}}}]",
            "at least 3 years or, if that is later, 1 month",
            "ten minste 3 jaar of, als dat later is, 1 maand",
        ),
        (
            f"kind: at_least, term: P0D, terms: {{accepted: P6Y}}, {STAY}",
            "at least no longer than needed or, by the outcome, 6 years",
            "ten minste niet langer dan nodig of, naar de uitkomst, 6 jaar",
        ),
        (
            "kind: at_least, term: P5Y, anchor: {kind: event, end_of: calendar}",
            "at least 5 years from the end of the year",
            "ten minste 5 jaar vanaf het einde van het jaar",
        ),
    ],
)
def test_letters_state_how_long_a_rule_keeps(rule: str, english: str, dutch: str) -> None:
    policy = policy_with({"a": rule}, more=ACCEPTED)
    languages: tuple[Language, ...] = ("en", "nl")
    words = [Translator(policy=policy, language=language).term("a") for language in languages]
    assert words == [english, dutch]


def test_letters_state_that_data_is_kept_permanently() -> None:
    """Not that the end is not known yet."""
    clock = "kind: at_least, term: P1Y, anchor: {kind: clock, clock: membership}"
    policy = policy_with({"a": "kind: at_least, term: never", "b": clock})
    words = Translator(policy=policy, language="en")
    assert words.until(None, "a") == "permanently"
    assert words.until(None, "b") == "not known yet"
    assert words.until(None, None) == "not known yet"


def test_a_clock_that_was_never_moved_does_not_count_if_any() -> None:
    """Once it has begun, the end is not known until it ends."""
    parts = f"{{term: P1Y, {EVENT}}}, {{term: P1Y, {STAY}, if_any: true}}"
    policy = policy_with({"a": f"kind: at_least, ends: last, of: [{parts}]"})
    tagged = tag(event("2024-03-15T12:00Z"), policy)
    (clock,) = tagged.holdings[0].clocks

    def not_before(standing: ClockStanding) -> datetime | None:
        facts = FactsAbout({clock: standing}, {})
        return compute_window(tagged.holdings[0], tagged.time, facts, policy).not_before

    ended = ClockStanding(instant("2025-01-01T12:00Z"), has_begun=True)
    assert not_before(ClockStanding()) == instant("2025-03-16T00:00+01:00")
    assert not_before(ClockStanding(has_begun=True)) is None
    assert not_before(ended) == instant("2026-01-02T00:00+01:00")


def test_an_event_without_subject_and_date_has_a_key() -> None:
    """It changes no clock; its message on Kafka needs a key nevertheless."""
    policy = policy_with({"a": f"kind: at_most, term: P1Y, {STAY}"}, more=ACCEPTED)
    without = replace(
        event("2024-01-01T12:00Z", id="x9"), type="club.accepted", data={"stay_id": "S1"}
    )
    tagged = tag(without, policy)
    assert (tagged.clock_changes, tagged.message_key) == ((), "x9")


def test_lint_names_a_notice_that_is_longer_than_the_term() -> None:
    """It is given at once, since the end is nearer than that from the beginning."""
    rule = f"kind: at_most, term: P2W, {EVENT}, notices: [{{before: P30D, system: app}}]"
    found = {(each.key, each.message) for each in lint(policy_with({"brief": rule}))}
    message = "P30D is longer than the term (P2W): notice is given at once"
    assert ("rules.brief.notices.0.before", message) in found


def test_a_date_that_one_event_of_several_lacks_is_reported_at_that_holding() -> None:
    """The rule is named, and its line is not the one to change."""
    other = (
        "  club.renewed:\n    process: p\n    fields: {client_id: {}}\n"
        "    subject: [{kind: client, field: client_id}]\n    categories: [contact]\n"
        "    holdings: [{purpose: care, basis: contract, rule: a, systems: [app]}]\n"
    )
    text = policy_text({"a": f"kind: at_most, term: P1Y, {BORN}"}, fields=DATE, more=other)
    with pytest.raises(InvalidPolicy) as refused:
        load_text(text, "small.yaml")
    assert [(problem.key, problem.why) for problem in refused.value.problems] == [
        (
            "events.club.renewed.holdings.0.rule",
            "a counts from 'born_on', which this event does not have; add it to `fields`, or take another"
            " rule",
        )
    ]
