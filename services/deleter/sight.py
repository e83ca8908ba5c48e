"""Sight: nothing is claimed while a hold or a reinstatement could lie unread on the bus.

The ends of the business topics are read first; the tagger must have passed them; then the ends of what
it wrote are read, and the recorder must have passed those. What is published after the first reading was
not known when the round began, and is judged by the next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from sqlalchemy import select

from services.ledger import tables
from services.ledger.database import Ledger

Partition = tuple[str, int]


class Ends(Protocol):
    """The bus, as far as sight looks at it."""

    def ends(self, topics: Sequence[str]) -> Mapping[Partition, int]:
        """The end offset of every partition of the topics, as it is now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusSight:
    """Compares what is on the bus with what the ledger has recorded."""

    ledger: Ledger
    bus: Ends
    cluster_id: str
    business: Sequence[str]
    """The topics that the tagger reads."""
    tagged: Sequence[str]
    """The topics that the recorder reads."""
    sleep: Callable[[float], None]
    patience: timedelta = timedelta(seconds=2)
    """How long a round waits for the other roles to catch up before it gives up."""
    pause: timedelta = timedelta(milliseconds=20)

    def blind_spots(self) -> Sequence[str]:
        """The partitions not recorded up to the end that they had when this was called."""
        for role, topics in (("tagger", self.business), ("recorder", self.tagged)):
            spots = self._unread(role, self.bus.ends(topics))
            if spots:
                return [f"{role}: {topic}[{partition}]" for topic, partition in spots]
        return []

    def _unread(self, role: str, ends: Mapping[Partition, int]) -> Sequence[Partition]:
        for _ in range(max(1, self.patience // self.pause)):
            positions = self._positions(role)
            behind = [one for one, end in sorted(ends.items()) if positions.get(one, 0) < end]
            if not behind:
                return []
            self.sleep(self.pause.total_seconds())
        return behind

    def _positions(self, role: str) -> Mapping[Partition, int]:
        column = tables.position.c
        query = select(column.topic, column.partition, column.next).where(
            column.role == role, column.cluster_id == self.cluster_id
        )
        with self.ledger.transaction() as connection:
            return {(row.topic, row.partition): row.next for row in connection.execute(query)}
