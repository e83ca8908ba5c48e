"""The tagger's observer: events tagged, by type and rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.operations.observers.base import ConsumerObserver


@dataclass(slots=True, kw_only=True)
class TaggerObserver(ConsumerObserver):
    """Turns what the tagger reports into metrics and log lines."""

    def tagged(self, event_type: str, rules: Sequence[str], events: int, at: datetime) -> None:
        """Count events of a type that were tagged at an instant, UTC; each has a holding by each rule."""
        self.metrics.count("termijn_events_tagged_total", events, type=event_type)
        for rule in rules:
            self.metrics.count("termijn_holdings_tagged_total", events, rule=rule)
        self.silent_since(at)

    def silent_since(self, at: datetime) -> None:
        """Note the instant, UTC, after which nothing was tagged."""
        self.metrics.set("termijn_last_tagged_timestamp_seconds", at.timestamp())
