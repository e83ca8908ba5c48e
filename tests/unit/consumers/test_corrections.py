"""The rounds of the rights role, played without bus and ledger."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Event
from typing import cast

import pytest
from sqlalchemy.exc import OperationalError

from consumers import corrections
from schemas.errors import RegistryUnavailable
from services.kafka.client import DeliveryFailed, KafkaUnavailable
from services.requests.responder import RequestResponder


@dataclass(slots=True)
class Rounds:
    """Raises once, and ends the play with its second round."""

    trouble: Exception
    stop: Event
    said: list[str] = field(default_factory=list)
    rounds: int = 0

    def run_once(self) -> int:
        self.rounds += 1
        if self.rounds == 1:
            raise self.trouble
        self.stop.set()
        return 0

    def heartbeat(self) -> None: ...

    def ready(self) -> None: ...

    def batch_retried(self, why: str) -> None:
        self.said.append(why)


@pytest.mark.parametrize(
    "trouble",
    [
        KafkaUnavailable("list topics", "no answer in time"),
        DeliveryFailed("t.v1", "no delivery report in time"),
        RegistryUnavailable(asked="schema 7", why="connection refused"),
        OperationalError("SELECT 1", {}, Exception("starting up")),
    ],
)
def test_what_passes_by_itself_is_said_and_tried_again(
    trouble: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A role that ended instead would leave requests unanswered until somebody looks."""
    monkeypatch.setattr(corrections, "_REST_SECONDS", 0)
    stop = Event()
    play = Rounds(trouble, stop)
    corrections.run_responder(cast(RequestResponder, play), lambda: None, play, stop, 0)
    assert play.rounds == 2
    assert [one.partition(":")[0] for one in play.said] == [type(trouble).__name__]
