"""Whatever brokers show or hide, no unread message counts as read: a state machine of the bus.

Two topics with partitions that are created, fill and are read; brokers that for a while do not show a
topic or a partition, or have no leader for one; a deleter that restarts. The true state is kept by hand
here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.kafka.topic_state import Partition, TopicSnapshot
from services.ledger.catch_up import KafkaCatchUpCheck
from services.storage import offsets
from services.storage.database import Database
from services.storage.offsets import OffsetAdvance, PartitionId
from tests.contract.ledgers import empty_database
from tests.effort import play

EVENTS, TAGGED = "events.v1", "tagged.v1"
ROLES = {EVENTS: "tagger", TAGGED: "recorder"}
topics = st.sampled_from([EVENTS, TAGGED])
partitions = st.integers(0, 2)


class CatchUpMachine(RuleBasedStateMachine):
    """A bus, the two roles that read it, and a deleter that checks both."""

    def __init__(self, ledger: Database) -> None:
        super().__init__()
        self.ledger = empty_database(ledger)
        self.ends: Counter[Partition] = Counter({(EVENTS, 0): 0, (TAGGED, 0): 0})
        """How far each partition goes that there is."""
        self.read: Counter[Partition] = Counter()
        self.unseen: set[str] = set()
        self.hidden: set[Partition] = set()
        self.leaderless: set[Partition] = set()
        self.known: set[Partition] = set()
        """What the deleter cannot but know of: what was shown to it, and what was read."""
        self.start_anew()

    def describe_topics(self, topics: Collection[str]) -> Mapping[str, TopicSnapshot]:
        """Return what the brokers show at this moment."""
        snapshots: dict[str, TopicSnapshot] = {}
        for topic in set(topics) - self.unseen:
            partitions = [
                partition
                for partition in self.ends
                if partition[0] == topic and partition not in self.hidden
            ]
            self.known |= set(partitions)
            ends = {
                partition[1]: None if partition in self.leaderless else self.ends[partition]
                for partition in partitions
            }
            snapshots[topic] = TopicSnapshot(topic_id="id", end_offsets=ends)
        return snapshots

    @rule()
    def start_anew(self) -> None:
        """Restart the deleter, which loses what brokers have shown; the ledger keeps positions."""
        self.known = {partition for partition, read in self.read.items() if read}
        self.sight = KafkaCatchUpCheck(
            ledger=self.ledger,
            bus=self,
            cluster_id="cluster",
            business=[EVENTS],
            tagged=[TAGGED],
            sleep=lambda _: None,
            timeout=timedelta(),
        )

    @rule(topic=topics, partition=partitions)
    def written(self, topic: str, partition: int) -> None:
        """Publish a message to an existing partition or to one that was just added."""
        self.ends[topic, partition] += 1

    @rule(topic=topics, partition=partitions)
    def role_reads(self, topic: str, partition: int) -> None:
        at = (topic, partition)
        if at not in self.ends or self.ends[at] == self.read[at]:
            return
        log = PartitionId(cluster_id="cluster", topic=topic, topic_id="id", partition=partition)
        advance = OffsetAdvance(log=log, expected=self.read[at] or None, next=self.ends[at])
        with self.ledger.transaction() as connection:
            offsets.advance_offsets(connection, ROLES[topic], [advance])
        self.read[at] = self.ends[at]
        self.known.add(at)

    @rule()
    def roles_read_all(self) -> None:
        for topic, partition in list(self.ends):
            self.role_reads(topic, partition)

    @rule(topic=topics)
    def topic_is_not_shown(self, topic: str) -> None:
        self.unseen.add(topic)

    @rule(topic=topics, partition=partitions)
    def partition_is_not_shown(self, topic: str, partition: int) -> None:
        self.hidden.add((topic, partition))

    @rule(topic=topics, partition=partitions)
    def partition_loses_its_leader(self, topic: str, partition: int) -> None:
        self.leaderless.add((topic, partition))

    @precondition(lambda self: self.unseen or self.hidden or self.leaderless)
    @rule()
    def brokers_recover(self) -> None:
        self.unseen, self.hidden, self.leaderless = set(), set(), set()

    @invariant()
    def nothing_unread_is_taken_for_read(self) -> None:
        spots = self.sight.lagging_partitions()
        if not spots:
            assert {
                partition for partition in self.known if self.read[partition] < self.ends[partition]
            } == set()
            assert not self.known & (self.hidden | self.leaderless)
            assert not self.unseen
        healthy = not (self.unseen or self.hidden or self.leaderless)
        if healthy and self.read == self.ends:
            assert list(spots) == []


def test_the_catch_up_check_never_takes_unread_events_for_read(shared_ledger: Database) -> None:
    """Once everything is visible and read, the check passes."""
    play(lambda: CatchUpMachine(shared_ledger), few=20, steps=20)
