"""Events of one shape are planned once, and each gets the plan that it would get alone."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.events.ingestion_plan import IngestionPlanner, TaggedEventRow, build_plan
from services.policy import loader
from services.policy.tagging_error import TaggingFailed
from tests.contract.event_builders import arrival as plain_arrival
from tests.contract.event_builders import event
from tests.contract.retiring_policy import policy_retiring
from tests.effort import SLOW
from tests.oracle.clocks import Event
from tests.oracle.strategies import event_sets
from tests.oracle.strategies_rights import event_sets_with_rights

POLICY = loader.load()
PLANS = IngestionPlanner(policy=POLICY)
calm = settings(max_examples=60, deadline=None, suppress_health_check=SLOW)


def arrival(event: dict[str, Any]) -> TaggedEventRow:
    """Return the event as the recorder gets it: with decision fields as JSON has them."""
    arrival = plain_arrival(event, POLICY)
    deciding = json.loads(json.dumps(arrival.decision_fields))
    return replace(arrival, decision_fields=deciding)


@calm
@given(events=event_sets())
def test_the_cached_plan_of_a_business_event_is_that_of_the_event_alone(
    events: list[Event],
) -> None:
    """This holds for all fields, and at times that are hard for calendars."""
    for arrived in map(arrival, events):
        assert PLANS.plan_event(arrived) == PLANS.plan_event(arrived) == build_plan(arrived, POLICY)


@calm
@given(events=event_sets_with_rights())
def test_the_plan_of_a_privacy_event_is_that_of_the_event_alone(events: list[Event]) -> None:
    """Privacy events are not cached, whatever other events of their type were."""
    for arrived in map(arrival, events):
        assert PLANS.plan_event(arrived) == build_plan(arrived, POLICY)


@calm
@given(events=event_sets(shared_systems=()), data=st.data())
def test_the_cached_plan_respects_retirements(events: list[Event], data: st.DataObject) -> None:
    """A shape from before a retirement is another one from then on."""
    times = sorted({event["time"] for event in events}) or ["2024-01-01T00:00:00Z"]
    names = ("service_delivery", "internal_research", "crm", "accounting", "website")
    policy = policy_retiring({name: data.draw(st.sampled_from(times)) for name in names})
    plans = IngestionPlanner(policy=policy)
    for arrived in map(arrival, events):
        assert plans.plan_event(arrived) == plans.plan_event(arrived) == build_plan(arrived, policy)


def order(consumer: Any) -> TaggedEventRow:
    names = {"order_id": "o", "customer_id": "c", "consumer_id": "k"}
    tagged_event = arrival(event("o1", "orders.order-placed", "2024-01-01T00:00:00Z", **names))
    return replace(
        tagged_event, decision_fields={**tagged_event.decision_fields, "consumer_id": consumer}
    )


@pytest.mark.parametrize("consumer", ["", 7, "k" * 513, "a\0b", None, ["k"]])
def test_a_cached_plan_accepts_no_event_that_cannot_be_tagged(consumer: Any) -> None:
    """A missing, long or unprintable identifier, after a valid one of the same type."""
    PLANS.plan_event(order("k"))
    with pytest.raises(TaggingFailed):
        PLANS.plan_event(order(consumer))


@pytest.mark.parametrize("consumer", ["a/b", 'a"b', "Ünïcode", "a b", "o", "%s", "50%"])
def test_identifiers_with_special_characters_are_kept_unchanged(consumer: str) -> None:
    """Characters that are quoted in keys or in JSON, and values that another field has too."""
    PLANS.plan_event(order("k"))
    planned = PLANS.plan_event(order(consumer))
    assert planned == build_plan(order(consumer), POLICY)
    assert [record.subject for record in planned.records] == [f"consumer:{consumer}"]
