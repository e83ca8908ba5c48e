"""The oracle of the policy language gives for each example what was worked out by hand."""

import pytest

from tests.oracle.examples.forms import full
from tests.oracle.examples.language import LANGUAGE_EXAMPLES, LanguageExample
from tests.oracle.language import explain, simulate

COMMANDED = [example for example in LANGUAGE_EXAMPLES if example.sent is not None]


@pytest.mark.parametrize("example", LANGUAGE_EXAMPLES, ids=lambda example: example.name)
def test_the_oracle_explains_as_by_hand(example: LanguageExample) -> None:
    lines = explain(example.events, example.schedule, full(example.now))
    assert example.brief_rows(lines) == example.expected_rows()


@pytest.mark.parametrize("example", COMMANDED, ids=lambda example: example.name)
def test_the_oracle_sends_as_by_hand(example: LanguageExample) -> None:
    commands = simulate(example.events, example.schedule, full(example.until) or "")
    assert example.brief_commands(commands) == example.expected_commands()
