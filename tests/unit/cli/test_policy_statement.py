"""`termijn policy statement` prints the retention section in Dutch and English."""

from __future__ import annotations

from tests.unit.cli.conftest import Call


def test_statement_prints_the_language_that_is_asked_for(termijn: Call) -> None:
    """Without the option it is Dutch, as letters are."""
    dutch, english = termijn("policy", "statement"), termijn("policy", "statement", "--language=en")
    assert (dutch.code, dutch.err, english.code, english.err) == (0, "", 0, "")
    assert dutch.out.startswith(
        "# Hoe lang wij persoonsgegevens bewaren\n\nOptimum POS B.V. bewaart "
    )
    assert english.out.startswith("# How long we keep personal data\n\nOptimum POS B.V. keeps ")


def test_statement_prints_html_in_the_language(termijn: Call) -> None:
    """Screen readers need to know it."""
    html = termijn("policy", "statement", "--format", "html").out
    assert html.startswith('<!DOCTYPE html>\n<html lang="nl">\n')
