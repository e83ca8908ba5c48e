"""Notices, transfers, holds and requests under random schedules, against the oracle."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.event_builders import Event
from tests.contract.language_lines import simulate_under
from tests.contract.ledgers import new_ledger
from tests.contract.test_language_oracle import UNTIL, accepted, alike
from tests.effort import SLOW, examples
from tests.oracle.instants import instant
from tests.oracle.language import Schedule, simulate
from tests.oracle.strategies_endings import acts, endings, retirements
from tests.oracle.strategies_language import histories, schedules

CALM = settings(max_examples=examples(25), deadline=None, suppress_health_check=SLOW)
LEDGER = new_ledger("sqlite://")


@st.composite
def plain_cases(draw: st.DrawFn) -> tuple[Schedule, list[Event]]:
    """Return a schedule with notices and transfers, and events under it."""
    schedule = draw(endings(accepted(draw(schedules()))))
    return schedule, draw(histories(schedule))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Schedule, list[Event]]:
    """Return them with legal holds, a request for erasure and a retired system."""
    schedule, events = draw(plain_cases())
    schedule = replace(draw(retirements(schedule, events)), rights=True)
    events += draw(acts(schedule, events))
    return schedule, draw(st.permutations(events))


@CALM
@given(plain_cases())
def test_every_notice_and_transfer_agrees_with_the_oracle(
    case: tuple[Schedule, list[Event]],
) -> None:
    """Also where ends move, and where the rules of a record differ in a system."""
    check_commands(*case)


@CALM
@given(cases())
def test_with_holds_and_requests_every_command_agrees_with_the_oracle(
    case: tuple[Schedule, list[Event]],
) -> None:
    """Also with retired systems."""
    check_commands(*case)


def check_commands(schedule: Schedule, events: list[Event]) -> None:
    commands = simulate_under(LEDGER, schedule, events, instant(UNTIL))
    assert alike(commands) == alike(simulate(events, schedule, UNTIL))
