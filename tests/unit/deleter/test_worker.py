"""The order of the work in a deleter process."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Event

import pytest

from services.deleter.transactions import ClockSkew
from services.deleter.worker import DeleterWorker


@dataclass(slots=True)
class Journal:
    """Notes the order in which the worker calls, and what it reports."""

    erased: list[int]
    """What each run of the deleter returns."""
    sealed: list[int] = field(default_factory=list)
    """What each sealing returns; nothing is due once these are used up."""
    calls: list[str] = field(default_factory=list)

    def erase(self) -> int:
        self.calls.append("erase")
        return self.erased.pop(0)

    def seal(self) -> int:
        self.calls.append("seal")
        return self.sealed.pop(0) if self.sealed else 0

    def seal_if_due(self) -> int | None:
        self.calls.append("seal if due")
        return self.sealed.pop(0) if self.sealed else None

    def call(self, name: str) -> None:
        self.calls.append(name)

    def worker(self) -> DeleterWorker:
        return DeleterWorker(
            erase=self.erase,
            seal=self.seal,
            seal_if_due=self.seal_if_due,
            purge_if_due=lambda: self.call("purge if due"),
            measure_if_due=lambda: self.call("measure if due"),
            forecast_if_due=lambda: self.call("forecast if due"),
            activate_if_due=lambda: self.call("activate if due"),
            observer=self,
            idle_seconds=5.0,
        )

    def heartbeat(self) -> None:
        self.calls.append("heartbeat")

    def ready(self) -> None:
        self.calls.append("ready")

    def batch_retried(self, why: str) -> None:
        self.calls.append(f"retried: {why}")

    def clock_skewed(self, seconds: float) -> None:
        self.calls.append(f"skewed: {seconds}")


def test_an_idle_worker_appends_evidence_and_purges_first() -> None:
    journal = Journal(erased=[0])
    assert journal.worker().run_once() == 5.0
    assert journal.calls == [
        "activate if due",
        "measure if due",
        "forecast if due",
        "seal if due",
        "purge if due",
        "erase",
    ]


def test_while_records_are_due_evidence_waits_and_nothing_is_purged() -> None:
    journal = Journal(erased=[3, 0])
    worker = journal.worker()
    assert worker.run_once() == 0.0
    journal.calls.clear()
    assert worker.run_once() == 5.0
    assert journal.calls == [
        "activate if due",
        "measure if due",
        "forecast if due",
        "seal if due",
        "erase",
    ]


def test_a_worker_that_appended_evidence_continues_at_once() -> None:
    journal = Journal(erased=[0, 0], sealed=[7, 0])
    worker = journal.worker()
    assert worker.run_once() == 0.0
    journal.calls.clear()
    assert worker.run_once() == 5.0
    assert journal.calls == [
        "activate if due",
        "measure if due",
        "forecast if due",
        "seal",
        "purge if due",
        "erase",
    ]


def test_a_wrong_clock_is_measured_and_the_run_fails() -> None:
    def erase() -> int:
        raise ClockSkew(-2.5)

    journal = Journal(erased=[])
    worker = journal.worker()
    worker.erase = erase
    with pytest.raises(ClockSkew):
        worker.run_once()
    assert journal.calls[-1] == "skewed: -2.5"


def test_the_loop_retries_while_the_clock_is_wrong() -> None:
    """The role neither ends nor counts as ready; it commands again once the clock is right."""
    stop = Event()

    def erase() -> int:
        stop.set()
        raise ClockSkew(-2.5)

    journal = Journal(erased=[])
    worker = journal.worker()
    worker.erase = erase
    worker.run(stop)
    assert journal.calls[-2:] == ["skewed: -2.5", f"retried: ClockSkew: {ClockSkew(-2.5)}"]
