"""Events of one shape are planned once, and each gets the plan that it would get alone."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.events.incoming_event import (
    IncomingClockChange,
    IncomingEvent,
    IncomingRecord,
    TaggedEventRow,
    build_incoming_event,
)
from services.policy import loader
from services.policy.check_times import clocks_of, event_check_times
from services.policy.decision_fields import encode_decision_fields
from services.policy.event_type import ProvenanceReport
from services.policy.ids import clock_ref_of, event_id, record_id
from services.policy.model import Policy
from services.policy.plans import CompiledPolicy
from services.policy.tagged_event import TaggedEvent
from services.policy.tagging import tag
from services.policy.tagging_error import TaggingFailed
from tests.contract.event_builders import arrival as plain_arrival
from tests.contract.event_builders import event
from tests.contract.retiring_policy import policy_retiring
from tests.effort import SLOW
from tests.oracle.clocks import Event
from tests.oracle.strategies import event_sets
from tests.oracle.strategies_rights import event_sets_with_rights

POLICY = loader.load()
COMPILED = CompiledPolicy(policy=POLICY)
calm = settings(max_examples=60, deadline=None, suppress_health_check=SLOW)


def arrival(event: dict[str, Any]) -> TaggedEventRow:
    """Return the event as the recorder gets it: with decision fields as JSON has them."""
    arrival = plain_arrival(event, POLICY)
    deciding = json.loads(json.dumps(arrival.decision_fields))
    return replace(arrival, decision_fields=deciding)


def plan_alone(arrived: TaggedEventRow, policy: Policy) -> IncomingEvent:
    """Return what an event becomes in the ledger, without the plan of its shape."""
    tagged = tag(arrived, policy)
    event = event_id(arrived.type, arrived.source, arrived.id)
    return IncomingEvent(
        row=arrived,
        event_id=event,
        decision_json=encode_decision_fields(tagged.decision_fields),
        subject=tagged.subject,
        records=[
            IncomingRecord(
                record_id=record_id(event, arrived.source, arrived.id, subject),
                subject=subject,
                clocks=[clock_ref_of(clock) for clock in clocks_of(tagged, subject, policy)],
                next_check_at=min(event_check_times(tagged, subject, policy), default=None),
            )
            for subject in tagged.subjects
        ],
        clock_changes=[
            IncomingClockChange(clock_ref_of(change.clock), change.move)
            for change in tagged.clock_changes
        ],
        privacy_event=tagged.privacy_event,
        provenance=reported(tagged),
    )


def reported(tagged: TaggedEvent) -> ProvenanceReport | None:
    """Return what an event reports about where data comes from, by the catalogue."""
    if tagged.type == "acquisition.lead-acquired":
        own_word = ("fair", "trade fair", "website", "phone", "visit")
        return None if tagged.decision_fields["source"] in own_word else "obtained"
    if tagged.type == "acquisition.lead-contacted":
        return "contacted"
    return "informed" if tagged.type == "acquisition.prospect-informed" else None


@calm
@given(events=event_sets())
def test_the_cached_plan_of_a_business_event_is_that_of_the_event_alone(
    events: list[Event],
) -> None:
    """This holds for all fields, and at times that are hard for calendars."""
    for arrived in map(arrival, (*events, *events)):
        assert build_incoming_event(arrived, COMPILED) == plan_alone(arrived, POLICY)


@calm
@given(events=event_sets_with_rights())
def test_the_plan_of_a_privacy_event_is_that_of_the_event_alone(events: list[Event]) -> None:
    """Privacy events are not cached, whatever other events of their type were."""
    for arrived in map(arrival, (*events, *events)):
        assert build_incoming_event(arrived, COMPILED) == plan_alone(arrived, POLICY)


@calm
@given(events=event_sets(shared_systems=()), data=st.data())
def test_the_cached_plan_respects_retirements(events: list[Event], data: st.DataObject) -> None:
    """A shape from before a retirement is another one from then on."""
    times = sorted({event["time"] for event in events}) or ["2024-01-01T00:00:00Z"]
    names = ("service_delivery", "internal_research", "crm", "accounting", "website")
    policy = policy_retiring({name: data.draw(st.sampled_from(times)) for name in names})
    compiled = CompiledPolicy(policy=policy)
    for arrived in map(arrival, (*events, *events)):
        assert build_incoming_event(arrived, compiled) == plan_alone(arrived, policy)


def order(consumer: Any) -> TaggedEventRow:
    names = {"order_id": "o", "customer_id": "c", "consumer_id": "k"}
    tagged_event = arrival(event("o1", "orders.order-placed", "2024-01-01T00:00:00Z", **names))
    return replace(
        tagged_event, decision_fields={**tagged_event.decision_fields, "consumer_id": consumer}
    )


@pytest.mark.parametrize("consumer", ["", 7, "k" * 513, "a\0b", None, ["k"]])
def test_a_cached_plan_accepts_no_event_that_cannot_be_tagged(consumer: Any) -> None:
    """A missing, long or unprintable identifier, after a valid one of the same type."""
    build_incoming_event(order("k"), COMPILED)
    with pytest.raises(TaggingFailed):
        build_incoming_event(order(consumer), COMPILED)


@pytest.mark.parametrize("consumer", ["a/b", 'a"b', "Ünïcode", "a b", "o", "%s", "50%"])
def test_identifiers_with_special_characters_are_kept_unchanged(consumer: str) -> None:
    """Characters that are quoted in keys or in JSON, and values that another field has too."""
    build_incoming_event(order("k"), COMPILED)
    planned = build_incoming_event(order(consumer), COMPILED)
    assert planned == plan_alone(order(consumer), POLICY)
    assert [record.subject for record in planned.records] == [f"consumer:{consumer}"]
