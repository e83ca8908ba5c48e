"""Records of one plan are looked at once, and each gets the plan that it would get alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.cloudevents import CloudEvent
from services.deleter import due_obligations as due_module
from services.deleter.due_obligations import DueObligations
from services.deleter.planning import due_obligations
from services.events.sample_events import sample_events
from services.policy.loader import load
from services.policy.obligation import Obligation
from services.policy.plans import compile_policy
from services.policy.rule_ends import ClockStanding
from services.policy.subject_state import EMPTY_STATE, SubjectState
from services.policy.tagged_event import ClockKey, TaggedEvent
from services.policy.tagging import tag
from tests.contract.event_builders import parse_event
from tests.effort import SLOW, examples
from tests.oracle.strategies import instants_about
from tests.oracle.strategies_rights import event_sets_with_rights
from tests.unit.policy.random_facts import INSTANTS, facts_about

POLICY = load()
STARTED = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Facts:
    """Some retention clocks have ended, without privacy events."""

    ended: dict[str, datetime] = field(default_factory=dict)

    def standing(self, clock: ClockKey) -> ClockStanding:
        ended_at = self.ended.get(str(clock))
        return ClockStanding(ended_at, has_begun=ended_at is not None)

    def subject_state(self, subject: str) -> SubjectState:
        return EMPTY_STATE


def _sample() -> list[TaggedEvent]:
    return [compile_policy(POLICY).tag(event) for event in _sample_events()]


def _sample_events() -> list[CloudEvent]:
    return list(sample_events(POLICY, STARTED, seed=1, companies=20))


@pytest.mark.parametrize("years", [0, 1, 2, 3, 7, 9, 20, 30])
def test_every_record_gets_its_own_steps(years: int) -> None:
    """Over all sample events, with every second clock ended, from now until everything is due."""
    now = STARTED + timedelta(days=366 * years)
    sample = _sample()
    clocks = sorted(
        {str(clock) for tagged in sample for holding in tagged.holdings for clock in holding.clocks}
    )
    facts = _Facts({clock: STARTED + timedelta(hours=n) for n, clock in enumerate(clocks[::2])})
    due = DueObligations(facts, POLICY, now)
    steps = [
        (
            due.of_record(tagged, subject),
            due_obligations(tag(event, POLICY), subject, facts, POLICY, now),
        )
        for tagged, event in zip(sample, _sample_events(), strict=True)
        for subject in tagged.subjects
    ]
    assert [alike for alike, _ in steps] == [alone for _, alone in steps]
    assert any(alone for _, alone in steps)


@settings(max_examples=examples(60), deadline=None, suppress_health_check=SLOW)
@given(events=event_sets_with_rights(), data=st.data())
def test_records_of_one_plan_get_the_steps_that_each_gets_by_itself(
    events: list[dict[str, Any]], data: st.DataObject
) -> None:
    """With any ends of clocks and any privacy events, at any time."""
    cloud_events = [parse_event(event) for event in events]
    by_itself = [tag(event, POLICY) for event in cloud_events]
    facts = data.draw(facts_about(by_itself, POLICY))
    now = data.draw(INSTANTS | instants_about(events))
    due = DueObligations(facts, POLICY, now)
    for event, alone in zip(cloud_events, by_itself, strict=True):
        for subject in alone.subjects:
            expected = due_obligations(alone, subject, facts, POLICY, now)
            assert due.of_record(compile_policy(POLICY).tag(event), subject) == expected
            assert due.of_record(alone, subject) == expected


def test_alike_records_are_planned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two invoices of one customer, a minute apart: one look at the policy."""
    asked = []

    def noted(*given: object) -> list[Obligation]:
        asked.append(given)
        return []

    monkeypatch.setattr(due_module, "due_obligations", noted)
    invoices = [sample for sample in _sample() if sample.type == "billing.invoice-issued"][:1] * 2
    due = DueObligations(_Facts(), POLICY, STARTED)
    for invoice in invoices:
        due.of_record(invoice, invoice.subjects[0])
    assert len(asked) == 1
