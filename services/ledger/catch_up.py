"""Catch-up check: nothing is claimed while an event that forbids an erasure may be unread on Kafka.

First the ends of the business topics are read, and the tagger must have passed these. Then the end of the
tagger's own topic is read, and the recorder must have passed that. Events published later are left to the
next check.

Which partitions to check is known beforehand: of every topic that the policy names, the partitions that
brokers report, that a role has ever read, and that were just written to. A partition that the brokers do
not report counts as not caught up, never as empty.
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
    """Reads from Kafka what the check needs."""

    def describe_topics(self, topics: Collection[str]) -> Mapping[str, TopicSnapshot]:
        """Return the topics that exist, with what the brokers report of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaCatchUpCheck:
    """Compares the events on Kafka with those that the ledger has recorded."""

    ledger: Database
    bus: TopicLister
    cluster_id: str
    business: Sequence[str]
    """The topics that the tagger reads."""
    tagged: Sequence[str]
    """The topics that the recorder reads."""
    sleep: Callable[[float], None]
    timeout: timedelta = timedelta(seconds=2)
    """How long a check waits for the other roles to catch up before it gives up."""
    poll_interval: timedelta = timedelta(milliseconds=20)
    _known_partitions: dict[tuple[str, str], set[int]] = field(default_factory=dict, init=False)
    """The partitions that any broker ever reported, by topic and topic id: another may report fewer."""

    def lagging_partitions(self, sent: Mapping[Partition, int] = _NO_OFFSETS) -> Sequence[str]:
        """Return the partitions that may not be recorded up to the end that they had at this call.

        Each names the role that has not read it, the topic and the partition, and the problem if it is not
        only unread. A gap that waits to be accepted is a problem, and so is a log shorter than the part of
        it that was read: what it contains now may never have been read. `sent` is how far the caller has
        written to business topics, as the brokers acknowledged; an end before that is not believed.
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
        """Return the state of every partition that must exist."""
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
        """Return partitions that were read past their reported end; they may have grown since."""
        beyond = [log for log in logs if log.next > log.end]
        if not beyond:
            return []
        now = self.bus.describe_topics(topics)
        return [log.name for log in beyond if log.next > _end_offset(now, log)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _PartitionState:
    """A partition, or a whole topic that the brokers do not report."""

    topic: str
    partition: int | None = None
    end: int = 0
    next: int = 0
    problem: str = ""
    """Why its end is not known, or why it is not known whether everything was read."""

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
