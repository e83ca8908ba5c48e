"""Lint warns of policies that are valid, and are probably not what was meant."""

from __future__ import annotations

import pytest

from services.policy.lint import lint
from services.policy.loader import load, load_text
from tests.unit.policy.small import SMALL, replaced


def remarks(old: str, new: str) -> list[str]:
    """Return the warnings about the small policy after one change."""
    before = {(warning.key, warning.message) for warning in lint(load_text(SMALL, "small.yaml"))}
    after = lint(load_text(replaced(SMALL, old, new), "small.yaml"))
    return [
        f"{warning.key}: {warning.message}"
        for warning in after
        if (warning.key, warning.message) not in before
    ]


@pytest.mark.parametrize("term", ["PT6M", "PT23H59M59S", "PT1S"])
def test_lint_warns_of_a_term_below_a_day(term: str) -> None:
    """M after T means minutes, where months were meant."""
    assert f"rules.books: lasts less than a day ({term}): after T, M is minutes, not months" in (
        remarks("term: P7Y", f"term: {term}")
    )


@pytest.mark.parametrize("term", ["PT24H", "P1D", "P6M"])
def test_lint_accepts_a_term_of_a_day(term: str) -> None:
    assert not [
        remark for remark in remarks("term: P7Y", f"term: {term}") if "less than a day" in remark
    ]


def test_lint_accepts_a_term_of_zero() -> None:
    """With P0D data is due at the time of its event: the small policy has one."""
    assert not [
        warning
        for warning in lint(load_text(SMALL, "small.yaml"))
        if "less than a day" in warning.message
    ]


def test_lint_warns_of_a_lead_time_longer_than_a_term() -> None:
    """The command is sent at once, and is late from the beginning."""
    warnings = remarks("lead_time: PT48H", "lead_time: PT9000H")
    assert warnings == []  # the books have a duty of a minimum only: no promise to be late for
    [remark] = remarks(
        "app: {title: App, owner: us}", "app: {title: App, owner: us, lead_time: PT9000H}"
    )
    assert remark == (
        "systems.app.lead_time: PT9000H is longer than the term of year (P1Y):"
        " its commands leave at once, without time for retries"
    )


def test_lint_has_no_such_warnings_about_the_shipped_policy() -> None:
    warnings = [warning.message for warning in lint(load())]
    assert not [
        warning
        for warning in warnings
        if "less than a day" in warning or "is longer than the term" in warning
    ]
