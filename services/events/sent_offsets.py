"""The offsets of sent messages, kept as runs, so that a file of millions takes little memory."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.kafka.producer import KafkaProducer, OutgoingMessage
from services.kafka.record_metadata import RecordMetadata


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetRecorder:
    """A sender that keeps the offsets of all that it sends."""

    sender: KafkaProducer
    _runs: defaultdict[tuple[str, int], list[tuple[int, int]]] = field(
        default_factory=lambda: defaultdict(list), init=False
    )
    """By topic and partition: the first offset of each run, and the one after its last."""

    def send(self, messages: Sequence[OutgoingMessage]) -> Sequence[RecordMetadata]:
        """Send all, and return their offsets."""
        placed = self.sender.send(messages)
        for metadata in sorted(placed, key=lambda metadata: metadata.offset):
            runs = self._runs[metadata.topic, metadata.partition]
            if runs and runs[-1][1] == metadata.offset:
                runs[-1] = (runs[-1][0], metadata.offset + 1)
            else:
                runs.append((metadata.offset, metadata.offset + 1))
        return placed

    @property
    def topics(self) -> set[str]:
        """The topics that a message was sent to."""
        return {topic for topic, _ in self._runs}

    def contains(self, topic: str, partition: int, offset: int) -> bool:
        """Whether the message at that offset was sent by this sender."""
        runs = self._runs.get((topic, partition), [])
        index = bisect_right(runs, offset, key=lambda run: run[0]) - 1
        return index >= 0 and offset < runs[index][1]
