"""Explaining: each holding that a set of events makes, with its window. Everything is known at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from services.policy import rights_effects
from services.policy.model import Policy
from services.policy.retention_windows import Window, apply_legal_holds, window
from services.policy.subject_state import EMPTY_STATE, PrivacyEvent, SubjectState, subject_state
from services.policy.tagging import ClockKey, Holding, TaggedEvent

State = Literal["open", "scheduled", "held", "ended"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One holding with its window, and what it is at an instant."""

    event: TaggedEvent
    holding: Holding
    window: Window
    state: State


def explain(
    events: Collection[TaggedEvent], policy: Policy, now: datetime | None = None
) -> list[Explained]:
    """Every holding, sorted by event, purpose and subject; `now` (UTC) is the latest event's time
    unless given, and decides which have ended."""
    if now is None:
        now = max((event.time for event in events), default=datetime.min)
    facts = Known(events, policy)
    found = []
    for event in events:
        for holding in event.holdings:
            view = window(holding, event.time, facts, policy)
            own = facts.standing(holding.subject)
            if own.holds:
                view = apply_legal_holds(view, event.id, own, policy)
            found.append(
                Explained(
                    event=event,
                    holding=view.holding,
                    window=view,
                    state=state_of(view, event.id, own, now),
                )
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


class Known:
    """Where clocks and data subjects stand when a set of events is all that is known."""

    def __init__(self, events: Iterable[TaggedEvent], policy: Policy) -> None:
        self._last: dict[ClockKey, tuple[tuple[datetime, str, str, bool], str]] = {}
        acts: defaultdict[str, list[PrivacyEvent]] = defaultdict(list)
        for event in events:
            for move in event.moves:
                rank = (event.time, event.source, event.id, move.move == "start")
                last = self._last.get(move.clock)
                if last is None or rank >= last[0]:
                    self._last[move.clock] = (rank, move.move)
            if event.act:
                acts[event.act.subject].append(event.act)
        self._standing = {one: subject_state(those, policy) for one, those in acts.items()}

    def anchor(self, clock: ClockKey) -> datetime | None:
        """The earlier end of the clock's own and its parent's, or nothing while both are open."""
        ends = [self._end(clock)]
        if clock.parent:
            ends.append(self._end(clock.parent))
        return min((end for end in ends if end), default=None)

    def standing(self, subject: str) -> SubjectState:
        """Where a data subject stands."""
        return self._standing.get(subject, EMPTY_STATE)

    def _end(self, clock: ClockKey) -> datetime | None:
        rank, move = self._last.get(clock, (None, "start"))
        return rank[0] if rank and move == "end" else None


def state_of(view: Window, event: str, own: SubjectState, now: datetime) -> State:
    """What a holding is at an instant, UTC: `event` is its event's id, `own` its subject's standing."""
    ends_at = view.ends_at
    held = rights_effects.is_under_legal_hold(now, event, own)
    if held and (
        ends_at is None or ends_at > now or rights_effects.released_at(ends_at, event, own) is None
    ):
        return "held"
    if ends_at is None:
        return "open"
    return "ended" if ends_at <= now else "scheduled"
