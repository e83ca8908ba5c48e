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


class CatchUpCheck(Protocol):
    """Checks whether everything that could forbid an erasure has been recorded."""

    def lagging_partitions(self) -> Sequence[str]:
        """Return the partitions that are not recorded up to the end that they had when this was called."""


class CatchUpObserver(Protocol):
    """Receives the result of each check: metrics and logs."""

    def waiting_for_catch_up(self, spots: Sequence[str]) -> None:
        """Nothing is decided or claimed, since these partitions are not recorded yet; with none it is."""


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

    def lagging_partitions(self, written: Mapping[Partition, int] = _NO_OFFSETS) -> Sequence[str]:
        """Return the partitions that may not be recorded up to the end that they had at this call.

        Each names the role that has not read it, the topic and the partition, and the problem if it is not
        only unread. A gap that waits to be accepted is a problem, and so is a log shorter than the part of
        it that was read: what it contains now may never have been read. `sent` is how far the caller has
        written to business topics, as the brokers acknowledged; an end before that is not believed.
        """
        for role, topics, min_ends in (
            ("tagger", self.business, written),
            ("recorder", self.tagged, _NO_OFFSETS),
        ):
            spots = self._unread_partitions(role, topics, min_ends)
            if spots:
                return [f"{role}: {spot}" for spot in spots]
        return []

    def _unread_partitions(
        self, role: str, topics: Sequence[str], min_ends: Mapping[Partition, int]
    ) -> list[str]:
        deadline = monotonic() + self.timeout.total_seconds()
        snapshots = self.bus.describe_topics(topics)
        while True:
            with self.ledger.transaction() as connection:
                gaps = [gap.log for gap in open_gaps(connection) if gap.role == role]
                read = offsets.list_offsets(connection, role, topics)
            if gaps:
                return [f"{log.topic}[{log.partition}]" for log in gaps]
            logs = list(self._partition_states(topics, snapshots, read, min_ends))
            if not any(log.is_unread for log in logs):
                return self._shrunk_partitions(topics, logs)
            if monotonic() > deadline:
                return [log.name for log in logs if log.is_unread]
            self.sleep(self.poll_interval.total_seconds())
            if any(log.problem for log in logs):
                snapshots = self.bus.describe_topics(topics)

    def _partition_states(
        self,
        topics: Sequence[str],
        snapshots: Mapping[str, TopicSnapshot],
        read: Sequence[StoredOffset],
        min_ends: Mapping[Partition, int],
    ) -> Iterator[_PartitionState]:
        """Return the state of every partition that must exist."""
        for topic in topics:
            snapshot = snapshots.get(topic)
            if snapshot is None:
                yield _PartitionState(
                    topic=topic, problem="the topic does not exist, or this user may not see it"
                )
                continue
            next_offsets = {
                stored.partition: stored.next
                for stored in read
                if (stored.cluster_id, stored.topic_id, stored.topic)
                == (self.cluster_id, snapshot.topic_id, topic)
            }
            known_partitions = self._known_partitions.setdefault((topic, snapshot.topic_id), set())
            known_partitions |= {
                *snapshot.end_offsets,
                *(number for number, next_offset in next_offsets.items() if next_offset > 0),
            }
            replaced = {
                stored.partition for stored in read if stored.topic == topic and stored.is_durable
            } - {*next_offsets}
            written_partitions = {number for name, number in min_ends if name == topic}
            for number in sorted({*known_partitions, *replaced, *written_partitions}):
                end = snapshot.end_offsets.get(number)
                yield _PartitionState(
                    topic=topic,
                    partition=number,
                    end=max(end or 0, min_ends.get((topic, number), 0)),
                    next=next_offsets.get(number, 0),
                    problem="its log is not the one that was read before"
                    if number in replaced
                    else "the brokers do not show it"
                    if number not in snapshot.end_offsets
                    else "no leader reports its end"
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
        snapshots = self.bus.describe_topics(topics)
        return [log.name for log in beyond if log.next > _end_offset(snapshots, log)]


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


def _end_offset(snapshots: Mapping[str, TopicSnapshot], log: _PartitionState) -> int:
    topic = snapshots.get(log.topic)
    if topic is None or log.partition is None:
        return -1
    end = topic.end_offsets.get(log.partition)
    return -1 if end is None else end
