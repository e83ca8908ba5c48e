"""The work of a deleter process in its order: command erasures, sign the evidence, purge the ledger.

Sealing and purging belong to `services.evidence`, a room above this one, and are passed as callables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import Protocol

from services.deleter.transactions import ClockSkew
from services.kafka.error_classification import RETRYABLE_ERRORS
from services.kafka.role_loop import LoopObserver, run_loop


class WorkerObserver(LoopObserver, Protocol):
    """Receives how the deleter's process is doing: metrics, health and logs."""

    def clock_skewed(self, seconds: float) -> None:
        """This machine's clock is so many seconds ahead of the database's; nothing was commanded."""


@dataclass(slots=True, kw_only=True)
class DeleterWorker:
    """Decides the order of a deleter process's work; erasing comes before sealing and purging."""

    erase: Callable[[], int]
    """Run the deleter once: claim, dispatch, verify; returns how much it handled."""
    seal: Callable[[], int]
    """Append pending entries to the evidence log; returns how many."""
    seal_if_due: Callable[[], int | None]
    """The same, at most every so many seconds; None if it was not due."""
    purge_if_due: Callable[[], object]
    """Purge from the ledger persons whose proof term is over, at most every so many seconds."""
    measure_if_due: Callable[[], object]
    """Measure the ledger, at most every so many seconds."""
    forecast_if_due: Callable[[], object]
    """Forecast what becomes due, once a day; checked at most every so many seconds."""
    activate_if_due: Callable[[], object]
    """Activate the scheduled policy if its day has come; checked at most every so many seconds."""
    observer: WorkerObserver
    idle_seconds: float
    """How long to wait after a run with nothing to do."""
    _erased: int = 0
    _sealed: int = 0

    def run(self, stop: Event) -> None:
        """Run until `stop` is set; temporary failures are retried."""
        run_loop(self.run_once, self.observer, stop, retryable=(*RETRYABLE_ERRORS, ClockSkew))

    def run_once(self) -> float:
        """Do each kind of work once, and return how many seconds to wait before the next run.

        1. Activate the scheduled policy, measure, and forecast, if it is due: a claim is compared with the
           forecast.
        2. If the last run erased something, more is probably waiting to be erased: seal only if it is due.
           Otherwise seal what is pending, without a pause while there is more, and purge if that is due.
        3. Erase.

        Raises:
            ClockSkew: the clocks of this machine and of the database differ; nothing was commanded.
        """
        # Step 1: activate, measure and forecast.
        self.activate_if_due()
        self.measure_if_due()
        self.forecast_if_due()
        # Step 2: seal and purge.
        has_erased, has_sealed = self._erased > 0, self._sealed > 0
        self._sealed = (self.seal() if has_sealed and not has_erased else self.seal_if_due()) or 0
        if not has_erased:
            self.purge_if_due()
        # Step 3: erase.
        try:
            self._erased = self.erase()
        except ClockSkew as cause:
            self.observer.clock_skewed(cause.seconds)
            raise
        return 0.0 if self._erased or self._sealed else self.idle_seconds
