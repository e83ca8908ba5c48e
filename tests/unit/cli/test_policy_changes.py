"""`termijn policy diff` shows what another policy changes."""

from __future__ import annotations

from pathlib import Path

from tests.unit.cli.conftest import Call
from tests.unit.policy.small import SMALL, replaced


def written(path: Path, text: str) -> Path:
    """Write a policy file."""
    path.write_text(text, "utf-8")
    return path


def test_diff_lists_the_differences_in_words(termijn: Call, tmp_path: Path) -> None:
    """One line each, with both values."""
    old = written(tmp_path / "old.yaml", SMALL)
    new = written(tmp_path / "new.yaml", replaced(SMALL, "term: P2Y", "term: P3Y"))
    outcome = termijn("policy", "diff", old, new)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == "small 1 -> small 1\n  rule two-years: term is P3Y, was P2Y\n"
    assert termijn("policy", "diff", old, new, "--json").rows == [
        {
            "change": "changed",
            "section": "rules",
            "name": "two-years",
            "key": "term",
            "before": "P2Y",
            "after": "P3Y",
            "what": "rule two-years: term is P3Y, was P2Y",
        }
    ]


def test_diff_of_equal_policies_is_empty(termijn: Call, tmp_path: Path) -> None:
    """Scripts read no lines; a person reads that they are equal."""
    file = written(tmp_path / "old.yaml", SMALL)
    assert termijn("policy", "diff", file, file, "--json").rows == []
    assert termijn("policy", "diff", file, file).out == "small 1 -> small 1\n  no difference\n"


def test_diff_names_the_file_with_a_problem(termijn: Call, tmp_path: Path) -> None:
    """Either file may have one."""
    file = written(tmp_path / "old.yaml", SMALL)
    outcome = termijn("policy", "diff", file, tmp_path / "absent.yaml")
    assert outcome.code == 1
    assert "absent.yaml" in outcome.err
    assert outcome.err.count("\n") == 1
