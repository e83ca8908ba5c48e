"""Offsets: how far each role has read each partition, stored in the transaction of what it wrote.

An offset is keyed by cluster and topic id, so that another cluster, or a topic that was created again under
the same name, is never taken for the log that was read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Table, and_, select, update
from sqlalchemy.exc import IntegrityError

from schemas.errors import TermijnError
from services.storage import tables
from services.storage.bulk import insert

EMBEDDED_CLUSTER_PREFIX = "embedded-"
"""Prefix of the cluster ids of embedded brokers: each start is a new cluster with empty logs."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class PartitionId:
    """One partition of one topic of one cluster."""

    cluster_id: str
    topic: str
    topic_id: str
    partition: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetAdvance:
    """A role has read a log from `expected` (None: it had never read it) up to `next`, exclusive."""

    log: PartitionId
    expected: int | None
    next: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredOffset:
    """How far a role has read a log, on any cluster and under any id of the topic."""

    cluster_id: str
    topic: str
    topic_id: str
    partition: int
    next: int

    @property
    def is_durable(self) -> bool:
        """Whether the log outlives its broker, which a log in memory does not."""
        return not self.cluster_id.startswith(EMBEDDED_CLUSTER_PREFIX)


class Fenced(TermijnError):
    """Another process of the role has continued from the same offset; this batch was rolled back.

    The role reads its offsets again and continues automatically.
    """

    def __init__(self, role: str, log: PartitionId) -> None:
        super().__init__(
            f"{role}: {log.topic}[{log.partition}] was read further by another process"
        )
        self.role = role
        self.log = log


class TopicReplaced(TermijnError):
    """The role has read this topic on another cluster, or before it was deleted and created again.

    The operator points the role at the right cluster, or accepts the loss with `termijn gaps accept`.
    """

    def __init__(self, role: str, log: PartitionId) -> None:
        super().__init__(
            f"{role}: {log.topic}[{log.partition}] is not the log that was read before;"
            " it is on another cluster, or its topic was created again"
        )
        self.role = role
        self.log = log


def read_offset(connection: Connection, role: str, log: PartitionId) -> int | None:
    """Return the next offset that the role reads of the log, or None if it has never read it.

    Raises:
        TopicReplaced: it has read another log of that name.
    """
    column = tables.position.c
    query = select(tables.position).where(
        column.role == role, column.topic == log.topic, column.partition == log.partition
    )
    offsets: dict[tuple[str, str], int] = {
        (row.cluster_id, row.topic_id): row.next for row in connection.execute(query)
    }
    log_key = (log.cluster_id, log.topic_id)
    if log_key in offsets:
        return offsets[log_key]
    if any(not cluster.startswith(EMBEDDED_CLUSTER_PREFIX) for cluster, _ in offsets):
        raise TopicReplaced(role, log)
    return None


def list_offsets(
    connection: Connection, role: str, topics: Collection[str]
) -> Sequence[StoredOffset]:
    """Return every offset that the role has ever stored under the names of these topics."""
    column = tables.position.c
    query = select(
        column.cluster_id, column.topic, column.topic_id, column.partition, column.next
    ).where(column.role == role, column.topic.in_(topics))
    return [
        StoredOffset(
            cluster_id=row.cluster_id,
            topic=row.topic,
            topic_id=row.topic_id,
            partition=row.partition,
            next=row.next,
        )
        for row in connection.execute(query)
    ]


def advance_offsets(connection: Connection, role: str, advances: Iterable[OffsetAdvance]) -> None:
    """Advance offsets by compare-and-swap, in the transaction of what was read.

    Raises:
        Fenced: an offset is not what was expected.
    """
    for advance in sorted(advances, key=lambda advance: advance.log):
        if advance.expected is None:
            row = {**key_columns(role, advance.log), "next": advance.next}
            try:
                insert(connection, tables.position, [row])
            except IntegrityError as cause:
                raise Fenced(role, advance.log) from cause
            continue
        result = connection.execute(
            update(tables.position)
            .where(
                matches_log(tables.position, role, advance.log),
                tables.position.c.next == advance.expected,
            )
            .values(next=advance.next)
        )
        if result.rowcount != 1:
            raise Fenced(role, advance.log)


def key_columns(role: str, log: PartitionId) -> Mapping[str, object]:
    return {
        "role": role,
        "cluster_id": log.cluster_id,
        "topic_id": log.topic_id,
        "partition": log.partition,
        "topic": log.topic,
    }


def matches_log(table: Table, role: str, log: PartitionId) -> ColumnElement[bool]:
    """Return the condition that a row is of this role and partition."""
    column = table.c
    return and_(
        column.role == role,
        column.cluster_id == log.cluster_id,
        column.topic_id == log.topic_id,
        column.partition == log.partition,
    )
