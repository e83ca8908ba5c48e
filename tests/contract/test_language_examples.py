"""`explain` and `simulate` give what the examples of the policy language say, worked out by hand."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from _pytest.mark import ParameterSet

from services.storage.database import Database
from tests.contract.language_lines import explain_under, simulate_under
from tests.oracle.examples.forms import full
from tests.oracle.examples.language import LANGUAGE_EXAMPLES, LanguageExample
from tests.oracle.instants import instant


def _by_name(examples: Iterable[LanguageExample]) -> list[ParameterSet]:
    return [pytest.param(example, id=example.name) for example in examples]


@pytest.mark.parametrize("example", _by_name(LANGUAGE_EXAMPLES))
def test_explain_gives_the_rows_of_an_example(example: LanguageExample) -> None:
    now = instant(str(full(example.now))) if example.now else None
    rows = explain_under(example.schedule, list(example.events), now)
    assert example.brief_rows(rows) == example.expected_rows()


@pytest.mark.parametrize(
    "example", _by_name(each for each in LANGUAGE_EXAMPLES if each.sent is not None)
)
def test_simulate_sends_the_commands_of_an_example(
    ledger: Database, example: LanguageExample
) -> None:
    until = instant(str(full(example.until)))
    commands = simulate_under(ledger, example.schedule, list(example.events), until)
    assert example.brief_commands(commands) == example.expected_commands()
