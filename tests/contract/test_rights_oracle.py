"""`explain` and `simulate` with `privacy.*` events, against an independent implementation."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.storage.database import Database
from tests import oracle
from tests.contract.event_builders import Event
from tests.contract.ledgers import new_ledger
from tests.contract.oracle_lines import (
    command_lines,
    expected_lines,
    explain_events,
    simulate_events,
)
from tests.effort import SLOW, examples
from tests.oracle.strategies import instants_about
from tests.oracle.strategies_rights import event_sets_with_rights

FAR = datetime.fromisoformat("2060-01-01T00:00:00Z")
LEDGER = new_ledger("sqlite://")
calm = settings(deadline=None, suppress_health_check=SLOW)


@settings(calm, max_examples=examples(150))
@given(event_sets_with_rights())
def test_every_holding_agrees_with_the_oracle(events: list[Event]) -> None:
    """Holdings are ended early, fallen back, held or postponed, whatever the order of the lines."""
    assert explain_events(events) == expected_lines(events)


@settings(calm, max_examples=examples(150))
@given(event_sets_with_rights(duplicates=False), st.data())
def test_a_legal_hold_is_judged_at_the_given_time(events: list[Event], data: st.DataObject) -> None:
    """At the instant of the placement a holding is held, at that of the release it is not."""
    moments = [oracle.instant(event["time"]) for event in events]
    now = data.draw(st.sampled_from(moments) | instants_about(events))
    assert explain_events(events, now) == expected_lines(events, now)


@pytest.mark.parametrize("story", ["application", "website", "helpdesk", "acquisition"])
@settings(calm, max_examples=examples(60))
@given(data=st.data())
def test_a_single_story_agrees_with_the_oracle(story: str, data: st.DataObject) -> None:
    """In a single story consents, objections and clocks interact more often."""
    events = data.draw(event_sets_with_rights(stories=(story,)))
    assert explain_events(events) == expected_lines(events)
    assert command_lines(simulate_events(LEDGER, events, FAR)) == oracle.simulate(events, FAR)


@settings(calm, max_examples=examples(60))
@given(event_sets_with_rights(), st.randoms(use_true_random=False))
def test_the_order_of_the_lines_makes_no_difference(events: list[Event], random: Any) -> None:
    """It changes neither the windows nor the commands."""
    shuffled = list(events)
    random.shuffle(shuffled)
    assert explain_events(shuffled) == explain_events(events)
    assert command_lines(simulate_events(LEDGER, shuffled, FAR)) == command_lines(
        simulate_events(LEDGER, events, FAR)
    )


@settings(calm, max_examples=examples(150))
@given(event_sets_with_rights())
def test_every_command_agrees_with_the_oracle(events: list[Event]) -> None:
    """Erasures, restrictions, lifts, disclosures and rectifications are exact to the second."""
    commands = simulate_events(LEDGER, events, FAR)
    assert command_lines(commands) == oracle.simulate(events, FAR)


@settings(calm, max_examples=examples(60))
@given(event_sets_with_rights(duplicates=False), st.data())
def test_a_simulation_ends_at_the_given_time(events: list[Event], data: st.DataObject) -> None:
    """A command at `until` is printed, one a second later is not."""
    moments = [oracle.instant(event["time"]) for event in events]
    until = data.draw(st.sampled_from(moments) | instants_about(events))
    commands = simulate_events(LEDGER, events, until)
    assert command_lines(commands) == oracle.simulate(events, until)


@settings(calm, max_examples=examples(25))
@given(events=event_sets_with_rights(max_events=6, max_plots=3))
def test_postgresql_and_sqlite_agree(shared_ledger: Database, events: list[Event]) -> None:
    """The oracle holds on each database."""
    commands = simulate_events(shared_ledger, events, FAR)
    assert command_lines(commands) == oracle.simulate(events, FAR)
