"""Halves of a batch move the offsets past their own messages, and past no other."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from confluent_kafka import Message

from consumers.batch_application import apply_batch
from services.kafka.errors import DeliveryFailed, KafkaUnavailable
from services.storage.offsets import OffsetAdvance, PartitionId

TOO_LARGE = 10
Place = tuple[str, int]


def log(place: Place) -> PartitionId:
    return PartitionId(cluster_id="c", topic=place[0], topic_id=place[0], partition=place[1])


class Ledger:
    """Stores offsets by compare-and-swap, as the ledger does, and keeps what was done, in order."""

    def __init__(self, *guilty: tuple[str, int, int], expected: int | None = None) -> None:
        self.guilty = set(guilty)
        self.expected = expected
        self.at: dict[PartitionId, int | None] = {}
        self.applied: list[tuple[str, int, int]] = []
        self.parked: list[tuple[str, int, int]] = []

    def handle(self, messages: Sequence[Message], advances: Sequence[OffsetAdvance]) -> None:
        places = [place(message) for message in messages]
        if self.guilty & set(places):
            raise DeliveryFailed("t", "too large", TOO_LARGE)
        self._move(places, advances)
        self.applied += places

    def park(self, message: Message, cause: Exception, advances: Sequence[OffsetAdvance]) -> None:
        self._move([place(message)], advances)
        self.parked.append(place(message))

    def _move(
        self, places: Sequence[tuple[str, int, int]], advances: Sequence[OffsetAdvance]
    ) -> None:
        for advance in advances:
            assert advance.expected == self.at.get(advance.log, self.expected)
            self.at[advance.log] = advance.next
        for topic, partition, offset in places:
            next_ = self.at[log((topic, partition))]
            assert next_ is not None
            assert next_ > offset


def place(message: Message) -> tuple[str, int, int]:
    return str(message.topic()), int(message.partition() or 0), int(message.offset() or 0)


def message(topic: str, partition: int, offset: int) -> Message:
    return Message(topic=topic, partition=partition, offset=offset, value=b"x")


BATCH = [
    *[message("a", 0, offset) for offset in (5, 6, 9)],  # 7 and 8 are a transaction's
    *[message("b", 1, offset) for offset in (5, 6, 7)],
    *[message("a", 0, offset) for offset in (10, 11)],
]
ENDS = {("a", 0): 14, ("b", 1): 8, ("c", 0): 6}
"""Behind the last messages stand markers; of `c` there was nothing else."""


@pytest.mark.parametrize("expected", [None, 5])
@pytest.mark.parametrize(
    "guilty",
    [set(), {("a", 0, 5)}, {("a", 0, 11)}, {("b", 1, 6)}, {("a", 0, 9), ("b", 1, 5)}],
)
def test_each_message_is_applied_or_parked_once_and_in_order(
    guilty: set[tuple[str, int, int]], expected: int | None
) -> None:
    ledger = Ledger(*guilty, expected=expected)
    advances = [
        OffsetAdvance(log=log(partition), expected=expected, next=end)
        for partition, end in ENDS.items()
    ]
    apply_batch(ledger, BATCH, advances, lambda: None)
    everything = [place(message) for message in BATCH]
    assert set(ledger.parked) == guilty
    assert ledger.applied == [message for message in everything if message not in guilty]
    assert ledger.at == {log(partition): end for partition, end in ENDS.items()}


def test_messages_applied_before_kafka_became_unreachable_count() -> None:
    """Later ones do not: the log is read again from there."""

    class Away(Ledger):
        def park(
            self, message: Message, cause: Exception, advances: Sequence[OffsetAdvance]
        ) -> None:
            raise KafkaUnavailable("park", "no")

    ledger = Away(("b", 1, 6), expected=5)
    advances = [
        OffsetAdvance(log=log(partition), expected=5, next=end) for partition, end in ENDS.items()
    ]
    with pytest.raises(KafkaUnavailable):
        apply_batch(ledger, BATCH, advances, lambda: None)
    assert ledger.applied == [("a", 0, 5), ("a", 0, 6), ("a", 0, 9), ("b", 1, 5)]
    assert ledger.at == {log(("a", 0)): 10, log(("b", 1)): 6}
