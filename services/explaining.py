"""Explaining: each holding that a set of events makes, with its window. Everything is known at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from services.policy.model import Policy
from services.policy.tagging import ClockKey, Holding, Tagged
from services.policy.windows import Window, window

State = Literal["open", "scheduled", "ended"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One holding with its window, and what it is at an instant."""

    event: Tagged
    holding: Holding
    window: Window
    state: State


def explain(
    events: Collection[Tagged], policy: Policy, now: datetime | None = None
) -> list[Explained]:
    """Every holding, sorted by event, purpose and subject; `now` (UTC) is the latest event's time
    unless given, and decides which have ended."""
    if now is None:
        now = max((event.time for event in events), default=datetime.min)
    anchors = Anchored(events)
    found = []
    for event in events:
        for holding in event.holdings:
            view = window(holding, event.time, anchors, policy)
            found.append(
                Explained(event=event, holding=holding, window=view, state=_state(view, now))
            )
    return sorted(
        found,
        key=lambda one: (
            one.event.id,
            one.holding.purpose,
            one.holding.subject,
            one.event.source,
            one.holding.rule,
        ),
    )


class Anchored:
    """Where each shared clock stands when a set of events is all that is known."""

    def __init__(self, events: Iterable[Tagged]) -> None:
        self._last: dict[ClockKey, tuple[tuple[datetime, str, str], str]] = {}
        for event in events:
            rank = (event.time, event.source, event.id)
            for move in event.moves:
                last = self._last.get(move.clock)
                if last is None or rank >= last[0]:
                    self._last[move.clock] = (rank, move.move)

    def __call__(self, clock: ClockKey) -> datetime | None:
        """The earlier end of the clock's own and its parent's, or nothing while both are open."""
        ends = [self._end(clock)]
        if clock.parent:
            ends.append(self._end(clock.parent))
        return min((end for end in ends if end), default=None)

    def _end(self, clock: ClockKey) -> datetime | None:
        rank, move = self._last.get(clock, (None, "start"))
        return rank[0] if rank and move == "end" else None


def _state(view: Window, now: datetime) -> State:
    if view.ends_at is None:
        return "open"
    return "ended" if view.ends_at <= now else "scheduled"
