"""Patience: what other work takes from the machine does not count, and still an end comes."""

from __future__ import annotations

from tests.patience import Patience


class Machine:
    """A clock, and how long tasks have waited for a processor."""

    def __init__(self) -> None:
        self.clock, self.stalled = 1_000.0, 500.0

    def passes(self, seconds: float, *, stalled: float) -> None:
        """Time passes, and for some of it tasks wait."""
        self.clock += seconds
        self.stalled += stalled


def patience(machine: Machine, seconds: float) -> Patience:
    """So many seconds of that machine."""
    return Patience(seconds, clock=lambda: machine.clock, stalled=lambda: machine.stalled)


def test_an_idle_machine_counts_every_second() -> None:
    """Ten are over after ten."""
    machine = Machine()
    waits = patience(machine, 10)
    machine.passes(9, stalled=0)
    assert not waits.is_over
    machine.passes(2, stalled=0)
    assert waits.is_over


def test_a_busy_machine_is_waited_for() -> None:
    """Of 30 seconds 21 went to other work: nine count."""
    machine = Machine()
    waits = patience(machine, 10)
    machine.passes(30, stalled=21)
    assert not waits.is_over
    machine.passes(2, stalled=0)
    assert waits.is_over


def test_waiting_ends_whatever_the_machine_does() -> None:
    """At the latest after six times as long."""
    machine = Machine()
    waits = patience(machine, 10)
    machine.passes(59, stalled=59)
    assert not waits.is_over
    machine.passes(2, stalled=2)
    assert waits.is_over


def test_patience_works_on_this_machine() -> None:
    """It also works where the kernel does not count stalls."""
    assert not Patience(60).is_over
    assert Patience(-1).is_over
