"""The protocol of erasures, checked in every order of events; `-s` prints the result of each world."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.model.worlds import REFUSED, WORLDS, OldRule, run

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


@pytest.mark.parametrize("name", WORLDS)
def test_no_order_of_events_breaks_an_invariant(name: str) -> None:
    """Every reachable state keeps every invariant, and leads to one in which each erasure is settled."""
    verdict = run(WORLDS[name])
    print(f"\n{name}: {verdict}")
    assert verdict.broken is None, f"{name}: {verdict}"
    assert f"| {name} | {verdict.states:,} |" in README


@pytest.mark.parametrize("old", REFUSED, ids=lambda old: f"{old.hole}: {old.rule}")
def test_the_model_finds_the_fault_of_each_rejected_rule(old: OldRule) -> None:
    """The model finds the invariant that an old rule breaks, with the shortest path to it."""
    verdict = run(replace(WORLDS[old.world], broken=old.rule))
    print(f"\n{old.hole}, {old.rule}, in {old.world!r}: {verdict}")
    assert verdict.broken == old.breaks, str(verdict)
