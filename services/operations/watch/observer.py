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
    _last: WatchSummary | None = None
    _hindered: str | None = None

    def began(self, systems: Collection[str]) -> None:
        """The watch has started: what it will count about these systems is zero until then."""
        for system in systems:
            self.metrics.begin("termijn_watch_commands_total", system=system)
            self.metrics.begin("termijn_watch_answer_seconds", system=system)

    def unreadable(self, system: str, reason: str) -> None:
        """A message that cannot be decoded, or that is not its sender's, was left out."""
        self.metrics.count("termijn_watch_unreadable_total", system=system, reason=reason)

    def seen(self, system: str, met: ObservationResult) -> None:
        """Something was seen for the first time."""
        if "sent" in met.counted:
            self.metrics.count("termijn_watch_commands_total", system=system)
        if "answered" in met.counted:
            status = str(met.watched.status)
            self.metrics.count("termijn_watch_answers_total", system=system, status=status)
        if met.took_seconds is not None:
            self.metrics.observe("termijn_watch_answer_seconds", met.took_seconds, system=system)

    def looked(self, outlook: WatchSummary) -> None:
        """How the systems fare now."""
        self._last = outlook
        self.metrics.set("termijn_watch_partitions", len(outlook.parts))
        for name, value in (
            (
                "termijn_watch_outstanding",
                {(k,): float(sum(v.outstanding.values())) for k, v in outlook.systems.items()},
            ),
            (
                "termijn_watch_failing",
                {(k,): float(v.failing) for k, v in outlook.systems.items()},
            ),
            (
                "termijn_watch_oldest_outstanding_seconds",
                {(k,): v.oldest_seconds for k, v in outlook.systems.items()},
            ),
        ):
            self.metrics.replace(name, value)

    def able(self) -> None:
        """It watches."""
        if self._hindered is not None:
            self._hindered = None
            self.log.info("watches again")
        self.loop.went_round()
        self.loop.able()

    def hindered(self, why: str) -> None:
        """It does not watch at the moment."""
        if self._hindered != why:
            self._hindered = why
            self.log.info("does not watch", why=why)
        self.loop.hindered(why)

    def view(self, path: str) -> dict[str, Any] | None:
        """The web view of a path: all systems, or one; None where there is none."""
        root, _, name = path.removeprefix("/").partition("/")
        if f"/{root}" != _SYSTEMS or self._last is None:
            return None
        told = self._last.told()
        if not name:
            return told
        system = told["systems"].get(name)
        return None if system is None else {**told, "systems": {name: system}}
