"""How hard properties and state machines try: few examples by default, many under `make chaos`.

`make chaos` runs pytest with the Hypothesis profile `chaos`; what asks here for its examples gets
twenty times as many under it.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large)
"""What does not hurt: a ledger is slow, and a set of events is large. Filtering too much would."""
_USUAL = 100
CHAOS = settings(max_examples=20 * _USUAL)
"""The profile of `make chaos`."""


def examples(few: int) -> int:
    """Return how many examples to try where `few` are usual: `few` times the profile's factor."""
    return max(1, few * settings().max_examples // _USUAL)


def play(machine: Callable[[], RuleBasedStateMachine], *, few: int, steps: int) -> None:
    """Run a state machine `few` times, multiplied by the profile's factor."""
    run_state_machine_as_test(
        machine,  # type: ignore[arg-type]  # a factory is as good as a class
        settings=settings(
            max_examples=examples(few),
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=SLOW,
        ),
    )
