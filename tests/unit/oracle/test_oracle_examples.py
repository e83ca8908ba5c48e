"""The oracle gives for each example what was worked out by hand."""

import pytest

from tests.oracle import explain, simulate
from tests.oracle.examples import EXAMPLES, Example
from tests.oracle.examples.forms import full


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_the_oracle_explains_as_by_hand(example: Example) -> None:
    lines = explain(example.events, full(example.now))
    assert example.brief_lines(lines) == example.expected_lines()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_the_oracle_sends_as_by_hand(example: Example) -> None:
    commands = simulate(example.events, full(example.until) or "")
    assert example.brief_commands(commands) == example.expected_commands()
