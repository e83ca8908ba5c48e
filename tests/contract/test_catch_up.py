"""The deleter checks that every message on the bus is recorded; in any doubt it claims nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest

from services.kafka.topic_state import TopicSnapshot
from services.ledger.catch_up import KafkaCatchUpCheck
from services.storage import offsets
from services.storage.database import Database
from services.storage.gaps import OffsetGap, record_gap
from services.storage.offsets import OffsetAdvance, PartitionId

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVENTS, TAGGED = "events.v1", "tagged.v1"


class FakeBus:
    """A bus of two topics with one partition each, unless given otherwise."""

    def __init__(
        self,
        *,
        events: int,
        tagged: int = 0,
        events_id: str = "id",
        more: Mapping[int, int | None] = MappingProxyType({}),
        unseen: Collection[str] = (),
    ) -> None:
        self.topics = {
            EVENTS: TopicSnapshot(topic_id=events_id, end_offsets={0: events, **more}),
            TAGGED: TopicSnapshot(topic_id="id", end_offsets={0: tagged}),
        }
        for topic in unseen:
            del self.topics[topic]

    def describe_topics(self, topics: Collection[str]) -> Mapping[str, TopicSnapshot]:
        """Return the topics that the broker shows."""
        return {topic: self.topics[topic] for topic in topics if topic in self.topics}


class ChangingBus:
    """A bus that shows a series of states, and stays with the last."""

    def __init__(self, *buses: FakeBus) -> None:
        self._left = list(buses)

    def describe_topics(self, topics: Collection[str]) -> Mapping[str, TopicSnapshot]:
        """Return the next state."""
        bus = self._left.pop(0) if len(self._left) > 1 else self._left[0]
        return bus.describe_topics(topics)


def partition_id(topic: str, partition: int = 0, cluster: str = "cluster") -> PartitionId:
    """Return a partition of a topic, with the ids that it had when it was read."""
    return PartitionId(cluster_id=cluster, topic=topic, topic_id="id", partition=partition)


def set_offset(ledger: Database, role: str, topic: str, next: int, **fields: Any) -> None:
    """Record that the role has read a partition of the topic up to an offset."""
    advance = OffsetAdvance(log=partition_id(topic, **fields), expected=None, next=next)
    with ledger.transaction() as connection:
        offsets.advance_offsets(connection, role, [advance])


def catch_up_check(ledger: Database, bus: FakeBus | ChangingBus) -> KafkaCatchUpCheck:
    """Return the check as the deleter has it."""
    return KafkaCatchUpCheck(
        ledger=ledger,
        bus=bus,
        cluster_id="cluster",
        business=[EVENTS],
        tagged=[TAGGED],
        sleep=lambda _: None,
        timeout=timedelta(milliseconds=60),
    )


def blind_spots(
    ledger: Database,
    bus: FakeBus | ChangingBus,
    sent: Mapping[tuple[str, int], int] = MappingProxyType({}),
) -> Sequence[str]:
    """Return the partitions that have not caught up."""
    return catch_up_check(ledger, bus).lagging_partitions(sent)


def test_an_empty_cluster_has_no_unread_events(ledger: Database) -> None:
    """Nothing was published, and nothing was read."""
    assert blind_spots(ledger, FakeBus(events=0)) == []


@pytest.mark.parametrize(("read", "seen"), [(11, ["tagger: events.v1[0]"]), (12, [])])
def test_events_that_the_tagger_has_not_read_stop_claims(
    ledger: Database, read: int, seen: list[str]
) -> None:
    """The last event may be a hold."""
    set_offset(ledger, "tagger", EVENTS, read)
    assert blind_spots(ledger, FakeBus(events=12)) == seen


def test_events_that_the_recorder_has_not_read_stop_claims_too(ledger: Database) -> None:
    """It is tagged, but not in the ledger yet."""
    set_offset(ledger, "tagger", EVENTS, 12)
    set_offset(ledger, "recorder", TAGGED, 6)
    assert blind_spots(ledger, FakeBus(events=12, tagged=7)) == ["recorder: tagged.v1[0]"]


def test_a_truncated_log_does_not_count_as_read(ledger: Database) -> None:
    """Below the old position there may now be other messages."""
    set_offset(ledger, "tagger", EVENTS, 12)
    assert blind_spots(ledger, FakeBus(events=10)) == ["tagger: events.v1[0]"]


@pytest.mark.parametrize("events", [0, 5, 12])
def test_a_recreated_topic_does_not_count_as_read(ledger: Database, events: int) -> None:
    """The deleted topic's position is not valid for the new topic, nor for what was lost."""
    set_offset(ledger, "tagger", EVENTS, 12)
    odd = ["tagger: events.v1[0]: its log is not the one that was read before"]
    assert blind_spots(ledger, FakeBus(events=events, events_id="anew")) == odd


