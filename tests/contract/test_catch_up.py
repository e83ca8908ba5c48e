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


def set_offset(ledger: Database, role: str, topic: str, next: int, **more: Any) -> None:
    """Record that the role has read a partition of the topic up to an offset."""
    advance = OffsetAdvance(log=partition_id(topic, **more), expected=None, next=next)
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


def test_an_empty_bus_hides_nothing(ledger: Database) -> None:
    """Nothing was published, nothing was read."""
    assert blind_spots(ledger, FakeBus(events=0)) == []


@pytest.mark.parametrize(("read", "seen"), [(11, ["tagger: events.v1[0]"]), (12, [])])
def test_what_the_tagger_has_not_read_is_a_blind_spot(
    ledger: Database, read: int, seen: list[str]
) -> None:
    """The last event may be a hold."""
    set_offset(ledger, "tagger", EVENTS, read)
    assert blind_spots(ledger, FakeBus(events=12)) == seen


def test_what_the_recorder_has_not_read_is_one_too(ledger: Database) -> None:
    """It is tagged, and not yet in the ledger."""
    set_offset(ledger, "tagger", EVENTS, 12)
    set_offset(ledger, "recorder", TAGGED, 6)
    assert blind_spots(ledger, FakeBus(events=12, tagged=7)) == ["recorder: tagged.v1[0]"]


def test_a_log_that_was_cut_short_is_not_read(ledger: Database) -> None:
    """What stands below the old position now may be something else."""
    set_offset(ledger, "tagger", EVENTS, 12)
    assert blind_spots(ledger, FakeBus(events=10)) == ["tagger: events.v1[0]"]


@pytest.mark.parametrize("events", [0, 5, 12])
def test_a_topic_made_anew_is_not_read(ledger: Database, events: int) -> None:
    """The position of the topic that was deleted says nothing of the new one, nor of what it lost."""
    set_offset(ledger, "tagger", EVENTS, 12)
    odd = ["tagger: events.v1[0]: it is not the log that was read before"]
    assert blind_spots(ledger, FakeBus(events=events, events_id="anew")) == odd


def test_another_cluster_is_not_read(ledger: Database) -> None:
    """Whoever looks at the wrong cluster, which is empty, must not take the right one for read."""
    set_offset(ledger, "tagger", EVENTS, 12, cluster="another")
    odd = ["tagger: events.v1[0]: it is not the log that was read before"]
    assert blind_spots(ledger, FakeBus(events=0)) == odd


def test_a_broker_in_memory_leaves_nothing_behind(ledger: Database) -> None:
    """Each start of the embedded broker is a cluster of its own, and the earlier ones are gone."""
    set_offset(ledger, "tagger", EVENTS, 12, cluster="embedded-1")
    assert blind_spots(ledger, FakeBus(events=0)) == []


@pytest.mark.parametrize(
    ("topic", "odd"),
    [
        (EVENTS, "tagger: events.v1: it is not there, or may not be seen"),
        (TAGGED, "recorder: tagged.v1: it is not there, or may not be seen"),
    ],
)
def test_a_topic_that_is_not_shown_is_not_empty(ledger: Database, topic: str, odd: str) -> None:
    """The policy names it, so there are events of it to be had."""
    assert blind_spots(ledger, FakeBus(events=0, unseen=[topic])) == [odd]


def test_a_partition_without_a_leader_is_not_empty(ledger: Database) -> None:
    """Nobody can tell how far it goes, nor read it; what was read of it is no answer."""
    set_offset(ledger, "tagger", EVENTS, 7, partition=1)
    odd = ["tagger: events.v1[1]: no leader tells how far it goes"]
    assert blind_spots(ledger, FakeBus(events=0, more={1: None})) == odd


def test_a_partition_that_was_read_and_is_not_shown_is_a_blind_spot(ledger: Database) -> None:
    """A topic loses none: the broker that was asked does not know of it, or not yet."""
    set_offset(ledger, "tagger", EVENTS, 7, partition=1)
    odd = ["tagger: events.v1[1]: the brokers do not show it"]
    assert blind_spots(ledger, FakeBus(events=0)) == odd


def test_a_partition_that_was_ever_shown_has_to_be_shown(ledger: Database) -> None:
    """Two brokers, and one of them does not know yet of the partitions that were added."""
    looking = catch_up_check(
        ledger, ChangingBus(FakeBus(events=0, more={1: 0}), FakeBus(events=0), FakeBus(events=0))
    )
    assert looking.lagging_partitions() == []
    assert looking.lagging_partitions() == ["tagger: events.v1[1]: the brokers do not show it"]


def test_a_partition_that_is_added_is_seen_at_once(ledger: Database) -> None:
    """Nobody has read it yet, and a hold may be the first thing on it."""
    set_offset(ledger, "tagger", EVENTS, 12)
    bus = FakeBus(events=12, more={1: 0})
    assert blind_spots(ledger, bus) == []
    assert blind_spots(ledger, FakeBus(events=12, more={1: 1})) == ["tagger: events.v1[1]"]


def test_a_leader_that_is_found_meanwhile_ends_the_waiting(ledger: Database) -> None:
    """What is odd is looked at again for as long as a round waits."""
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
            "tagger: events.v1: it is not there, or may not be seen",
        ),
    ],
    ids=["an end of before it", "the end of it", "no topic"],
)
def test_what_was_just_sent_has_to_be_read(ledger: Database, bus: FakeBus, odd: str) -> None:
    """The brokers said where it stands; whatever else they show, it goes at least so far."""
    set_offset(ledger, "tagger", EVENTS, 11)
    assert blind_spots(ledger, bus, {(EVENTS, 0): 12}) == [odd]


def test_what_was_just_sent_to_a_partition_that_is_not_shown_is_a_blind_spot(
    ledger: Database,
) -> None:
    """The producer knew of it, and the broker that was asked does not."""
    odd = ["tagger: events.v1[1]: the brokers do not show it"]
    assert blind_spots(ledger, FakeBus(events=0), {(EVENTS, 1): 1}) == odd


def test_a_gap_that_waits_blinds(ledger: Database) -> None:
    """What was lost unread may have been a hold; an operator has to say that it was not."""
    set_offset(ledger, "tagger", EVENTS, 12)
    gap = OffsetGap(role="tagger", log=partition_id(EVENTS), expected=3, low=9, high=12)
    with ledger.transaction() as connection:
        record_gap(connection, gap, NOW)
    assert blind_spots(ledger, FakeBus(events=12)) == ["tagger: events.v1[0]"]
