"""Explain a set of events: each holding that they make, with its retention window and its state.

A holding is one event's data on one person, kept for one purpose. The set counts as complete: holds,
consents and clock changes in it apply to all of its events, whatever their order.
"""

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
from services.policy.tagged_event import ClockKey, Holding, TaggedEvent

HoldingState = Literal["open", "scheduled", "held", "ended"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedHolding:
    """A holding with its window and its state at an instant."""

    event: TaggedEvent
    holding: Holding
    window: Window
    state: HoldingState


def explain_events(
    events: Collection[TaggedEvent], policy: Policy, now: datetime | None = None
) -> list[ExplainedHolding]:
    """Return every holding of the events, sorted by event, purpose and subject.

    `now`, UTC, decides which of them have ended; by default it is the time of the latest event.
    """
    if now is None:
        now = max((event.time for event in events), default=datetime.min)
    facts = EventSetFacts(events, policy)
    explained = []
    for event in events:
        for holding in event.holdings:
            holding_window = compute_window(holding, event.time, facts, policy)
            state = facts.subject_state(holding.subject)
            if state.holds:
                holding_window = apply_legal_holds(holding_window, event.id, state, policy)
            explained.append(
                ExplainedHolding(
                    event=event,
                    holding=holding_window.holding,
                    window=holding_window,
                    state=holding_state(holding_window, event.id, state, now),
                )
            )
    return sorted(
        explained,
        key=lambda item: (
            item.event.id,
            item.holding.purpose,
            item.holding.subject,
            item.event.source,
            item.holding.rule,
        ),
    )


class EventSetFacts:
    """The ends of clocks and the states of data subjects that follow from a set of events alone."""

    def __init__(self, events: Iterable[TaggedEvent], policy: Policy) -> None:
        self._last_change: dict[ClockKey, tuple[tuple[datetime, str, str, bool], str]] = {}
        privacy_events: defaultdict[str, list[PrivacyEvent]] = defaultdict(list)
        for event in events:
            for change in event.clock_changes:
                sort_key = (event.time, event.source, event.id, change.move == "start")
                previous = self._last_change.get(change.clock)
                if previous is None or sort_key >= previous[0]:
                    self._last_change[change.clock] = (sort_key, change.move)
            if event.privacy_event:
                privacy_events[event.privacy_event.subject].append(event.privacy_event)
        self._states = {
            subject: subject_state(own_events, policy)
            for subject, own_events in privacy_events.items()
        }

    def anchor(self, clock: ClockKey) -> datetime | None:
        """Return the earlier end of a clock and its parent, UTC; None while both are open."""
        ends = [self._end(clock)]
        if clock.parent:
            ends.append(self._end(clock.parent))
        return min((end for end in ends if end), default=None)

    def subject_state(self, subject: str) -> SubjectState:
        """Return the state of a data subject."""
        return self._states.get(subject, EMPTY_STATE)

    def _end(self, clock: ClockKey) -> datetime | None:
        rank, move = self._last_change.get(clock, (None, "start"))
        return rank[0] if rank and move == "end" else None


def holding_state(window: Window, event: str, subject: SubjectState, now: datetime) -> HoldingState:
    """Return the state of a holding at an instant, UTC.

    `event` is the id of its event, `subject` the state of its data subject.
    """
    ends_at = window.ends_at
    is_held = rights_effects.is_under_legal_hold(now, event, subject)
    if is_held and (
        ends_at is None
        or ends_at > now
        or rights_effects.released_at(ends_at, event, subject) is None
    ):
        return "held"
    if ends_at is None:
        return "open"
    return "ended" if ends_at <= now else "scheduled"
