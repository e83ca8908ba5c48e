"""The recorder's observer: what became rows of the ledger."""

from __future__ import annotations

from dataclasses import dataclass

from services.ledger.recording import RecordingResult
from services.operations.observers.base import ConsumerObserver


@dataclass(slots=True, kw_only=True)
class RecorderObserver(ConsumerObserver):
    """Turns what the recorder reports into metrics and log lines."""

    def recorded(self, result: RecordingResult) -> None:
        """Count what a batch recorded."""
        count = self.metrics.count
        count("termijn_events_recorded_total", result.new, outcome="new")
        count("termijn_events_recorded_total", result.duplicates, outcome="duplicate")
        count("termijn_activity_after_end_total", result.after_end)
        count("termijn_overdue_on_arrival_total", result.overdue)
