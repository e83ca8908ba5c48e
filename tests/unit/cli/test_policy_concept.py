"""`termijn policy concept` prints the deletion concept."""

from __future__ import annotations

from tests.unit.cli.conftest import Call


def test_concept_prints_markdown_or_html(termijn: Call) -> None:
    """Of the configured policy."""
    outcome = termijn("policy", "concept")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("# Deletion concept (DIN 66398, ISO/IEC 27555)\n")
    assert "| 7 years |  | R5 |  |  |" in outcome.out
    assert (
        "<td>7 years</td><td></td><td>R5</td>" in termijn("policy", "concept", "--format=html").out
    )
