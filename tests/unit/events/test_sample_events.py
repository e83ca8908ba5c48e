"""The sample history: of every type, true to the policy and the schemas, and some of it due soon."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from schemas.cloudevents import CloudEvent, parse_structured
from schemas.codec import Codec
from schemas.schema_files import load as load_schemas
from schemas.topics import business_topic
from services.events.sample_events import sample_events
from services.policy import loader
from services.policy.explain import explain_events
from services.policy.tagging import tag

POLICY = loader.load()
NOW = datetime(2026, 3, 15, 13, tzinfo=UTC)
EVENTS = list(sample_events(POLICY, NOW, seed=7, companies=12))


def test_sample_events_have_every_event_type_of_the_policy() -> None:
    """`termijn up --sample` shows everything that the policy knows."""
    assert sorted({event.type for event in EVENTS}) == sorted(POLICY.events)


def test_all_sample_events_can_be_tagged_and_have_a_partition() -> None:
    """No sample event becomes a dead letter."""
    assert all(tag(event, POLICY).message_key for event in EVENTS)


def test_all_sample_events_are_encoded_and_decoded() -> None:
    """Their decision fields are unchanged."""
    codec = Codec(load_schemas())
    for event in EVENTS:
        topic = business_topic(event.type)
        data = codec.decode(topic, codec.encode(topic, event.data))
        back = CloudEvent(
            id=event.id, source=event.source, type=event.type, time=event.time, data=data
        )
        assert tag(back, POLICY).decision_fields == tag(event, POLICY).decision_fields


def test_sample_events_are_in_order_and_not_later_than_now() -> None:
    """Events are things that have happened."""
    times = [event.time for event in EVENTS]
    assert times == sorted(times)
    assert times[-1] <= NOW


def test_no_two_sample_events_have_one_identity() -> None:
    """Identities differ within a history, and between one history and the next."""
    other_events = list(sample_events(POLICY, NOW, seed=8, companies=2))
    ids = Counter((event.source, event.id) for event in [*EVENTS, *other_events])
    assert max(ids.values()) == 1
    first, second = (
        {tag(event, POLICY).subject for event in events} - {None}
        for events in (EVENTS, other_events)
    )
    assert not first & second


def test_the_same_seed_gives_the_same_sample_events() -> None:
    """A result can be reproduced."""
    assert list(sample_events(POLICY, NOW, seed=7, companies=12)) == EVENTS


def test_some_sample_records_are_due_within_two_minutes() -> None:
    """Others are not, so that a trial shows both."""
    states: Counter[str] = Counter()
    for holding in explain_events([tag(event, POLICY) for event in EVENTS], POLICY, NOW):
        ends = holding.window.ends_at
        soon = ends is not None and NOW < ends <= NOW + timedelta(minutes=2)
        states["soon" if soon else holding.state] += 1
    assert states["soon"] >= 20
    assert states["open"] + states["scheduled"] >= 20


@pytest.mark.parametrize(
    "now", ["2024-02-29T12:00:00Z", "2025-03-30T01:30:00Z", "2025-10-26T00:30:00Z"]
)
def test_sample_events_can_be_made_on_any_day(now: str) -> None:
    """A leap day, and the hours that clocks skip and repeat."""
    at = parse_structured(
        f'{{"id": "1", "source": "s", "type": "t", "time": "{now}", "data": {{}}}}'
    ).time
    events = list(sample_events(POLICY, at, seed=1, companies=4))
    assert all(tag(event, POLICY).message_key and event.time <= at for event in events)
