"""What a rule in test would do is shown by `termijn explain` and `simulate`, and marked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.event_builders import event
from tests.unit.cli.conftest import Call, Write
from tests.unit.policy.small import SMALL, replaced

HOLDING = "      - {purpose: care, basis: contract, rule: year, systems: [app]}\n"
TWO_YEARS = "      - {purpose: service, basis: contract, rule: two-years, systems: [app, lab]}\n"


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """Returns a policy that keeps care for a year, in test, and service for two years."""
    text = replaced(SMALL, "    title: A year\n", "    title: A year\n    status: test\n")
    file = tmp_path / "small.yaml"
    file.write_text(replaced(text, HOLDING, HOLDING + TWO_YEARS), "utf-8")
    return file


def test_explain_shows_its_window_with_a_state_of_its_own(
    termijn: Call, events: Write, policy: Path
) -> None:
    """The dates are those that it would have if it were active."""
    joined = event("j1", "club.joined", "2024-03-15T13:00:00Z", client_id="1", stay_id="1")
    arguments = ("explain", events([joined]), "--policy", policy, "--now", "2024-03-15T13:00:00Z")
    care, service = termijn(*arguments, "--json").rows
    assert (care["rule"], care["state"], care["erase_by"], care["due_at"]) == (
        *("year", "test", "2025-03-15T13:00:00Z"),
        {"app": "2025-03-14T13:00:00Z"},
    )
    assert (service["rule"], service["state"]) == ("two-years", "scheduled")


def test_simulate_marks_the_commands_that_only_it_would_require(
    termijn: Call, events: Write, policy: Path
) -> None:
    """The app restricts service while the rule of care is in test, and would erase both otherwise."""
    joined = event("j1", "club.joined", "2024-03-15T13:00:00Z", client_id="1", stay_id="1")
    rows = termijn(
        *("simulate", events([joined]), "--policy", policy, "--until", "2030-01-01", "--json")
    ).rows
    assert [(row["issued_at"], row["system"], row["action"], row["reason"]) for row in rows] == [
        (
            *("2025-03-14T13:00:00Z", "app", "restrict"),
            "in test, not sent: a purpose has ended, another goes on",
        ),
        ("2026-03-14T13:00:00Z", "app", "restrict", "a purpose has ended, another goes on"),
        ("2026-03-14T13:00:00Z", "app", "erase", "in test, not sent: the last purpose has ended"),
        ("2026-03-15T01:00:00Z", "lab", "erase", "the purpose has ended"),
    ]


def test_lint_lists_it(termijn: Call, policy: Path) -> None:
    warnings = {row["key"]: row["what"] for row in termijn("policy", "lint", policy, "--json").rows}
    assert warnings["rules.year.status"] == (
        "is in test: nothing is commanded because of it, and its data is kept"
    )
