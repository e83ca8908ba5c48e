"""The table of actions: the properties of each, written out by hand, and that no action is missing."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest

from services.policy import actions
from services.policy.actions import ACTIONS
from services.policy.reasons import VERIFICATION_REASONS


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("CHANGING", {"erase", "pseudonymise", "restrict", "lift", "rectify"}),
        ("VERIFIED", {"erase", "pseudonymise"}),
        ("PROTECTIVE", {"restrict", "recall"}),
        ("HARMLESS", {"restrict", "recall", "verify", "disclose", "rectify"}),
        ("UNCAPPED", {"restrict", "recall", "verify"}),
        ("ABOUT_COMMANDS", {"verify", "recall"}),
        ("UNORDERED", {"verify", "recall", "disclose"}),
    ],
)
def test_the_kinds_of_actions(kind: str, expected: set[str]) -> None:
    """By the rulings: what protects is never held up, what destroys is read again."""
    assert set(getattr(actions, kind)) == expected


def test_nothing_that_protects_may_break_a_promise() -> None:
    """What passes every stop must also pass blindness."""
    assert actions.PROTECTIVE <= actions.HARMLESS


def test_every_check_has_its_reason() -> None:
    """Only checks have such a reason."""
    assert set(VERIFICATION_REASONS) == set(actions.VERIFIED)


def test_the_schema_names_the_same_actions() -> None:
    """What crosses Kafka, in the newest version."""
    folder = files("schemas") / "retention"
    newest = max(path.name for path in folder.iterdir() if path.name.startswith("command."))
    schema = json.loads((folder / newest).read_text("utf-8"))
    [field] = [field for field in schema["fields"] if field["name"] == "action"]
    assert set(field["type"]["symbols"]) == set(ACTIONS)
