"""The loop of a role: run its work again and again, and retry after temporary failures."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Final, Protocol

from services.kafka.error_classification import RETRYABLE_ERRORS
from services.storage.database import describe_error

RETRY_SECONDS: Final = 1.0
"""How long a role waits after a run that failed."""


class LoopObserver(Protocol):
    """Receives how the loop of a role is doing: metrics, health and logs."""

    def heartbeat(self) -> None:
        """The loop is alive."""

    def ready(self) -> None:
        """The role reaches everything that it depends on."""

    def batch_retried(self, reason: str) -> None:
        """A run or a batch failed and will be retried."""


def run_loop(
    run_once: Callable[[], float],
    observer: LoopObserver,
    stop: Event,
    *,
    retryable: tuple[type[Exception], ...] = RETRYABLE_ERRORS,
    retry_seconds: float = RETRY_SECONDS,
) -> None:
    """Run `run_once` until `stop` is set; it returns how many seconds to wait before the next run.

    An error of the `retryable` classes is reported, and the run is repeated after `retry_seconds`.

    Raises:
        Any other error of `run_once`.
    """
    while not stop.is_set():
        try:
            idle_seconds = run_once()
        except retryable as cause:
            observer.batch_retried(describe_error(cause))
            stop.wait(retry_seconds)
        else:
            observer.heartbeat()
            observer.ready()
            if idle_seconds:
                stop.wait(idle_seconds)
