"""The loader: a policy that is half right is refused, with every problem's file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.policy.lint import lint
from services.policy.loader import (
    InvalidPolicy,
    hash_policy,
    load,
    load_text,
    policy_text,
    structure_hashes,
)
from services.policy.yaml_source import PolicyProblem
from tests.unit.policy.small import SMALL, line_of, replaced

HOLDING = "{purpose: care, basis: contract, rule: year, systems: [app]}"
DIGEST = "e792127eefc5e49c0ca6402d6b81176020cff0cb9352e14bdddbba97e00736cf"
"""Of the small policy, as it was before a field could identify."""
GUESTS = "subject: {kind: guest, field: guest_ids, each: true}"


def problems(text: str) -> tuple[PolicyProblem, ...]:
    with pytest.raises(InvalidPolicy) as refused:
        load_text(text, "small.yaml")
    return refused.value.problems


def test_the_small_policy_is_valid() -> None:
    """Otherwise the tests below would show nothing."""
    assert load_text(SMALL, "small.yaml").policy == "small"


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "why"),
    [
        pytest.param(
            "time_zone: Europe/Amsterdam",
            "time_zone: Europe/Atlantis",
            "Atlantis",
            "controller.time_zone",
            "is not a time zone such as Europe/Amsterdam",
            id="time-zone",
        ),
        pytest.param(
            "  statement: Statement 1",
            "  statement: Statement 1\n  book_year_end: 13-01",
            "book_year_end",
            "controller.book_year_end",
            "is not a month and a day",
            id="book-year-month",
        ),
        pytest.param(
            "  statement: Statement 1",
            "  statement: Statement 1\n  book_year_end: june",
            "book_year_end",
            "controller.book_year_end",
            "is not a month and a day",
            id="book-year-word",
        ),
        pytest.param(
            "lead_time: PT48H",
            "lead_time: P2D",
            "P2D",
            "systems.books.lead_time",
            "is not an exact period",
            id="lead-time-not-exact",
        ),
        pytest.param(
            "lead_time: PT48H",
            "acknowledge_within: two days",
            "two days",
            "systems.books.acknowledge_within",
            "is not an ISO 8601 period",
            id="acknowledge-within",
        ),
        pytest.param(
            "lead_time: PT48H",
            "outside_eea: true",
            "outside_eea",
            "systems.books.outside_eea",
            "needs a safeguard",
            id="safeguard",
        ),
        pytest.param(
            "term: P1M", "term: 1 month", "1 month", "rules.stay.term", "is not an ISO", id="term"
        ),
        pytest.param(
            "    anchor: {kind: clock, clock: membership}",
            "    anchor: {kind: clock}",
            "anchor: {kind: clock}",
            "rules.membership.anchor",
            "must be set for kind",
            id="clock-anchor-without-clock",
        ),
        pytest.param(
            "    anchor: {kind: book-year}",
            "    anchor: {kind: book-year, clock: stay}",
            "kind: book-year",
            "rules.books.anchor",
            "must be set for kind",
            id="book-year-anchor-with-clock",
        ),
        pytest.param(
            "    anchor: {kind: clock, clock: membership}",
            "    anchor: {kind: clock, clock: nothing}",
            "clock: nothing",
            "rules.membership.anchor.clock",
            "'nothing' is not defined",
            id="anchor-clock",
        ),
        pytest.param(
            "    rationale: Long enough.\n",
            "",
            "  stay:\n    title: A month",
            "rules.stay",
            "needs a rationale",
            id="rationale",
        ),
        pytest.param(
            "max_open: P30D",
            "max_open: P1M",
            "max_open",
            "clocks.stay.max_open",
            "is not a period in days",
            id="max-open-in-months",
        ),
        pytest.param(
            "    max_open: P30D",
            "    parent: nothing",
            "parent: nothing",
            "clocks.stay.parent",
            "'nothing' is not defined",
            id="parent",
        ),
        pytest.param(
            "    max_open: P30D",
            "    parent: membership",
            "parent: membership",
            "clocks.stay.parent",
            "only keys of this clock",
            id="parent-with-other-key",
        ),
        pytest.param(
            "level: {default: basic,",
            "level: {default: none,",
            "level:",
            "events.club.joined.fields.level.default",
            "'none' is not one of basic, full",
            id="default",
        ),
        pytest.param(
            "    categories: [contact]",
            "    categories: [contact, secrets]",
            "secrets",
            "events.club.joined.categories.1",
            "'secrets' is not defined",
            id="category",
        ),
        pytest.param(
            "{kind: client, field: client_id}",
            "{kind: patron, field: client_id}",
            "patron",
            "events.club.joined.subject.0.kind",
            "'patron' is not defined",
            id="subject-kind",
        ),
        pytest.param(
            "{kind: client, field: client_id}",
            "{kind: client, field: patron_id}",
            "patron_id",
            "events.club.joined.subject.0.field",
            "'patron_id' is not defined",
            id="subject-field",
        ),
        pytest.param(
            "{kind: client, field: client_id}",
            "{kind: guest, field: guest_ids}",
            "field: guest_ids",
            "events.club.joined.subject.0.field",
            "`each`",
            id="list-without-each",
        ),
        pytest.param(
            HOLDING,
            "{purpose: fun, basis: contract, rule: year, systems: [app]}",
            "purpose: fun",
            "events.club.joined.holdings.0.purpose",
            "'fun' is not defined",
            id="purpose",
        ),
        pytest.param(
            HOLDING,
            "{purpose: care, basis: whim, rule: year, systems: [app]}",
            "basis: whim",
            "events.club.joined.holdings.0.basis",
            "'whim' is not defined",
            id="basis",
        ),
        pytest.param(
            HOLDING,
            "{purpose: care, basis: contract, rule: decade, systems: [app]}",
            "rule: decade",
            "events.club.joined.holdings.0.rule",
            "'decade' is not defined",
            id="rule",
        ),
        pytest.param(
            HOLDING,
            "{purpose: care, basis: contract, rule: year, systems: [app, cellar]}",
            "cellar",
            "events.club.joined.holdings.0.systems.1",
            "'cellar' is not defined",
            id="system",
        ),
        pytest.param(
            HOLDING,
            "{purpose: care, basis: contract, rule: year, systems: []}",
            "systems: []",
            "events.club.joined.holdings.0.systems",
            "in at least one system",
            id="no-system",
        ),
        pytest.param(
            HOLDING,
            "{purpose: care, basis: contract, rule: year, systems: [app], for_kinds: [patron]}",
            "for_kinds",
            "events.club.joined.holdings.0.for_kinds.0",
            "'patron' is not defined",
            id="for-kinds",
        ),
        pytest.param(
            HOLDING,
            "{purpose: care, basis: contract, rule: year, systems: [app], when: {mood: [good]}}",
            "mood",
            "events.club.joined.holdings.0.when.mood",
            "'mood' is not defined",
            id="when-field",
        ),
        pytest.param(
            HOLDING,
            "{purpose: care, basis: contract, rule: year, systems: [app], when: {level: [ful]}}",
            "when: {level: [ful]}",
            "events.club.joined.holdings.0.when.level",
            "",
            id="when-value-that-the-field-never-has",
        ),
        pytest.param(
            HOLDING,
            "{purpose: care, basis: contract, rule: year, systems: [app],"
            " systems_when: {level: {full: [cellar]}}}",
            "cellar",
            "events.club.joined.holdings.0.systems_when.level.full",
            "'cellar' is not defined",
            id="systems-when-system",
        ),
        pytest.param(
            HOLDING,
            "{purpose: care, basis: contract, rule: year, systems: [app],"
            " systems_when: {level: {ful: [lab]}}}",
            "systems_when",
            "events.club.joined.holdings.0.systems_when.level.ful",
            "",
            id="systems-when-value-that-the-field-never-has",
        ),
        pytest.param(
            HOLDING,
            "{purpose: care, basis: contract, rule: year, systems: [app], systems_from: others}",
            "systems_from",
            "events.club.joined.holdings.0.systems_from",
            "'others' is not defined",
            id="systems-from",
        ),
        pytest.param(
            HOLDING,
            "{purpose: care, basis: contract, rule: year, systems: [app], systems_from: level}",
            "systems_from",
            "events.club.joined.holdings.0.systems_from",
            "",
            id="systems-from-that-is-no-list",
        ),
        pytest.param(
            HOLDING,
            "{purpose: care, basis: contract, rule: year, systems: [app],"
            " subject: {kind: guest, field: guest_ids}}",
            "field: guest_ids",
            "events.club.joined.holdings.0.subject.field",
            "`each`",
            id="holding-subject",
        ),
        pytest.param(
            HOLDING,
            "{purpose: tax, basis: law, rule: year, systems: [app]}",
            "basis: law",
            "events.club.joined.holdings.0.rule",
            "at_least",
            id="a-statute-with-a-maximum",
        ),
        pytest.param(
            "{clock: stay, move: end}",
            "{clock: nothing, move: end}",
            "clock: nothing",
            "events.club.checked-out.moves.0.clock",
            "'nothing' is not defined",
            id="move-clock",
        ),
        pytest.param(
            "{clock: stay, move: end}",
            "{clock: membership, move: end}",
            "{clock: membership, move: end}\nLAST",
            "events.club.checked-out.moves.0.key.client_id",
            "the clock membership has the key field 'client_id', which this event does not have; add it",
            id="move-key",
        ),
        pytest.param(
            "{clock: stay, move: end}",
            "{clock: stay, move: end, key: {stay: stay_id}}",
            "key: {stay: stay_id}",
            "events.club.checked-out.moves.0.key.stay",
            "",
            id="move-key-that-the-clock-has-not",
        ),
        pytest.param(
            "term: P1M",
            "term: P1M\n    tern: P2M",
            "tern",
            "rules.stay.tern",
            "",
            id="unknown-key",
        ),
        pytest.param(
            "    key: [stay_id]\n",
            "",
            "  stay:\n    title: Stay",
            "clocks.stay.key",
            "is missing",
            id="missing-key",
        ),
        pytest.param(
            "kind: at_least", "kind: at_last", "at_last", "rules.books.kind", "at_least", id="word"
        ),
        pytest.param(
            'version: "1"',
            "version: 1",
            "version: 1",
            "version",
            "is not text; write it in quotes, got a whole number",
            id="a-number-is-no-text",
        ),
    ],
)
def test_a_problem_is_named_by_file_line_and_key(
    old: str, new: str, line: str, key: str, why: str
) -> None:
    """One thing is wrong, and its place is reported."""
    text = replaced(SMALL, old, new)
    (problem,) = problems(text)
    assert problem.file == "small.yaml"
    assert problem.key == key
    assert why in problem.why
    assert problem.line == _line(text, line)
    assert str(problem) == f"small.yaml:{problem.line}: {key}: {problem.why}"


def _line(text: str, part: str) -> int:
    """Return the line of a text that occurs once, over several lines too; after LAST, of its last line."""
    if part.endswith("\nLAST"):
        part = part.removesuffix("\nLAST")
        return text[: text.rindex(part)].count("\n") + 1
    if "\n" in part:
        return text[: text.index(part)].count("\n") + 1
    return line_of(text, part)


def test_all_problems_are_reported_at_once() -> None:
    """The operator fixes them together, not one at a time."""
    text = SMALL
    for old, new in {
        "time_zone: Europe/Amsterdam": "time_zone: Europe/Atlantis",
        "term: P1M": "term: 1 month",
        HOLDING: "{purpose: fun, basis: whim, rule: year, systems: [cellar]}",
    }.items():
        text = replaced(text, old, new)
    assert [problem.key for problem in problems(text)] == [
        "controller.time_zone",
        "rules.stay.term",
        "events.club.joined.holdings.0.purpose",
        "events.club.joined.holdings.0.basis",
        "events.club.joined.holdings.0.systems.0",
    ]


def test_all_problems_of_structure_are_reported_at_once() -> None:
    """Missing and unknown keys are among them."""
    text = replaced(
        replaced(SMALL, "    key: [stay_id]\n", ""), "  name: Small\n", "  nam: Small\n"
    )
    assert {problem.key for problem in problems(text)} == {
        "controller.nam",
        "clocks.stay.key",
    }


def test_a_holding_needs_its_clocks_key() -> None:
    """Without the key of its retention clock in the event, the end could never be computed."""
    text = replaced(SMALL, "      stay_id: {business_key: true}\n", "")
    text = replaced(text, HOLDING, "{purpose: care, basis: contract, rule: stay, systems: [app]}")
    (problem,) = problems(text)
    assert problem.key == "events.club.joined.holdings.0.rule"
    assert problem.line == line_of(text, "rule: stay")


@pytest.mark.parametrize(
    ("field", "why"),
    [
        (
            "guest_ids: {type: strings, required: false, identifies: true}",
            "only for a text without",
        ),
        ("paid: {type: boolean, required: false, identifies: true}", "only for a text without"),
        (
            "level: {default: basic, one_of: [basic, full], identifies: true}",
            "only for a text without",
        ),
        ("client_id: {business_key: true, identifies: true}", "since the field names a subject"),
    ],
)
def test_a_shared_value_or_a_subjects_name_is_not_an_identifying_key(field: str, why: str) -> None:
    """It would stop every command about these people, or protect none of them."""
    name = field.partition(":")[0]
    written = next(line for line in SMALL.splitlines() if line.startswith(f"      {name}: "))
    (problem,) = problems(replaced(SMALL, written, f"      {field}"))
    assert problem.key == f"events.club.joined.fields.{name}.identifies"
    assert why in problem.why


def test_a_key_without_a_subject_is_not_an_identifying_key() -> None:
    """An event without a subject does not show whose rows it concerns."""
    (problem,) = problems(replaced(SMALL, "stay_id: {}", "stay_id: {identifies: true}"))
    assert problem.key == "events.club.checked-out.fields.stay_id.identifies"
    assert "an event that names its subject" in problem.why


@pytest.mark.parametrize("number", ["0", "-5"])
def test_none_in_a_number_is_no_sample(number: str) -> None:
    """`verify_one_in: 1` verifies every erasure; less than one means nothing."""
    text = replaced(SMALL, "clocks:", f"verify_one_in: {number}\nclocks:")
    (problem,) = problems(text)
    assert (problem.key, problem.why) == (
        "verify_one_in",
        f"is not 1 or more, got {number}; 1 verifies all",
    )


def test_a_policy_with_the_usual_sample_keeps_its_hash() -> None:
    """Roles go on after an upgrade."""
    usual = load_text(replaced(SMALL, "clocks:", "verify_one_in: 100\nclocks:"), "small.yaml")
    all_of_them = load_text(replaced(SMALL, "clocks:", "verify_one_in: 1\nclocks:"), "small.yaml")
    assert hash_policy(usual) == DIGEST != hash_policy(all_of_them)


def test_a_policy_without_identifying_keys_keeps_its_digest() -> None:
    """Roles continue after an upgrade; recorded events fit a policy that sets it later."""
    stay = "stay_id: {business_key: true"
    before = load_text(SMALL, "small.yaml")
    after = load_text(replaced(SMALL, stay, f"{stay}, identifies: true"), "small.yaml")
    said_no = load_text(replaced(SMALL, stay, f"{stay}, identifies: false"), "small.yaml")
    assert hash_policy(before) == hash_policy(said_no) == DIGEST
    assert hash_policy(after) != DIGEST
    assert structure_hashes(after) == structure_hashes(before)


def test_lint_warns_of_keys_that_no_command_has() -> None:
    """A business key that names no person's rows: the policy may have meant that it does."""
    document = {warning.key for warning in lint(load_text(SMALL, "small.yaml"))}
    assert "events.club.joined.fields.stay_id" in document
    text = replaced(SMALL, "stay_id: {business_key: true}", "stay_id: {identifies: true}")
    assert "events.club.joined.fields.stay_id" not in {
        warning.key for warning in lint(load_text(text, "small.yaml"))
    }