def test_another_cluster_does_not_count_as_read(ledger: Database) -> None:
    """An empty cluster, configured by mistake, must not count as fully read."""
    set_offset(ledger, "tagger", EVENTS, 12, cluster="another")
    odd = ["tagger: events.v1[0]: its log is not the one that was read before"]
    assert blind_spots(ledger, FakeBus(events=0)) == odd


def test_a_restarted_embedded_broker_has_no_unread_events(ledger: Database) -> None:
    """Each start of the embedded broker is a new cluster, and the earlier ones are gone."""
    set_offset(ledger, "tagger", EVENTS, 12, cluster="embedded-1")
    assert blind_spots(ledger, FakeBus(events=0)) == []


@pytest.mark.parametrize(
    ("topic", "odd"),
    [
        (EVENTS, "tagger: events.v1: the topic does not exist, or this user may not see it"),
        (TAGGED, "recorder: tagged.v1: the topic does not exist, or this user may not see it"),
    ],
)
def test_a_topic_that_is_not_visible_does_not_count_as_empty(
    ledger: Database, topic: str, odd: str
) -> None:
    """The policy names it, so it may have events."""
    assert blind_spots(ledger, FakeBus(events=0, unseen=[topic])) == [odd]


def test_a_partition_without_a_leader_does_not_count_as_empty(ledger: Database) -> None:
    """Its end is unknown and it cannot be read, so an earlier position proves nothing."""
    set_offset(ledger, "tagger", EVENTS, 7, partition=1)
    odd = ["tagger: events.v1[1]: no leader reports its end"]
    assert blind_spots(ledger, FakeBus(events=0, more={1: None})) == odd


def test_a_partition_that_was_read_and_is_not_visible_stops_claims(ledger: Database) -> None:
    """A topic never loses partitions: the broker does not know this one, or not yet."""
    set_offset(ledger, "tagger", EVENTS, 7, partition=1)
    odd = ["tagger: events.v1[1]: the brokers do not show it"]
    assert blind_spots(ledger, FakeBus(events=0)) == odd


def test_a_partition_that_was_once_visible_must_be_visible(ledger: Database) -> None:
    """One of two brokers may not know yet of the partitions that were added."""
    looking = catch_up_check(
        ledger, ChangingBus(FakeBus(events=0, more={1: 0}), FakeBus(events=0), FakeBus(events=0))
    )
    assert looking.lagging_partitions() == []
    assert looking.lagging_partitions() == ["tagger: events.v1[1]: the brokers do not show it"]


def test_a_partition_that_is_added_is_seen_at_once(ledger: Database) -> None:
    """No role has read it yet, and its first message may be a hold."""
    set_offset(ledger, "tagger", EVENTS, 12)
    bus = FakeBus(events=12, more={1: 0})
    assert blind_spots(ledger, bus) == []
    assert blind_spots(ledger, FakeBus(events=12, more={1: 1})) == ["tagger: events.v1[1]"]


def test_a_leader_that_is_found_meanwhile_ends_the_waiting(ledger: Database) -> None:
    """A doubtful state is checked again for as long as a round waits."""
    set_offset(ledger, "tagger", EVENTS, 7, partition=1)
    leaderless, unseen = FakeBus(events=0, more={1: None}), FakeBus(events=0, unseen=[EVENTS])
    assert (
        blind_spots(ledger, ChangingBus(leaderless, unseen, FakeBus(events=0, more={1: 7}))) == []
    )


@pytest.mark.parametrize(
    ("bus", "odd"),
    [
        (FakeBus(events=0), "tagger: events.v1[0]"),
        (FakeBus(events=12), "tagger: events.v1[0]"),
        (
            FakeBus(events=0, unseen=[EVENTS]),
            "tagger: events.v1: the topic does not exist, or this user may not see it",
        ),
    ],
    ids=["an end of before it", "the end of it", "no topic"],
)
def test_a_message_that_was_just_sent_must_be_read(
    ledger: Database, bus: FakeBus, odd: str
) -> None:
    """The brokers acknowledged its offset, so the log reaches at least that far."""
    set_offset(ledger, "tagger", EVENTS, 11)
    assert blind_spots(ledger, bus, {(EVENTS, 0): 12}) == [odd]


def test_a_message_just_sent_to_an_invisible_partition_stops_claims(
    ledger: Database,
) -> None:
    """The producer knew the partition, and the broker that was asked does not."""
    odd = ["tagger: events.v1[1]: the brokers do not show it"]
    assert blind_spots(ledger, FakeBus(events=0), {(EVENTS, 1): 1}) == odd


def test_a_gap_that_is_not_accepted_stops_claims(ledger: Database) -> None:
    """The lost messages may include a hold; an operator has to decide that they do not."""
    set_offset(ledger, "tagger", EVENTS, 12)
    gap = OffsetGap(role="tagger", log=partition_id(EVENTS), expected=3, low=9, high=12)
    with ledger.transaction() as connection:
        record_gap(connection, gap, NOW)
    assert blind_spots(ledger, FakeBus(events=12)) == ["tagger: events.v1[0]"]
