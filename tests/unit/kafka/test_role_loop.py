"""The loop of a role, without Kafka and ledger."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Event

import pytest
from sqlalchemy.exc import OperationalError

from schemas.errors import RegistryUnavailable
from services.kafka.errors import DeliveryFailed, KafkaUnavailable
from services.kafka.role_loop import run_loop


@dataclass(slots=True)
class FailingOnce:
    """Work whose first run fails, and whose second run stops the loop."""

    trouble: Exception
    stop: Event
    reports: list[str] = field(default_factory=list)
    runs: int = 0

    def run_once(self) -> float:
        self.runs += 1
        if self.runs == 1:
            raise self.trouble
        self.stop.set()
        return 0.0

    def heartbeat(self) -> None:
        self.reports.append("heartbeat")

    def ready(self) -> None:
        self.reports.append("ready")

    def batch_retried(self, why: str) -> None:
        self.reports.append(why.partition(":")[0])


@pytest.mark.parametrize(
    "trouble",
    [
        KafkaUnavailable("list topics", "no response in time"),
        DeliveryFailed("t.v1", "no delivery report in time"),
        RegistryUnavailable(request="schema 7", why="connection refused"),
        OperationalError("SELECT 1", {}, Exception("starting up")),
    ],
)
def test_a_passing_error_is_reported_and_retried(trouble: Exception) -> None:
    """A role that ended instead would leave requests unanswered until an operator acts."""
    work = FailingOnce(trouble, Event())
    run_loop(work.run_once, work, work.stop, retry_seconds=0)
    assert work.runs == 2
    assert work.reports == [type(trouble).__name__, "heartbeat", "ready"]


def test_any_other_error_ends_the_loop() -> None:
    """A fault that would come back at every run is not repeated without end."""
    work = FailingOnce(ValueError("a fault"), Event())
    with pytest.raises(ValueError, match="a fault"):
        run_loop(work.run_once, work, work.stop, retry_seconds=0)
    assert (work.runs, work.reports) == (1, [])
