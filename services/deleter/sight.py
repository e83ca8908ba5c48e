"""Sight: nothing is claimed while a hold or a reinstatement could lie unread on the bus.

The ends of the business topics are read first; the tagger must have passed them; then the ends of what
it wrote are read, and the recorder must have passed those. What is published after the first reading was
not known when the round began, and is judged by the next.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from sqlalchemy import Connection, select

from services.ledger import positions, tables
from services.ledger.database import Ledger

Partition = tuple[str, int]


class Ends(Protocol):
    """The bus, as far as sight looks at it."""

    def ends(self, topics: Sequence[str]) -> Mapping[Partition, int]:
        """The end offset of every partition of the topics, as it is now."""

    def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        """The id of each topic: one that is made anew has another."""


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
        """The partitions not recorded up to the end that they had when this was called.

        A gap that waits to be accepted is one, and so is a log that is shorter than what was read of it:
        what it holds now may never have been read.
        """
        for role, topics in (("tagger", self.business), ("recorder", self.tagged)):
            spots = self._unread(role, topics)
            if spots:
                return [f"{role}: {topic}[{partition}]" for topic, partition in spots]
        return []

    def _unread(self, role: str, topics: Sequence[str]) -> Sequence[Partition]:
        ends = self.bus.ends(topics)
        ids = self.bus.topic_ids(topics)
        for _ in range(max(1, self.patience // self.pause)):
            with self.ledger.transaction() as connection:
                gaps = [
                    (gap.log.topic, gap.log.partition)
                    for gap in positions.gaps(connection)
                    if gap.role == role
                ]
                read = self._positions(connection, role, ids)
            if gaps:
                return gaps
            behind = [one for one, end in sorted(ends.items()) if read.get(one, 0) < end]
            if not behind:
                now = self.bus.ends(topics)
                return [one for one, end in sorted(now.items()) if read.get(one, 0) > end]
            self.sleep(self.pause.total_seconds())
        return behind

    def _positions(
        self, connection: Connection, role: str, ids: Mapping[str, str]
    ) -> Mapping[Partition, int]:
        """How far the role has read each partition of the topics as they are, and of no earlier ones."""
        column = tables.position.c
        query = select(column.topic, column.topic_id, column.partition, column.next).where(
            column.role == role, column.cluster_id == self.cluster_id
        )
        return {
            (row.topic, row.partition): row.next
            for row in connection.execute(query)
            if ids.get(row.topic) == row.topic_id
        }
