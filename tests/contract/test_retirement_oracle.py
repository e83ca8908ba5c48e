"""Retired systems and purposes: `explain` and `simulate` against the catalogue's oracle."""

from __future__ import annotations

from datetime import datetime

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
from tests.contract.retiring_policy import policy_retiring
from tests.effort import SLOW
from tests.oracle.strategies import event_sets

FAR = datetime.fromisoformat("2060-01-01T00:00:00Z")
LEDGER = new_ledger("sqlite://")
NAMES = ("crm", "orders", "accounting", "helpdesk", "website", "communication", "service_delivery")
"""No event names one of these systems itself: it would be parked."""
calm = settings(deadline=None, suppress_health_check=SLOW)


@st.composite
def retirements(draw: st.DrawFn, events: list[Event]) -> dict[str, str]:
    """Return retired names, each from the time of an event on, which is the first not held."""
    times = sorted({event["time"] for event in events})
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1, max_size=3))
    return {name: draw(st.sampled_from(times)) for name in names}


SETS = (
    event_sets(max_events=10)
    .filter(bool)
    .flatmap(lambda events: st.tuples(st.just(events), retirements(events)))
)


@settings(calm, max_examples=100)
@given(SETS)
def test_every_holding_agrees_with_the_oracle(history: tuple[list[Event], dict[str, str]]) -> None:
    """Events at the instant or later have no holding; earlier events keep theirs."""
    events, instants = history
    assert explain_events(events, policy=policy_retiring(instants)) == expected_lines(
        events, retired=instants
    )


@settings(calm, max_examples=80)
@given(SETS)
def test_every_command_agrees_with_the_oracle(
    history: tuple[list[Event], dict[str, str]],
) -> None:
    """A retired system gets commands for everything that it held before, and for nothing else."""
    events, instants = history
    policy = policy_retiring(instants)
    assert command_lines(simulate_events(LEDGER, events, FAR, policy)) == oracle.simulate(
        events, FAR, instants
    )


@settings(calm, max_examples=20)
@given(history=SETS)
def test_postgresql_and_sqlite_agree(
    shared_ledger: Database, history: tuple[list[Event], dict[str, str]]
) -> None:
    """The oracle holds on each database."""
    events, instants = history
    policy = policy_retiring(instants)
    assert command_lines(simulate_events(shared_ledger, events, FAR, policy)) == oracle.simulate(
        events, FAR, instants
    )
