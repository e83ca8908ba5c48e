"""The protocol of erasures, checked in every order of what can happen; `-s` prints what was found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.model.worlds import REFUSED, WORLDS, OldRule, run

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


@pytest.mark.parametrize("name", WORLDS)
def test_no_order_of_events_breaks_a_promise(name: str) -> None:
    """Every state that can be reached keeps every invariant, and leads to one in which all is settled."""
    verdict = run(WORLDS[name])
    print(f"\n{name}: {verdict}")
    assert verdict.broken is None, f"{name}: {verdict}"
    assert f"| {name} | {verdict.states:,} |" in README


@pytest.mark.parametrize("old", REFUSED, ids=lambda old: f"{old.hole}: {old.rule}")
def test_the_old_rule_is_refused(old: OldRule) -> None:
    """The model finds what the rule breaks, by its shortest way."""
    verdict = run(replace(WORLDS[old.world], broken=old.rule))
    print(f"\n{old.hole}, {old.rule}, in {old.world!r}: {verdict}")
    assert verdict.broken == old.breaks, str(verdict)
