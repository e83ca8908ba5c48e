"""`termijn policy test`: cases of a policy are tried, and differences shown with their lines."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent, indent

import pytest
import yaml

from services.policy import loader
from tests.unit.cli.conftest import Call

SHIPPED = Path(loader.__file__).with_name("optimum_pos.cases.yaml")
FEEDBACK = """\
events:
  - {id: f1, type: website.feedback-given, time: 2024-01-10 10:00, data: {feedback_id: F1, visitor_id: V1}}
"""
WINDOW = "windows: [{event: f1, purpose: website_experience, erase_by: 2025-01-10}]\n"
COMMAND = "commands: [{at: 2025-01-09 10:00, system: website, action: erase}]\n"


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    return tmp_path / "cases.yaml"


def write(file: Path, *cases: str) -> Path:
    """Write cases, each given without its name, to a file."""
    entries = "".join(
        f"  - case: number {n}\n{indent(text, '    ')}" for n, text in enumerate(cases)
    )
    file.write_text(f"cases:\n{entries}", "utf-8")
    return file


def test_the_shipped_cases_are_as_expected(termijn: Call) -> None:
    """The catalogue by example; the file names its policy."""
    outcome = termijn("policy", "test", SHIPPED)
    assert outcome.code == 0
    assert outcome.out.endswith("cases, all as expected\n")


def test_the_shipped_cases_show_every_rule() -> None:
    """By the windows that they expect."""
    cases = yaml.safe_load(SHIPPED.read_text("utf-8"))["cases"]
    shown = {window["rule"] for case in cases for window in case.get("windows", ())}
    assert set(loader.load().rules) - shown == {"R3b"}  # whose case shows commands


def test_what_is_not_given_is_not_compared(termijn: Call, cases: Path) -> None:
    """Neither the commands of a case without commands, nor the basis of a window without a basis."""
    assert termijn("policy", "test", write(cases, FEEDBACK + WINDOW, FEEDBACK + COMMAND)).code == 0


@pytest.mark.parametrize(
    ("case", "difference"),
    [
        pytest.param(
            FEEDBACK + WINDOW.replace("2025-01-10", "2025-01-11"),
            "5: cases.0.windows.0.erase_by: expected 2025-01-11, got 2025-01-10 10:00:00",
            id="another day",
        ),
        pytest.param(
            FEEDBACK + WINDOW.replace("2025-01-10", "2025-01-10 10:01"),
            "5: cases.0.windows.0.erase_by: expected 2025-01-10 10:01:00, got 2025-01-10 10:00:00",
            id="another minute",
        ),
        pytest.param(
            FEEDBACK + WINDOW.replace("2025-01-10", "null"),
            "5: cases.0.windows.0.erase_by: expected no time, got 2025-01-10 10:00:00",
            id="no end",
        ),
        pytest.param(
            FEEDBACK
            + WINDOW.replace("}]", ", systems: [mail], rule: D6, due_at: {website: 2025-01-08}}]"),
            "5: cases.0.windows.0.systems: expected mail, got website",
            id="systems",
        ),
        pytest.param(
            FEEDBACK + WINDOW.replace("}]", ", due_at: {website: 2025-01-08}}]"),
            "5: cases.0.windows.0.due_at.website: expected 2025-01-08, got 2025-01-09 10:00:00",
            id="due",
        ),
        pytest.param(
            FEEDBACK + "windows: []\n",
            "5: cases.0.windows: there is one that is not expected: event f1, visitor:V1,"
            " purpose website_experience, rule D5, erase by 2025-01-10 10:00:00",
            id="one too many",
        ),
        pytest.param(
            FEEDBACK + WINDOW.replace("website_experience", "acquisition"),
            "5: cases.0.windows.0: is expected, and there is none",
            id="one too few",
        ),
        pytest.param(
            FEEDBACK + COMMAND.replace("2025-01-09 10:00", "2025-01-10T09:00:00Z"),
            "5: cases.0.commands.0.at: expected 2025-01-10 09:00:00+00:00, got 2025-01-09 10:00:00",
            id="another instant",
        ),
        pytest.param(
            FEEDBACK + "until: 2025-01-08\n" + COMMAND,
            "6: cases.0.commands.0: is expected, and there is none",
            id="until",
        ),
        pytest.param(
            FEEDBACK + "commands: []\n",
            "5: cases.0.commands: there is one that is not expected: 2025-01-09 10:00:00, website,"
            " erase, visitor:V1, rules D5",
            id="a command too many",
        ),
        pytest.param(
            FEEDBACK.replace("visitor_id: V1", "visitor: V1"),
            "4: cases.0.events.0.data.visitor_id: is missing: the event names no data subject",
            id="an event that would be parked",
        ),
        pytest.param(
            FEEDBACK.replace("website.feedback-given", "website.feedback"),
            "4: cases.0.events.0.type: the policy does not define the event type 'website.feedback'",
            id="no such type",
        ),
        pytest.param(
            FEEDBACK + FEEDBACK.partition("\n")[2],
            "5: cases.0.events.1.id: 'f1' is also the id of an earlier event",
            id="the same id twice",
        ),
    ],
)
def test_a_difference_is_shown_with_its_line(
    termijn: Call, cases: Path, case: str, difference: str
) -> None:
    """What is expected, what there is, and where that is written."""
    outcome = termijn("policy", "test", write(cases, case))
    assert outcome.code == 1
    assert f"  {cases}:{difference}" in outcome.out.splitlines()
    assert f"{cases}: 1 of 1 cases differ" in outcome.err


def test_a_case_that_differs_does_not_hide_the_others(termijn: Call, cases: Path) -> None:
    """As JSON, one object a case."""
    outcome = termijn(
        "policy", "test", write(cases, FEEDBACK + "windows: []\n", FEEDBACK), "--json"
    )
    rows = [json.loads(line) for line in outcome.out.splitlines()]
    assert [row["as_expected"] for row in rows] == [False, True]
    assert [found["key"] for found in rows[0]["differences"]] == ["cases.0.windows"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("cases:\n  - case: a\n", "2: cases.0.events: is missing", id="no events"),
        pytest.param("cases: 7\n", "1: cases: is not a list, got a whole number", id="no list"),
        pytest.param(
            "cases:\n  - case: a\n    events: []\n    window: []\n",
            "4: cases.0.window: is not a known key; did you mean windows?",
            id="unknown key",
        ),
        pytest.param(
            "cases:\n  - case: a\n    events: [{type: website.feedback-given, time: noon,"
            " data: {feedback_id: F, visitor_id: V}}]\n",
            "3: cases.0.events.0.time: is not a date or time such as 2032-01-01, 2032-01-01 14:00 or"
            " 2032-01-01T13:00:00Z, got text",
            id="no time",
        ),
    ],
)
def test_a_problem_in_the_file_is_one_clear_line(
    termijn: Call, cases: Path, text: str, problem: str
) -> None:
    """Like one in a policy."""
    cases.write_text(text, "utf-8")
    outcome = termijn("policy", "test", cases)
    assert (outcome.code, outcome.err) == (1, f"termijn: {cases}:{problem}\n")


@pytest.mark.parametrize("time", ["0001-01-01", "0001-01-01 00:00", "9999-12-31", "1799-12-31"])
@pytest.mark.parametrize("key", ["now", "until"])
def test_a_time_at_the_ends_of_the_calendar_is_refused(
    termijn: Call, cases: Path, key: str, time: str
) -> None:
    """Its end of day, or the same time in UTC, may be in no year that there is."""
    outcome = termijn("policy", "test", write(cases, f"events: []\n{key}: {time}\n"))
    problem = f"4: cases.0.{key}: is not in a year from 1800 to 9998, got "
    assert outcome.code == 1
    assert outcome.err.startswith(f"termijn: {cases}:{problem}")


def test_the_policy_of_the_option_counts_first(termijn: Call, cases: Path, tmp_path: Path) -> None:
    """Then that of the file, which is sought beside it; then the configured one."""
    text = (SHIPPED.parent / "optimum_pos.yaml").read_text("utf-8")
    other = tmp_path / "other.yaml"
    start = text.index("  D5:")
    other.write_text(text[:start] + text[start:].replace("term: P1Y", "term: P2Y", 1), "utf-8")
    write(cases, FEEDBACK + WINDOW.replace("2025", "2026"))
    assert termijn("policy", "test", cases).code == 1
    assert termijn("policy", "test", cases, "--policy", other).code == 0
    cases.write_text("policy: other.yaml\n" + cases.read_text("utf-8"), "utf-8")
    assert termijn("policy", "test", cases).code == 0


def test_an_event_has_a_source_that_may_publish_it(
    termijn: Call, cases: Path, tmp_path: Path
) -> None:
    """By default the first that the policy names; another is parked, here as in production."""
    text = (SHIPPED.parent / "optimum_pos.yaml").read_text("utf-8")
    place = text.index("\n", text.index("  website.feedback-given:")) + 1
    policy = tmp_path / "policy.yaml"
    policy.write_text(text[:place] + "    sources: [/website/*]\n" + text[place:], "utf-8")
    foreign = FEEDBACK.replace("id: f1,", "id: f1, source: /crm,")
    outcome = termijn(
        "policy", "test", write(cases, FEEDBACK + WINDOW, foreign), "--policy", policy
    )
    assert "as expected: number 0" in outcome.out
    assert "cases.1.events.0.source: is not allowed by the policy" in outcome.out


def test_a_date_in_an_events_data_is_text(termijn: Call, cases: Path) -> None:
    """YAML reads `2024-01-10` as a date; an event has it as text."""
    dated = dedent(FEEDBACK).replace("feedback_id: F1", "feedback_id: 2024-01-10")
    assert termijn("policy", "test", write(cases, dated + WINDOW)).code == 0


def test_every_event_that_is_refused_is_reported_with_the_names_that_are_unknown(
    termijn: Call, cases: Path
) -> None:
    """At once, and not one after another as each is corrected."""
    text = (
        "events:\n"
        "  - {id: a, type: website.feedback-taken, time: 2024-01-01, data: {}}\n"
        "  - {id: b, type: website.feedback-given, time: 2024-01-01, data: {}}\n"
        "windows:\n"
        "  - {event: c, purpose: website}\n"
        "  - {event: b, purpose: website_experience, rule: D55}\n"
        "commands:\n"
        "  - {at: 2024-01-01, system: websit, action: erase}\n"
    )
    outcome = termijn("policy", "test", write(cases, text), "--json")
    [row] = [json.loads(line) for line in outcome.out.splitlines()]
    assert [found["key"] for found in row["differences"]] == [
        "cases.0.events.0.type",
        "cases.0.events.1.data.visitor_id",
        "cases.0.windows.0.event",
        "cases.0.windows.0.purpose",
        "cases.0.windows.1.rule",
        "cases.0.commands.0.system",
    ]
    assert [found["line"] for found in row["differences"]] == [4, 5, 7, 7, 8, 10]


def test_a_mistake_in_the_shape_hides_no_other_problem(termijn: Call, cases: Path) -> None:
    """Neither in its own case, nor what differs in the others; only what may follow from it is left out."""
    wrong = (
        FEEDBACK
        + "commands: [{when: 2025-01-09, system: websit, action: erase}]\n"
        + WINDOW.replace("2025-01-10", "2099-01-01").replace("website_experience", "website")
    )
    other = FEEDBACK + WINDOW.replace("2025-01-10", "2025-01-11")
    outcome = termijn("policy", "test", write(cases, wrong, FEEDBACK + WINDOW, other))
    assert (outcome.code, outcome.out) == (1, "")
    lines = [line.partition("cases.yaml:")[2] for line in outcome.err.splitlines()]
    assert lines == [
        "5: cases.0.commands.0.at: is missing",
        "5: cases.0.commands.0.when: is not a known key",
        "6: cases.0.windows.0.purpose: 'website' is not defined",
        "5: cases.0.commands.0.system: 'websit' is not defined; did you mean website?",
        "14: cases.2.windows.0.erase_by: expected 2025-01-11, got 2025-01-10 10:00:00",
    ]


def test_a_case_may_expect_a_window_of_a_rule_in_test(
    termijn: Call, cases: Path, tmp_path: Path
) -> None:
    """It has its dates and the state `test`; nothing is commanded."""
    text = (SHIPPED.parent / "optimum_pos.yaml").read_text("utf-8")
    start = text.index("  D5:")
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        text[:start] + text[start:].replace("    term: P1Y", "    status: test\n    term: P1Y", 1),
        "utf-8",
    )
    window = WINDOW.replace("}]", ", state: test}]")
    write(cases, FEEDBACK + window + "commands: []\n")
    assert termijn("policy", "test", cases, "--policy", policy).code == 0
