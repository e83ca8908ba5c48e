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
from services.policy.calendar import start_of_date
from services.policy.model import Policy
from services.policy.retention_windows import Window, apply_legal_holds, compute_window
from services.policy.rule_ends import OPEN_CLOCK, ClockStanding
from services.policy.subject_state import EMPTY_STATE, PrivacyEvent, SubjectState, subject_state
from services.policy.tagged_event import ClockChange, ClockKey, Holding, TaggedEvent

HoldingState = Literal["open", "scheduled", "held", "ended", "test"]
"""`test`: its rule is in test, so its window is shown and nothing is commanded."""


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
    shown = policy.with_all_rules_active()
    explained = []
    for event in events:
        for holding in event.holdings:
            holding_window = compute_window(holding, event.time, facts, shown)
            commanded = compute_window(holding, event.time, facts, policy)
            is_in_test = policy.rules[commanded.holding.rule].is_in_test and not commanded.ends_at
            state = facts.subject_state(holding.subject)
            if not is_in_test:
                holding_window = commanded
            if state.holds:
                holding_window = apply_legal_holds(holding_window, event.id, state, policy)
            explained.append(
                ExplainedHolding(
                    event=event,
                    holding=holding_window.holding,
                    window=holding_window,
                    state="test"
                    if is_in_test
                    else holding_state(holding_window, event.id, state, now),
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
        self._zone = policy.controller.zone
        self._last_change: dict[ClockKey, tuple[tuple[datetime, str, str, bool], ClockChange]] = {}
        privacy_events: defaultdict[str, list[PrivacyEvent]] = defaultdict(list)
        for event in events:
            for change in event.clock_changes:
                sort_key = (event.time, event.source, event.id, change.move == "start")
                previous = self._last_change.get(change.clock)
                if previous is None or sort_key >= previous[0]:
                    self._last_change[change.clock] = (sort_key, change)
            if event.privacy_event:
                privacy_events[event.privacy_event.subject].append(event.privacy_event)
        self._states = {
            subject: subject_state(own_events, policy)
            for subject, own_events in privacy_events.items()
        }

    def standing(self, clock: ClockKey) -> ClockStanding:
        """Return the standing of a clock: the earlier of its own end and its parent's."""
        own = self._own_standing(clock)
        if clock.parent is None:
            return own
        parent = self._own_standing(clock.parent)
        ended = [standing for standing in (own, parent) if standing.ended_at]
        first = min(ended, key=lambda standing: standing.ended_at or datetime.max, default=own)
        return first._replace(has_begun=own.has_begun or bool(ended))

    def subject_state(self, subject: str) -> SubjectState:
        """Return the state of a data subject."""
        return self._states.get(subject, EMPTY_STATE)

    def _own_standing(self, clock: ClockKey) -> ClockStanding:
        if clock not in self._last_change:
            return OPEN_CLOCK
        (time, *_), change = self._last_change[clock]
        if change.move == "start":
            return ClockStanding(has_begun=True)
        ended_at = start_of_date(change.date, self._zone) if change.date else time
        return ClockStanding(ended_at, change.outcome, has_begun=True)


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
