"""What the watch sees becomes metrics, logs and the last outlook, which the web view shows."""

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
    """Whom the watch tells what it saw."""

    metrics: Metrics
    log: structlog.typing.FilteringBoundLogger
    loop: LoopHealth
    _summary: WatchSummary | None = None
    _not_ready_reason: str | None = None

    def started(self, systems: Collection[str]) -> None:
        """The watch has started: what it will count about these systems is zero until then."""
        for system in systems:
            self.metrics.init("termijn_watch_commands_total", system=system)
            self.metrics.init("termijn_watch_answer_seconds", system=system)

    def unreadable(self, system: str, reason: str) -> None:
        """A message that cannot be decoded, or that is not its sender's, was left out."""
        self.metrics.count("termijn_watch_unreadable_total", system=system, reason=reason)

    def observed(self, system: str, result: ObservationResult) -> None:
        """Something was seen for the first time."""
        if "sent" in result.counted:
            self.metrics.count("termijn_watch_commands_total", system=system)
        if "answered" in result.counted:
            status = str(result.watched.status)
            self.metrics.count("termijn_watch_answers_total", system=system, status=status)
        if result.took_seconds is not None:
            self.metrics.observe("termijn_watch_answer_seconds", result.took_seconds, system=system)

    def summarized(self, summary: WatchSummary) -> None:
        """How the systems fare now."""
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
        """It watches."""
        if self._not_ready_reason is not None:
            self._not_ready_reason = None
            self.log.info("watches again")
        self.loop.heartbeat()
        self.loop.mark_ready()

    def not_ready(self, why: str) -> None:
        """It does not watch at the moment."""
        if self._not_ready_reason != why:
            self._not_ready_reason = why
            self.log.info("does not watch", why=why)
        self.loop.mark_not_ready(why)

    def page(self, path: str) -> dict[str, Any] | None:
        """The web view of a path: all systems, or one; None where there is none."""
        root, _, name = path.removeprefix("/").partition("/")
        if f"/{root}" != _SYSTEMS or self._summary is None:
            return None
        summary = self._summary.as_json()
        if not name:
            return summary
        system = summary["systems"].get(name)
        return None if system is None else {**summary, "systems": {name: system}}
