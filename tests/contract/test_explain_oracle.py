"""`explain` against an independent implementation of the retention catalogue."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.event_builders import Event
from tests.contract.oracle_lines import expected_lines, explain_events
from tests.effort import examples
from tests.oracle.strategies import event_sets, instants_about

CALM = settings(
    max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@CALM
@given(event_sets())
def test_every_holding_agrees_with_the_oracle(events: list[Event]) -> None:
    """Windows are exact to the second, in whatever order and however often lines are repeated."""
    assert explain_events(events) == expected_lines(events)


@CALM
@given(event_sets(duplicates=False), st.data())
def test_the_state_of_a_holding_is_that_at_the_given_time(
    events: list[Event], data: st.DataObject
) -> None:
    """At the due instant itself a holding has ended, a second before it has not."""
    now = data.draw(instants_about(events))
    assert explain_events(events, now) == expected_lines(events, now)


@CALM
@given(event_sets(), st.randoms(use_true_random=False))
def test_the_order_of_the_lines_makes_no_difference(events: list[Event], random: Any) -> None:
    """A duplicate may even come before its original."""
    shuffled = list(events)
    random.shuffle(shuffled)
    assert explain_events(shuffled) == explain_events(events)
