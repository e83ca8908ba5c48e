"""The oracle gives for published schedules what was worked out by hand from their text."""

import pytest

from tests.oracle.examples.forms import full
from tests.oracle.examples.language import LanguageExample
from tests.oracle.examples.published import PUBLISHED_CASES
from tests.oracle.language import explain


@pytest.mark.parametrize("example", PUBLISHED_CASES, ids=lambda example: example.name)
def test_the_oracle_explains_a_published_schedule(example: LanguageExample) -> None:
    lines = explain(example.events, example.schedule, full(example.now))
    assert example.brief_rows(lines) == example.expected_rows()
