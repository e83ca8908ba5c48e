"""Records that are alike are planned once, and each gets the plan that it would get alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from services.deleter import plan_cache
from services.deleter.plan_cache import CachingPlanner
from services.deleter.planning import due_obligations
from services.events.sample_events import sample_events
from services.policy.loader import load
from services.policy.obligation import Obligation
from services.policy.subject_state import EMPTY_STATE, SubjectState
from services.policy.tagged_event import ClockKey, TaggedEvent
from services.policy.tagging import tag

POLICY = load()
STARTED = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Facts:
    """Some retention clocks have ended, without privacy events."""

    ended: dict[str, datetime] = field(default_factory=dict)

    def anchor(self, clock: ClockKey) -> datetime | None:
        return self.ended.get(str(clock))

    def subject_state(self, subject: str) -> SubjectState:
        return EMPTY_STATE


def _sample() -> list[TaggedEvent]:
    events = sample_events(POLICY, STARTED, seed=1, companies=20)
    return [tag(event, POLICY) for event in events]


@pytest.mark.parametrize("years", [0, 1, 2, 3, 7, 9, 20, 30])
def test_a_cached_plan_gives_every_record_its_own_obligations(years: int) -> None:
    """Over all sample events, with every second clock ended, from now until everything is due."""
    now = STARTED + timedelta(days=366 * years)
    sample = _sample()
    clocks = sorted(
        {str(holding.clock) for tagged in sample for holding in tagged.holdings if holding.clock}
    )
    facts = _Facts({clock: STARTED + timedelta(hours=n) for n, clock in enumerate(clocks[::2])})
    planner = CachingPlanner(facts, POLICY, now)
    planned = [
        (
            planner.due_obligations(tagged, subject),
            due_obligations(tagged, subject, facts, POLICY, now),
        )
        for tagged in sample
        for subject in tagged.subjects
    ]
    assert [alike for alike, _ in planned] == [alone for _, alone in planned]
    assert any(alone for _, alone in planned)


def test_alike_records_are_planned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two invoices of one customer, a minute apart: the policy is read once."""
    asked = []

    def noted(*args: object) -> list[Obligation]:
        asked.append(args)
        return []

    monkeypatch.setattr(plan_cache, "due_obligations", noted)
    invoices = [sample for sample in _sample() if sample.type == "billing.invoice-issued"][:1] * 2
    planner = CachingPlanner(_Facts(), POLICY, STARTED)
    for invoice in invoices:
        planner.due_obligations(invoice, invoice.subjects[0])
    assert len(asked) == 1
