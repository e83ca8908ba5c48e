"""`explain` and `simulate` print for each example the values that were worked out by hand."""

from __future__ import annotations

import pytest

from tests import oracle
from tests.contract.ledgers import new_ledger
from tests.contract.oracle_lines import command_lines, explain_events, simulate_events
from tests.oracle.examples import EXAMPLES, Example
from tests.oracle.examples.forms import full

LEDGER = new_ledger("sqlite://")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_each_holding_is_explained_as_by_hand(example: Example) -> None:
    now = oracle.instant(full(example.now) or "") if example.now else None
    explained = explain_events(list(example.events), now)
    assert example.brief_lines(explained) == example.expected_lines()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_each_command_leaves_as_by_hand(example: Example) -> None:
    until = oracle.instant(full(example.until) or "")
    commands = command_lines(simulate_events(LEDGER, list(example.events), until))
    assert example.brief_commands(commands) == example.expected_commands()
