"""`simulate` (the production ledger and deleter on a virtual clock) against the catalogue's oracle."""

from __future__ import annotations

from datetime import datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from services.storage.database import Database
from tests import oracle
from tests.contract.event_builders import Event
from tests.contract.ledgers import new_ledger
from tests.contract.oracle_lines import command_lines, simulate_events
from tests.effort import SLOW, examples
from tests.oracle.strategies import event_sets, instants_about

SHARED = ("repair", "mail", "research")
"""With `research` a system serves two purposes of one record: nothing else brings that about."""
FAR = datetime.fromisoformat("2060-01-01T00:00:00Z")
LEDGER = new_ledger("sqlite://")
calm = settings(deadline=None, suppress_health_check=SLOW)


@settings(calm, max_examples=examples(120))
@given(event_sets(shared_systems=SHARED))
def test_every_command_agrees_with_the_oracle(events: list[Event]) -> None:
    """Action, system, time to the second and deadline are exact, whatever the order of the lines."""
    commands = simulate_events(LEDGER, events, FAR)
    assert command_lines(commands) == oracle.simulate(events, FAR)


@settings(calm, max_examples=examples(60))
@given(event_sets(shared_systems=SHARED, duplicates=False), st.data())
def test_a_simulation_ends_at_the_given_time(events: list[Event], data: st.DataObject) -> None:
    """What is due at `until` is sent, what is due a second later is not."""
    until = data.draw(instants_about(events))
    commands = simulate_events(LEDGER, events, until)
    assert command_lines(commands) == oracle.simulate(events, until)


@settings(calm, max_examples=examples(40))
@given(event_sets(shared_systems=SHARED))
def test_commands_are_printed_in_the_order_in_which_they_are_sent(events: list[Event]) -> None:
    """No command is printed after one that left later."""
    times = [command.issued_at for command in simulate_events(LEDGER, events, FAR)]
    assert times == sorted(times)


@settings(calm, max_examples=examples(25))
@given(events=event_sets(max_events=8, shared_systems=SHARED))
def test_postgresql_and_sqlite_agree(shared_ledger: Database, events: list[Event]) -> None:
    """The oracle holds on each database."""
    commands = simulate_events(shared_ledger, events, FAR)
    assert command_lines(commands) == oracle.simulate(events, FAR)
