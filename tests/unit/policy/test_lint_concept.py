"""Lint warns of what a deletion concept would not have."""

from __future__ import annotations

import pytest

from services.policy.lint import lint
from services.policy.loader import InvalidPolicy, load, load_text
from tests.unit.policy.small import SMALL, replaced

BOOKS = "books: {title: Books,"
RULE = """\
  more{n}:
    title: More
    kind: at_most
    term: P{n}W
    anchor: {{kind: event}}
    term_from: stated
    anchor_from: stated
    source: z
"""


def remarks(text: str, key: str) -> list[str]:
    """The warnings about a key."""
    return [item.message for item in lint(load_text(text, "small.yaml")) if item.key == key]


def test_lint_warns_of_backups_that_keep_data_past_a_promised_end() -> None:
    """The promise is about the data, wherever it is."""
    text = replaced(SMALL, "app: {title: App,", "app: {backups: P30D, title: App,")
    [warning] = remarks(text, "systems.app.backups")
    assert warning.startswith("keep erased data for P30D after the promised end of year")
    assert warning.endswith("; state that in the privacy statement, or shorten it")


def test_lint_warns_of_many_different_terms() -> None:
    """Few standard terms can be understood, and checked."""
    more = "".join(RULE.format(n=n) for n in range(50, 63))
    [warning] = remarks(replaced(SMALL, "rules:\n", f"rules:\n{more}"), "rules")
    assert "different terms (" in warning


def test_lint_accepts_the_terms_of_the_shipped_policy() -> None:
    """It has eight."""
    assert not [item for item in lint(load()) if item.key == "rules" or "backups" in item.key]


def test_backups_are_a_period() -> None:
    """One clear line names what is wrong."""
    with pytest.raises(
        InvalidPolicy, match=r"systems\.books\.backups: 'monthly' is not an ISO 8601 period"
    ):
        load_text(replaced(SMALL, BOOKS, "books: {backups: monthly, title: Books,"), "small.yaml")
