"""Summarise each system's outstanding and recent commands for the watch's page and metrics. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from schemas.cloudevents import format_rfc3339
from services.operations.watch.sightings import WatchedCommand

WINDOW = timedelta(minutes=5)
"""The time over which recent commands are counted."""
RETENTION = timedelta(hours=24)
"""How long a command is kept after its acknowledgement."""
LOST_AFTER = timedelta(days=14)
"""How long an unacknowledged command is kept after it was sent; its topic does not keep it longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentCounts:
    """The counts of one system within the window."""

    sent: float = 0
    answered: float = 0
    refused: float = 0
    failed: float = 0
    took_seconds: float = 0
    """The sum over all acknowledged commands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemSummary:
    """The state of one system."""

    outstanding: Mapping[str, int]
    """Commands without a final acknowledgement, by action."""
    failing: int
    """The number of those that the system has reported as failed so far."""
    oldest_seconds: float
    """Seconds since the oldest of those was sent; 0 if there is none."""
    recent: RecentCounts

    def as_json(self) -> dict[str, Any]:
        """Return what the page shows."""
        recent, seconds = self.recent, WINDOW.total_seconds()
        mean = recent.took_seconds / recent.answered if recent.answered else None
        return {
            "outstanding": sum(self.outstanding.values()),
            "outstanding_by_action": dict(sorted(self.outstanding.items())),
            "failing": self.failing,
            "oldest_outstanding_seconds": round(self.oldest_seconds, 3),
            "commands_per_second": round(recent.sent / seconds, 6),
            "answers_per_second": round(recent.answered / seconds, 6),
            "mean_answer_seconds": None if mean is None else round(mean, 3),
            "refused": int(recent.refused),
            "failed": int(recent.failed),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSummary:
    """The state of the systems, as far as one process of the watch sees it."""

    at: datetime
    partitions: tuple[int, ...]
    """The partitions that this process watches."""
    partition_count: int
    """The number of all partitions."""
    systems: Mapping[str, SystemSummary]

    def as_json(self) -> dict[str, Any]:
        """Return what the page shows."""
        return {
            "at": format_rfc3339(self.at),
            "partitions": list(self.partitions),
            "of_partitions": self.partition_count,
            "window_seconds": WINDOW.total_seconds(),
            "systems": {name: system.as_json() for name, system in sorted(self.systems.items())},
        }


def summarize(
    names: Iterable[str],
    watched: Iterable[WatchedCommand],
    recent: Mapping[str, RecentCounts],
    now: datetime,
) -> dict[str, SystemSummary]:
    """Return the state of each system at `now`, UTC, from its watched commands."""
    outstanding: defaultdict[str, list[WatchedCommand]] = defaultdict(list)
    for command in watched:
        if command.outstanding:
            outstanding[command.system].append(command)
    return {
        name: _system(outstanding[name], recent.get(name, RecentCounts()), now) for name in names
    }


def _system(
    outstanding: list[WatchedCommand], recent: RecentCounts, now: datetime
) -> SystemSummary:
    by_action: defaultdict[str, int] = defaultdict(int)
    for command in outstanding:
        by_action[str(command.action)] += 1
    oldest = min((command.sent_at for command in outstanding if command.sent_at), default=now)
    return SystemSummary(
        outstanding=dict(by_action),
        failing=sum(command.failed_at is not None for command in outstanding),
        oldest_seconds=max(0.0, (now - oldest).total_seconds()),
        recent=recent,
    )


def is_expired(watched: WatchedCommand, now: datetime) -> bool:
    """Whether a command may be dropped: acknowledged or sent too long ago."""
    if watched.answered_at is not None:
        return now - watched.answered_at > RETENTION
    last_sent_at = watched.sent_at or watched.failed_at
    return last_sent_at is not None and now - last_sent_at > LOST_AFTER
