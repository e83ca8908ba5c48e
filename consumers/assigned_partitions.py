"""The partitions that a consumer reads: the offsets read and stored, and the gaps that are found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from schemas.errors import TermijnError
from services.kafka.client import KafkaClient
from services.kafka.errors import KafkaUnavailable
from services.kafka.topic_state import Partition
from services.storage import offsets
from services.storage.database import Database
from services.storage.gaps import OffsetGap, open_gap, record_gap
from services.storage.offsets import OffsetAdvance, PartitionId, StoredOffset, TopicReplaced

_WATERMARK_SECONDS = 15.0


class OffsetsLost(TermijnError):
    """Kafka deleted messages before the role read them, or replaced the topic; the role has stopped.

    The operator finds out what was lost, has it published again if possible, and accepts each gap
    with `termijn gaps accept`; then the role is started again.
    """

    def __init__(self, gaps: Sequence[OffsetGap]) -> None:
        gap = gaps[0]
        partition = f"{gap.log.topic}[{gap.log.partition}]"
        super().__init__(
            f"{gap.role}: {partition}: expected offset {gap.expected}, the log has"
            f" {gap.low} to {gap.high} ({len(gaps)} gaps; see `termijn gaps list`)"
        )
        self.gaps = gaps


@dataclass(slots=True, kw_only=True)
class AssignedPartitions:
    """The partitions that one consumer of a role reads now. `now` is this machine's clock, UTC."""

    role: str
    bus: KafkaClient
    ledger: Database
    gap_found: Callable[[OffsetGap], None]
    """Reports messages that Kafka deleted before they were read."""
    now: Callable[[], datetime]
    ids: dict[Partition, PartitionId] = field(default_factory=dict, init=False)
    next_offsets: dict[Partition, int] = field(default_factory=dict, init=False)
    """The offset to read next, by partition."""
    stored_offsets: dict[Partition, int | None] = field(default_factory=dict, init=False)
    """The offset in the ledger, by partition; None if there is none yet."""
    gaps: list[OffsetGap] = field(default_factory=list, init=False)

    def assign(self, consumer: Consumer, log: PartitionId) -> int:
        """Add a partition, and return the offset to read from; note a gap if unread messages are lost."""
        place = (log.topic, log.partition)
        low, high = query_watermarks(consumer, *place)
        try:
            with self.ledger.transaction() as connection:
                gap = open_gap(connection, self.role, log)
                position = offsets.read_offset(connection, self.role, log)
        except TopicReplaced:
            self._add_gap(log, None, low, high)
            position = low
        else:
            if gap is not None:
                self._add_gap(log, gap.expected, low, high)
            elif not low <= (position or 0) <= high:
                self._add_gap(log, position, low, high)
        self.ids[place] = log
        self.stored_offsets[place] = position
        self.next_offsets[place] = position or 0
        return position or 0

    def revoke(self, place: Partition) -> None:
        """Remove a partition, which another consumer may read from now on."""
        for state in (self.ids, self.stored_offsets, self.next_offsets):
            state.pop(place, None)

    def clear(self) -> None:
        """Remove all partitions and gaps; a gap that is not stored yet is found again."""
        for state in (self.ids, self.stored_offsets, self.next_offsets):
            state.clear()
        self.gaps.clear()

    def advances(self) -> list[OffsetAdvance]:
        """Return how far the offsets in the ledger have to move after what was read is applied."""
        return [
            OffsetAdvance(log=self.ids[place], expected=self.stored_offsets[place], next=next)
            for place, next in self.next_offsets.items()
            if next != (self.stored_offsets[place] or 0)
        ]

    def mark_stored(self, advances: Sequence[OffsetAdvance]) -> None:
        """Note that the offsets in the ledger have moved."""
        for advance in advances:
            self.stored_offsets[advance.log.topic, advance.log.partition] = advance.next

    def add_deleted(self, consumer: Consumer, place: Partition) -> None:
        """Note the gap of a partition whose next message Kafka has deleted."""
        if place in self.ids:
            low, high = query_watermarks(consumer, *place)
            self._add_gap(self.ids[place], self.next_offsets[place], low, high)

    def add_if_replaced(
        self, consumer: Consumer, place: Partition, topic_ids: Mapping[str, str]
    ) -> None:
        """Note a gap if the partition's topic was created again, and now has another id."""
        log = self.ids[place]
        if topic_ids.get(log.topic, log.topic_id) != log.topic_id:
            replacement = replace(log, topic_id=topic_ids[log.topic])
            self._add_gap(
                replacement, self.stored_offsets[place], *query_watermarks(consumer, *place)
            )

    def add_lost(self, ids: Mapping[str, str], read: Sequence[StoredOffset]) -> None:
        """Note a gap for each partition that was read and no longer exists: its topic was created again.

        They are assigned to no consumer, so their lost messages would not be found otherwise.
        """
        current = {
            (stored.topic, stored.partition) for stored in read if self._is_current(stored, ids)
        }
        replaced = [
            stored
            for stored in read
            if stored.is_durable and (stored.topic, stored.partition) not in {*current, *self.ids}
        ]
        topics = self.bus.describe_topics({stored.topic for stored in replaced}) if replaced else {}
        for stored in replaced:
            topic = topics.get(stored.topic)
            if (
                topic
                and topic.topic_id == ids[stored.topic]
                and stored.partition not in topic.end_offsets
            ):
                log = PartitionId(
                    cluster_id=self.bus.cluster_id,
                    topic=stored.topic,
                    topic_id=topic.topic_id,
                    partition=stored.partition,
                )
                self._add_gap(log, stored.next, 0, 0)

    def raise_on_gap(self) -> None:
        """Report and store the gaps, if there are any.

        Raises:
            OffsetsLost: there are.
        """
        if not self.gaps:
            return
        for gap in self.gaps:
            self.gap_found(gap)
        with self.ledger.transaction() as connection:
            for gap in self.gaps:
                record_gap(connection, gap, self.now())
        raise OffsetsLost(tuple(self.gaps))

    def _is_current(self, read: StoredOffset, ids: Mapping[str, str]) -> bool:
        return (read.cluster_id, read.topic_id) == (self.bus.cluster_id, ids[read.topic])

    def _add_gap(self, log: PartitionId, expected: int | None, low: int, high: int) -> None:
        self.gaps.append(OffsetGap(role=self.role, log=log, expected=expected, low=low, high=high))


def query_watermarks(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """Return the first offset of a partition and the end of it, as the broker reports them now.

    Raises:
        KafkaUnavailable: the broker did not respond.
    """
    try:
        watermarks: Any = consumer.get_watermark_offsets(
            TopicPartition(topic, partition), timeout=_WATERMARK_SECONDS
        )
    except KafkaException as cause:
        raise KafkaUnavailable(f"find the ends of {topic}", str(cause.args[0])) from cause
    if watermarks is None:
        raise KafkaUnavailable(f"find the ends of {topic}", "no response in time")
    return watermarks[0], watermarks[1]
