"""Explaining: each holding that a set of events makes, with its window. Everything is known at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from services.policy import rights_effects
from services.policy.model import Policy
from services.policy.retention_windows import Window, apply_legal_holds, compute_window
from services.policy.subject_state import EMPTY_STATE, PrivacyEvent, SubjectState, subject_state
from services.policy.tagging import ClockKey, Holding, TaggedEvent

HoldingState = Literal["open", "scheduled", "held", "ended"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedHolding:
    """One holding with its window, and what it is at an instant."""

    event: TaggedEvent
    holding: Holding
    window: Window
    state: HoldingState


def explain_events(
    events: Collection[TaggedEvent], policy: Policy, now: datetime | None = None
) -> list[ExplainedHolding]:
    """Every holding, sorted by event, purpose and subject; `now` (UTC) is the latest event's time
    unless given, and decides which have ended."""
    if now is None:
        now = max((event.time for event in events), default=datetime.min)
    facts = EventSetFacts(events, policy)
    found = []
    for event in events:
        for holding in event.holdings:
            view = compute_window(holding, event.time, facts, policy)
            own = facts.subject_state(holding.subject)
            if own.holds:
                view = apply_legal_holds(view, event.id, own, policy)
            found.append(
                ExplainedHolding(
                    event=event,
                    holding=view.holding,
                    window=view,
                    state=holding_state(view, event.id, own, now),
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


class EventSetFacts:
    """Where clocks and data subjects stand when a set of events is all that is known."""

    def __init__(self, events: Iterable[TaggedEvent], policy: Policy) -> None:
        self._last_change: dict[ClockKey, tuple[tuple[datetime, str, str, bool], str]] = {}
        acts: defaultdict[str, list[PrivacyEvent]] = defaultdict(list)
        for event in events:
            for move in event.clock_changes:
                rank = (event.time, event.source, event.id, move.move == "start")
                last = self._last_change.get(move.clock)
                if last is None or rank >= last[0]:
                    self._last_change[move.clock] = (rank, move.move)
            if event.privacy_event:
                acts[event.privacy_event.subject].append(event.privacy_event)
        self._states = {one: subject_state(those, policy) for one, those in acts.items()}

    def anchor(self, clock: ClockKey) -> datetime | None:
        """The earlier end of the clock's own and its parent's, or nothing while both are open."""
        ends = [self._end(clock)]
        if clock.parent:
            ends.append(self._end(clock.parent))
        return min((end for end in ends if end), default=None)

    def subject_state(self, subject: str) -> SubjectState:
        """Where a data subject stands."""
        return self._states.get(subject, EMPTY_STATE)

    def _end(self, clock: ClockKey) -> datetime | None:
        rank, move = self._last_change.get(clock, (None, "start"))
        return rank[0] if rank and move == "end" else None


def holding_state(window: Window, event: str, subject: SubjectState, now: datetime) -> HoldingState:
    """What a holding is at an instant, UTC: `event` is its event's id, `own` its subject's standing."""
    ends_at = window.ends_at
    held = rights_effects.is_under_legal_hold(now, event, subject)
    if held and (
        ends_at is None
        or ends_at > now
        or rights_effects.released_at(ends_at, event, subject) is None
    ):
        return "held"
    if ends_at is None:
        return "open"
    return "ended" if ends_at <= now else "scheduled"
