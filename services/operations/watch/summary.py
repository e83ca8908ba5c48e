"""The outlook: how each system fares right now, from what is known of its commands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from schemas.cloudevents import format_rfc3339
from services.operations.watch.sightings import WatchedCommand

WINDOW = timedelta(minutes=5)
"""The time that rates are counted over."""
RETENTION = timedelta(hours=24)
"""So long after its answer a command is forgotten."""
LOST_AFTER = timedelta(days=14)
"""So long after it left one that nobody answered is forgotten: the log does not keep it longer either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentCounts:
    """What was counted at one system within the window."""

    sent: float = 0
    answered: float = 0
    refused: float = 0
    failed: float = 0
    took_seconds: float = 0
    """Of all that were answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemSummary:
    """How one system fares."""

    outstanding: Mapping[str, int]
    """Commands that it has still to answer, by action."""
    failing: int
    """Those of them of which it has said that they failed so far."""
    oldest_seconds: float
    """How long the oldest of them has been out; 0 where there is none."""
    recent: RecentCounts

    def as_json(self) -> dict[str, Any]:
        """As the web view shows it."""
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
    """How the systems fare, as far as one process of the watch sees it."""

    at: datetime
    partitions: tuple[int, ...]
    """The partitions that this process watches."""
    partition_count: int
    """How many there are."""
    systems: Mapping[str, SystemSummary]

    def as_json(self) -> dict[str, Any]:
        """As the web view shows it."""
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
    """How each of the systems fares now, UTC, from what is known of commands."""
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
    """Whether nothing more is to be known of a command."""
    if watched.answered_at is not None:
        return now - watched.answered_at > RETENTION
    last = watched.sent_at or watched.failed_at
    return last is not None and now - last > LOST_AFTER
