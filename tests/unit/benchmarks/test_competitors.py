"""The tagger's rivals: what they give must be what the tagger gives, else nothing is compared."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from schemas.cloudevents import to_headers
from schemas.codec import Codec
from schemas.schema_files import load as load_schemas
from schemas.topics import business_topic
from services.events.sample_events import sample_events
from services.events.tagger import EventTagger
from services.kafka.record_metadata import RecordMetadata
from services.policy.loader import load
from tests.benchmarks.competitors import check_same
from tests.benchmarks.engines.job import PlainTagger
from tests.benchmarks.figures import ResultsDiffer

TAGGED = frozenset({(b"customer:C1", b"1"), (b"customer:C2", b"2")})


def test_equal_results_may_be_compared() -> None:
    """Their order does not count, nor does a repetition."""
    check_same(TAGGED, frozenset([*TAGGED, *TAGGED]), "x")


@pytest.mark.parametrize(
    ("theirs", "why"),
    [
        ([(b"customer:C1", b"1")], "x: 1 of 2 tagged events are missing, 0 are others"),
        (
            [(b"customer:C1", b"1"), (b"customer:C2", b"3")],
            "x: 1 of 2 tagged events are missing, 1 are others",
        ),
        ([*TAGGED, (b"customer:C3", b"3")], "x: 0 of 2 tagged events are missing, 1 are others"),
    ],
)
def test_different_results_are_not_compared(theirs: list[tuple[bytes, bytes]], why: str) -> None:
    """One too few, another value, one too many."""
    with pytest.raises(ResultsDiffer, match=why):
        check_same(TAGGED, frozenset(theirs), "x")


def test_written_plainly_the_job_gives_the_same_messages() -> None:
    """Of events of every type; otherwise the peers would do another job."""
    policy, now = load(), datetime.now(UTC)
    topics = {topic.name: topic for topic in map(business_topic, policy.events)}
    codec = Codec(load_schemas())
    tagger = EventTagger(policy=policy, codec=codec, topics=topics)
    plain = PlainTagger(tagger)
    events = list(sample_events(policy, now, seed=3, companies=4))
    assert len({event.type for event in events}) > 30
    for offset, event in enumerate(events):
        topic = business_topic(event.type)
        place = RecordMetadata(topic.name, 0, offset)
        body = codec.encode(topic, event.data)
        message = tagger.tag_message(place, to_headers(event), body, now)
        assert plain.tag_message(place, to_headers(event), body, now) == message
