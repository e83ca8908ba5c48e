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
        ("CHANGING", {"erase", "pseudonymise", "restrict", "lift", "rectify", "transfer"}),
        ("VERIFIED", {"erase", "pseudonymise"}),
        ("PROTECTIVE", {"restrict", "recall"}),
        ("HARMLESS", {"restrict", "recall", "verify", "disclose", "rectify"}),
        ("UNCAPPED", {"restrict", "recall", "verify"}),
        ("ABOUT_COMMANDS", {"verify", "recall"}),
        ("UNORDERED", {"verify", "recall", "disclose", "notify"}),
        ("ENDING", {"erase", "pseudonymise", "notify", "transfer"}),
    ],
)
def test_each_action_has_the_properties_of_the_rulings(kind: str, expected: set[str]) -> None:
    """Commands that protect data are never delayed; those that destroy data are verified."""
    assert set(getattr(actions, kind)) == expected


def test_no_action_that_is_always_sent_may_break_a_legal_hold() -> None:
    """A command that is sent during a pause must also be allowed while Termijn waits for catch-up."""
    assert actions.PROTECTIVE <= actions.HARMLESS


def test_every_verification_has_its_reason() -> None:
    """No other action has such a reason."""
    assert set(VERIFICATION_REASONS) == set(actions.VERIFIED)


def test_the_schema_names_the_same_actions() -> None:
    """The newest version of the schema on Kafka counts."""
    folder = files("schemas") / "retention"
    newest = max(path.name for path in folder.iterdir() if path.name.startswith("command."))
    schema = json.loads((folder / newest).read_text("utf-8"))
    [field] = [field for field in schema["fields"] if field["name"] == "action"]
    assert set(field["type"]["symbols"]) == set(ACTIONS)
