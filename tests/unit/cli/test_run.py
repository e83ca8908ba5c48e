"""A role that runs until a signal: it changes over to another active policy without ending."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from threading import Event

import pytest

from services.app.cli.run import run_until_signal
from services.ledger.active_policy import PolicyMismatch
from services.storage.dead_letters import DeadLetterNotStored


@pytest.fixture(autouse=True)
def _restore_signals() -> Iterator[None]:
    """Leave this process's own handlers as they were."""
    former = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


def test_a_role_runs_again_when_another_policy_is_active() -> None:
    """It reads the policy again, and its former threads stay stopped."""
    stops: list[Event] = []

    def run(stop: Event) -> None:
        stops.append(stop)
        if len(stops) < 3:
            stop.set()  # as a role of several threads does
            raise PolicyMismatch("shop 2", "shop 1")
        assert not stop.is_set()

    run_until_signal(run)
    assert [stop.is_set() for stop in stops] == [True, True, False]


def test_a_signal_ends_the_role() -> None:
    """Also the one that is running."""

    def run(stop: Event) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(10)

    run_until_signal(run)


def test_a_signal_during_the_change_ends_the_role() -> None:
    """It does not start again."""
    runs = 0

    def run(stop: Event) -> None:
        nonlocal runs
        runs += 1
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(10)
        raise PolicyMismatch("shop 2", "shop 1")

    run_until_signal(run)
    assert runs == 1


def test_any_other_error_ends_the_role() -> None:
    """Its supervisor starts it again."""

    def run(_: Event) -> None:
        raise DeadLetterNotStored("recorder", "a[0]@1", "no room")

    with pytest.raises(DeadLetterNotStored):
        run_until_signal(run)