def test_a_holding_needs_its_subject() -> None:
    """Data that concerns no person is not a holding."""
    text = replaced(SMALL, "    subject:\n      - {kind: client, field: client_id}\n", "")
    (problem,) = problems(text)
    assert problem.key == "events.club.joined.holdings"
    assert problem.line == line_of(text, "    holdings:")


def test_an_event_type_without_effect_is_refused() -> None:
    """It must make a holding or change a retention clock."""
    text = replaced(SMALL, "    moves:\n      - {clock: stay, move: end}\n", "")
    (problem,) = problems(text)
    assert problem.key == "events.club.checked-out"
    assert problem.line == line_of(text, "club.checked-out:")


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        pytest.param(
            "policy: a\npolicy: b\n", 2, "the key 'policy' is there twice", id="duplicate"
        ),
        pytest.param(
            "rules:\n  R1:\n    term: P1Y\n    kind: at_most\n    term: P2Y\n",
            5,
            "the key 'term' is there twice",
            id="nested-duplicate",
        ),
        pytest.param(
            "rules: [{term: P1Y, term: P2Y}]\n", 1, "the key 'term' is there twice", id="inline"
        ),
        pytest.param("policy: [a\n", 1, "a list is not closed", id="open-bracket"),
        pytest.param("policy: a\n\tversion: 1\n", 2, "is not YAML", id="tab"),
        pytest.param("policy: *nothing\n", 1, "is not YAML", id="unknown-alias"),
        pytest.param("policy: !!python/name:os.system\n", 1, "is not YAML", id="code"),
        pytest.param("--- \npolicy: a\n---\npolicy: b\n", 3, "is not YAML", id="two-documents"),
        pytest.param("? [a, b]\n: c\n", 1, "is not YAML", id="a-list-as-a-key"),
        pytest.param("? {a: b}\n: c\n", 1, "is not YAML", id="a-map-as-a-key"),
    ],
)
def test_invalid_yaml_is_reported_with_its_line(text: str, line: int, why: str) -> None:
    """Of two keys with one name, one would be lost silently."""
    (problem,) = problems(text)
    assert (problem.file, problem.line) == ("small.yaml", line)
    assert why in problem.why


