"""Random facts about events: which clocks have ended, and which privacy events count."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from hypothesis import strategies as st

from services.policy.check_times import clocks_of
from services.policy.model import Policy
from services.policy.rule_ends import OPEN_CLOCK, ClockStanding
from services.policy.subject_state import EMPTY_STATE, PrivacyEvent, SubjectState, subject_state
from services.policy.tagged_event import ClockKey, TaggedEvent

INSTANTS = st.datetimes(datetime(2019, 1, 1), datetime(2050, 1, 1), timezones=st.just(UTC))
STANDINGS = st.sampled_from([OPEN_CLOCK, ClockStanding(has_begun=True)]) | st.builds(
    ClockStanding, INSTANTS, st.sampled_from([None, "good", "bad"]), st.just(True)
)
"""Open clocks, with or without a change, and ended ones with any outcome."""


@dataclass(frozen=True, slots=True)
class FactsAbout:
    """The ends of clocks, and the states of subjects."""

    ended: Mapping[ClockKey, ClockStanding]
    states: Mapping[str, SubjectState]

    def standing(self, clock: ClockKey) -> ClockStanding:
        return self.ended.get(clock, OPEN_CLOCK)

    def subject_state(self, subject: str) -> SubjectState:
        return self.states.get(subject, EMPTY_STATE)


@st.composite
def facts_about(draw: st.DrawFn, events: list[TaggedEvent], policy: Policy) -> FactsAbout:
    """Return facts in which some clocks have ended, and some subjects' privacy events count."""
    clocks = {
        clock
        for event in events
        for subject in event.subjects
        for clock in clocks_of(event, subject, policy)
    }
    standings = {clock: draw(STANDINGS) for clock in sorted(clocks, key=str)}
    privacy_events: defaultdict[str, list[PrivacyEvent]] = defaultdict(list)
    for event in events:
        if event.privacy_event:
            privacy_events[event.privacy_event.subject].append(event.privacy_event)
    states = {
        subject: subject_state(subject_events, policy)
        for subject, subject_events in privacy_events.items()
        if draw(st.booleans())
    }
    return FactsAbout(standings, states)
