"""Catch-up check: nothing is claimed while an event that forbids an erasure may be unread on Kafka.

How far the business topics go is read first; the tagger must have passed that; then how far it has
written, and the recorder must have passed that. What is published later was not known when the round
began, and is judged by the next.

What there is to see is known beforehand: every topic that the policy names, and of each the partitions
that brokers show, that a role has ever read, and that were just written to. Whatever the brokers do not
show or tell is a blind spot, and never an empty log.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from types import MappingProxyType
from typing import Final, Protocol

from services.kafka.topic_state import Partition, TopicSnapshot
from services.storage import offsets
from services.storage.database import Database
from services.storage.gaps import open_gaps
from services.storage.offsets import StoredOffset

_NO_OFFSETS: Final[Mapping[Partition, int]] = MappingProxyType({})


class TopicLister(Protocol):
    """What the check reads from Kafka."""

    def describe_topics(self, topics: Collection[str]) -> Mapping[str, TopicSnapshot]:
        """Those of the topics that are there, with what the brokers tell of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaCatchUpCheck:
    """Compares what is on Kafka with what the ledger has recorded."""

    ledger: Database
    bus: TopicLister
    cluster_id: str
    business: Sequence[str]
    """The topics that the tagger reads."""
    tagged: Sequence[str]
    """The topics that the recorder reads."""
    sleep: Callable[[float], None]
    timeout: timedelta = timedelta(seconds=2)
    """How long a round waits for the other roles to catch up before it gives up."""
    poll_interval: timedelta = timedelta(milliseconds=20)
    _known_partitions: dict[tuple[str, str], set[int]] = field(default_factory=dict, init=False)
    """The partitions that any broker has ever shown, by topic and its id: another may lag behind it."""

    def lagging_partitions(self, sent: Mapping[Partition, int] = _NO_OFFSETS) -> Sequence[str]:
        """What may not be recorded of all that was on Kafka when this was called; nothing: all is.

        Each names the role that has not read it, the topic and partition, and what is odd about it, if
        it is not only unread. A gap that waits to be accepted is one, and so is a log that is shorter
        than what was read of it: what it holds now may never have been read. `sent` is how far, by the
        brokers' own word, the caller has written to business topics: less than that is no end.
        """
        for role, topics, least in (
            ("tagger", self.business, sent),
            ("recorder", self.tagged, _NO_OFFSETS),
        ):
            spots = self._unread_partitions(role, topics, least)
            if spots:
                return [f"{role}: {spot}" for spot in spots]
        return []

    def _unread_partitions(
        self, role: str, topics: Sequence[str], least: Mapping[Partition, int]
    ) -> list[str]:
        deadline = monotonic() + self.timeout.total_seconds()
        shown = self.bus.describe_topics(topics)
        while True:
            with self.ledger.transaction() as connection:
                gaps = [gap.log for gap in open_gaps(connection) if gap.role == role]
                read = offsets.list_offsets(connection, role, topics)
            if gaps:
                return [f"{log.topic}[{log.partition}]" for log in gaps]
            logs = list(self._partition_states(topics, shown, read, least))
            if not any(log.is_unread for log in logs):
                return self._shrunk_partitions(topics, logs)
            if monotonic() > deadline:
                return [log.name for log in logs if log.is_unread]
            self.sleep(self.poll_interval.total_seconds())
            if any(log.problem for log in logs):
                shown = self.bus.describe_topics(topics)

    def _partition_states(
        self,
        topics: Sequence[str],
        shown: Mapping[str, TopicSnapshot],
        read: Sequence[StoredOffset],
        least: Mapping[Partition, int],
    ) -> Iterator[_PartitionState]:
        """Every log that there has to be, as it is seen."""
        for topic in topics:
            there = shown.get(topic)
            if there is None:
                yield _PartitionState(topic=topic, problem="it is not there, or may not be seen")
                continue
            here = {
                one.partition: one.next
                for one in read
                if (one.cluster_id, one.topic_id, one.topic)
                == (self.cluster_id, there.topic_id, topic)
            }
            known = self._known_partitions.setdefault((topic, there.topic_id), set())
            known |= {*there.end_offsets, *(number for number, next in here.items() if next > 0)}
            others = {one.partition for one in read if one.topic == topic and one.is_durable} - {
                *here
            }
            written = {number for name, number in least if name == topic}
            for number in sorted({*known, *others, *written}):
                end = there.end_offsets.get(number)
                yield _PartitionState(
                    topic=topic,
                    partition=number,
                    end=max(end or 0, least.get((topic, number), 0)),
                    next=here.get(number, 0),
                    problem="it is not the log that was read before"
                    if number in others
                    else "the brokers do not show it"
                    if number not in there.end_offsets
                    else "no leader tells how far it goes"
                    if end is None
                    else "",
                )

    def _shrunk_partitions(
        self, topics: Sequence[str], logs: Sequence[_PartitionState]
    ) -> list[str]:
        """What was read further than it goes; it may have grown since its end was told."""
        beyond = [log for log in logs if log.next > log.end]
        if not beyond:
            return []
        now = self.bus.describe_topics(topics)
        return [log.name for log in beyond if log.next > _end_offset(now, log)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _PartitionState:
    """One partition, or a whole topic that is not shown."""

    topic: str
    partition: int | None = None
    end: int = 0
    next: int = 0
    problem: str = ""
    """Why it cannot be known how far it goes, or whether that was read."""

    @property
    def is_unread(self) -> bool:
        return bool(self.problem) or self.next < self.end

    @property
    def name(self) -> str:
        place = self.topic if self.partition is None else f"{self.topic}[{self.partition}]"
        return f"{place}: {self.problem}" if self.problem else place


def _end_offset(shown: Mapping[str, TopicSnapshot], log: _PartitionState) -> int:
    topic = shown.get(log.topic)
    if topic is None or log.partition is None:
        return -1
    end = topic.end_offsets.get(log.partition)
    return -1 if end is None else end