@pytest.mark.parametrize("text", ["", "# nothing\n", "just words\n", "- a\n- b\n", "\x00"])
def test_a_file_that_is_not_a_policy_is_refused(text: str) -> None:
    """Empty files, words, lists, bytes."""
    assert problems(text)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A missing file, or a folder."""
    for name in ("absent.yaml", "."):
        path = tmp_path / name
        with pytest.raises(InvalidPolicy) as refused:
            load(path)
        (problem,) = refused.value.problems
        assert problem.file == str(path)
        assert "cannot be read" in problem.why


def test_a_line_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    """An editor of Windows writes é as one byte."""
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"policy: a\nversion: caf\xe9\n")
    with pytest.raises(InvalidPolicy) as refused:
        load(path)
    assert str(refused.value) == f"{path}:2: is not UTF-8; write the file in UTF-8"


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    """Editors of Windows write it."""
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + SMALL.encode())
    assert load(path).policy == "small"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[" * 3_000, "small.yaml: is not YAML: it is nested too deeply"),
        ("a: " + "[" * 3_000 + "]" * 3_000, "small.yaml: is not YAML: it is nested too deeply"),
        ("a: 1\nb: c: d\n", "small.yaml:2: is not YAML: a colon is not allowed here"),
        ("a: 1\nb: \x07\n", "small.yaml:2: is not YAML: a control character is not allowed"),
        ("a: 1\nb: 2026-02-30\n", "small.yaml:2: is not YAML: a value does not fit its type"),
        (f"a: {'9' * 5_000}\n", "small.yaml:1: is not YAML: a value does not fit its type"),
        ("a: !!int ''\n", "small.yaml:1: is not YAML: a value does not fit its type"),
    ],
    ids=["open", "nested", "colon", "bell", "no-day", "digits", "no-number"],
)
def test_invalid_yaml_is_one_line(text: str, problem: str) -> None:
    """The parser may raise any error."""
    with pytest.raises(InvalidPolicy) as refused:
        load_text(text, "small.yaml")
    [line] = str(refused.value).splitlines()
    assert line.startswith(problem)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("&a [*a]", "small.yaml:1: is not a map, got a list"),
        ("", "small.yaml:1: is not a map, got nothing"),
        ("3", "small.yaml:1: is not a map, got a whole number"),
        ("policy: {a: b}", "small.yaml:1: policy: is not text; write it in quotes, got a map"),
        ("dpv: other", "small.yaml:1: dpv: is not one of https://w3id.org/dpv/2.3"),
        ("polcy: a", "small.yaml:1: polcy: is not a known key"),
        ("systems: {a: {outside_eea: 7}}", "outside_eea: is neither true nor false, got a whole"),
        (
            "bases: {a: {ground: magic}}",
            "bases.a.ground: is not one of consent, contract, legal_obl",
        ),
        ("categories: {a: {dpv: {}}}", "small.yaml:1: categories.a.dpv: is not a list, got a map"),
        ("titles: 2026-01-01", "small.yaml:1: titles: is not a map, got something else"),
    ],
)
def test_a_problem_is_described_in_terms_of_the_file(text: str, problem: str) -> None:
    """Python's terms are not used, nor the value, which in an agent's file may be a secret."""
    with pytest.raises(InvalidPolicy) as refused:
        load_text(text, "small.yaml")
    assert any(problem in line for line in str(refused.value).splitlines())
    assert "Input should" not in str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("term: P7Y", "term: P8000Y", "rules.books.term"),
        ("term: P7Y", "term: P1000000000D", "rules.books.term"),
        ("term: P7Y", f"term: P{'9' * 5000}Y", "rules.books.term"),
        ("term: P20Y", "term: P201Y", "rules.study.term"),
        ("term: P20Y", "term: P2401M", "rules.study.term"),
        ("lead_time: PT48H", "lead_time: PT99999999999H", "systems.books.lead_time"),
        ("lead_time: PT48H", "verify_after: PT99999999999S", "systems.books.verify_after"),
        ("max_open: P30D", "max_open: P99999999999D", "clocks.stay.max_open"),
    ],
    ids=lambda text: text[-24:],
)
def test_a_term_beyond_the_calendar_is_refused(old: str, new: str, key: str) -> None:
    """The error has its place; the calendar ends with the year 9999."""
    text = replaced(SMALL, old, new)
    (problem,) = problems(text)
    assert (problem.key, problem.line) == (key, line_of(text, new))
    assert problem.why.endswith("is longer than 200 years")


@pytest.mark.parametrize("term", ["P200Y", "P2400M", "P73049D"])
def test_the_longest_terms_are_accepted(term: str) -> None:
    """They are longer than any law requires."""
    text = replaced(replaced(SMALL, "term: P7Y", f"term: {term}"), "PT48H", "PT1753176H")
    assert load_text(text, "small.yaml").rules["books"].term == term


def test_digits_of_other_scripts_are_refused_in_terms() -> None:
    """ISO 8601 has ten digits."""
    (problem,) = problems(replaced(SMALL, "term: P7Y", "term: P\u0667Y"))
    assert "is not an ISO 8601 period" in problem.why


def test_a_file_is_loaded_by_its_path(tmp_path: Path) -> None:
    """Errors call it by that path."""
    path = tmp_path / "mine.yaml"
    path.write_text(SMALL, "utf-8")
    assert load(path) == load_text(SMALL, "small.yaml")


def test_each_item_of_a_list_may_be_a_subject() -> None:
    """The valid form of what is refused above."""
    text = replaced(SMALL, HOLDING, HOLDING.replace("systems: [app]", f"systems: [app], {GUESTS}"))
    assert load_text(text, "small.yaml").events["club.joined"].holdings[0].subject


def test_the_structure_of_the_shipped_policy_keeps_its_hash() -> None:
    """Ledgers store it: another hash of an unchanged event type would refuse every later policy."""
    hashes = structure_hashes(load())
    stored = "9de20bee412402f282ecb8ff5636310c86f16eaba98514f85fb4ea68fc7bb51f"
    assert hashes["recruitment.application-received"] == stored
    assert len(hashes) == 40


def test_the_text_of_a_policy_gives_the_same_policy() -> None:
    """The ledger keeps it, and every role that reads it has an equal policy with an equal hash."""
    retired = replaced(
        SMALL, "title: App, owner: us", "title: App, owner: us, retired: 2026-07-01T00:00:00Z"
    )
    for policy in (load(), load_text(retired, "small.yaml")):
        again = load_text(policy_text(policy), "the ledger")
        assert again == policy
        assert hash_policy(again) == hash_policy(policy)


CONSENT = {
    "  law: {title: Law": "  consent: {title: Consent, dpv: eu-gdpr:A6-1-a, article: GDPR 6(1)(a),"
    " ground: consent}\n  law: {title: Law"
}


def on_consent(rest: str) -> str:
    """Return the small policy with a holding on consent for a minimum term."""
    text = SMALL
    holding = f"{{purpose: care, basis: consent, rule: books, systems: [app]{rest}}}"
    for old, new in {**CONSENT, HOLDING: holding}.items():
        text = replaced(text, old, new)
    return text


@pytest.mark.parametrize("rest", ["", ", survives_withdrawal: ' '"])
def test_a_minimum_on_consent_needs_a_ground_that_survives_a_withdrawal(rest: str) -> None:
    """Consent can be withdrawn at any time (GDPR 7(3)), and a minimum term is kept whatever happens."""
    (problem,) = problems(on_consent(rest))
    assert problem.key == "events.club.joined.holdings.0.rule"
    assert problem.why == (
        "'books' is an at_least rule, which a withdrawal of consent would not end;"
        " use an at_most rule, or state the ground for keeping it in survives_withdrawal"
    )


def test_a_minimum_beside_a_promise_on_consent_needs_such_a_ground_too() -> None:
    """What a person may end is kept until its minimum is over."""
    text = replaced(
        on_consent("").replace("rule: books", "rule: year"),
        "    title: A year\n",
        "    title: A year\n    minimum: P6M\n",
    )
    (problem,) = problems(text)
    assert problem.why == (
        "'year' has a minimum, which a withdrawal of consent would not end;"
        " use one without, or state the ground for keeping it in survives_withdrawal"
    )
    stated = "rule: year, survives_withdrawal: GDPR 17(3)(e)"
    assert load_text(
        text.replace("basis: consent, rule: year", f"basis: consent, {stated}"), "small.yaml"
    )


@pytest.mark.parametrize(
    "rest",
    [", survives_withdrawal: GDPR 17(3)(c)", ", on_withdrawal: {basis: law, rule: books}"],
)
def test_a_minimum_on_consent_with_a_ground_is_accepted(rest: str) -> None:
    """Either it is stated, or the withdrawal changes the basis."""
    assert load_text(on_consent(rest), "small.yaml")


@pytest.mark.parametrize(
    "holding",
    [
        HOLDING[:-1] + ", survives_withdrawal: GDPR 17(3)(c)}",
        "{purpose: care, basis: law, rule: books, systems: [app], survives_withdrawal: GDPR 17(3)(c)}",
    ],
)
def test_a_ground_that_survives_a_withdrawal_needs_consent(holding: str) -> None:
    """Elsewhere it would have no effect."""
    (problem,) = problems(replaced(SMALL, HOLDING, holding))
    assert problem.key == "events.club.joined.holdings.0.survives_withdrawal"
    assert problem.why.startswith("is allowed only for a minimum term on consent")


def test_a_ground_that_survives_a_withdrawal_changes_the_hash_but_no_structure() -> None:
    """It is a key of a later version: without it a policy keeps its hash."""
    before = load_text(on_consent(", on_withdrawal: {basis: law, rule: books}"), "small.yaml")
    after = load_text(on_consent(", survives_withdrawal: GDPR 17(3)(c)"), "small.yaml")
    again = load_text(on_consent(", survives_withdrawal: GDPR 17(3)(d)"), "small.yaml")
    assert len({hash_policy(before), hash_policy(after), hash_policy(again)}) == 3
    assert structure_hashes(after) == structure_hashes(again)
