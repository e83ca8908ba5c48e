"""The observer of the watch: metrics, logs, and the summary that its page shows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import structlog

from services.operations.health import LoopHealth
from services.operations.metrics import Metrics
from services.operations.watch.sightings import ObservationResult
from services.operations.watch.summary import WatchSummary

_SYSTEMS = "/systems"


@dataclass(slots=True, kw_only=True)
class WatchObserver:
    """Turns what the watch reports into metrics, log lines and the page."""

    metrics: Metrics
    log: structlog.typing.FilteringBoundLogger
    loop: LoopHealth
    _summary: WatchSummary | None = None
    _not_ready_reason: str | None = None

    def started(self, systems: Collection[str]) -> None:
        """Set what the watch will count about these systems to zero."""
        for system in systems:
            self.metrics.init("termijn_watch_commands_total", system=system)
            self.metrics.init("termijn_watch_answer_seconds", system=system)

    def unreadable(self, system: str, reason: str) -> None:
        """Count a message that was skipped: undecodable, or without a valid signature."""
        self.metrics.count("termijn_watch_unreadable_total", system=system, reason=reason)

    def observed(self, system: str, result: ObservationResult) -> None:
        """Count what was observed for the first time."""
        if "sent" in result.counted:
            self.metrics.count("termijn_watch_commands_total", system=system)
        if "answered" in result.counted:
            status = str(result.watched.status)
            self.metrics.count("termijn_watch_answers_total", system=system, status=status)
        if result.took_seconds is not None:
            self.metrics.observe("termijn_watch_answer_seconds", result.took_seconds, system=system)

    def summarized(self, summary: WatchSummary) -> None:
        """Set the metrics to the current summary, and keep it for the page."""
        self._summary = summary
        self.metrics.set("termijn_watch_partitions", len(summary.partitions))
        for name, value in (
            (
                "termijn_watch_outstanding",
                {(k,): float(sum(v.outstanding.values())) for k, v in summary.systems.items()},
            ),
            (
                "termijn_watch_failing",
                {(k,): float(v.failing) for k, v in summary.systems.items()},
            ),
            (
                "termijn_watch_oldest_outstanding_seconds",
                {(k,): v.oldest_seconds for k, v in summary.systems.items()},
            ),
        ):
            self.metrics.replace_labels(name, value)

    def ready(self) -> None:
        """Note that the watch works."""
        if self._not_ready_reason is not None:
            self._not_ready_reason = None
            self.log.info("resumed watching")
        self.loop.heartbeat()
        self.loop.mark_ready()

    def not_ready(self, why: str) -> None:
        """Note that the watch does not work at the moment, and why."""
        if self._not_ready_reason != why:
            self._not_ready_reason = why
            self.log.info("stopped watching", why=why)
        self.loop.mark_not_ready(why)

    def page(self, path: str) -> dict[str, Any] | None:
        """Return the page at a path: all systems, or one; None if there is no such page."""
        root, _, name = path.removeprefix("/").partition("/")
        if f"/{root}" != _SYSTEMS or self._summary is None:
            return None
        summary = self._summary.as_json()
        if not name:
            return summary
        system = summary["systems"].get(name)
        return None if system is None else {**summary, "systems": {name: system}}
