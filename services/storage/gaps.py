"""Gaps: messages that Kafka deleted before a role had read them.

The role does not continue there until an operator accepts the gap. Instants are UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, select

from schemas.errors import TermijnError
from services.storage import tables
from services.storage.bulk import insert, upsert
from services.storage.offsets import PartitionId, key_columns, matches_log
from services.storage.operator_log import log_operator_action


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetGap:
    """A role expected an offset that Kafka has deleted: the log has only `low` up to `high`."""

    role: str
    log: PartitionId
    expected: int | None
    low: int
    high: int


class GapNotFound(TermijnError):
    """There is no open gap at this role, topic and partition; nothing was accepted."""

    def __init__(self, role: str, topic: str, partition: int) -> None:
        super().__init__(f"{role}: {topic}[{partition}]: has no open gap; see `termijn gaps list`")


def record_gap(connection: Connection, gap: OffsetGap, now: datetime) -> None:
    """Record a gap; the role does not continue until a named operator accepts it.

    A gap that is open already keeps its first expected offset, and gets the offsets the log has by now.
    """
    row = {
        **key_columns(gap.role, gap.log),
        "expected": gap.expected,
        "low": gap.low,
        "high": gap.high,
        "found_at": now,
    }
    upsert(connection, tables.gap, [row], ("low", "high", "found_at"))


def open_gaps(connection: Connection) -> Sequence[OffsetGap]:
    """Return the gaps that are not accepted; those of one partition in order of discovery."""
    column = tables.gap.c
    rows = connection.execute(
        select(tables.gap).order_by(column.role, column.topic, column.partition, column.found_at)
    )
    return [_gap_from_row(row) for row in rows]


def open_gap(connection: Connection, role: str, log: PartitionId) -> OffsetGap | None:
    """Return the gap of exactly this log that is not accepted, if there is one.

    An offset may be inside the log again, after a truncated log has grown past it: the messages between
    are unread all the same.
    """
    query = select(tables.gap).where(matches_log(tables.gap, role, log))
    row = connection.execute(query).one_or_none()
    return None if row is None else _gap_from_row(row)


def accept_gap(
    connection: Connection,
    partition: tuple[str, str, int],
    *,
    operator: str,
    reason: str,
    now: datetime,
    to_audit_log: bool = True,
) -> int:
    """Accept that a role has missed deleted messages, log it, and return the offset it continues from.

    That is the first offset that Kafka still has. `partition` is role, topic and partition. `to_audit_log`
    is that of `log_operator_action`.

    Raises:
        GapNotFound: no gap is open there.
    """
    matching = [
        gap
        for gap in open_gaps(connection)
        if (gap.role, gap.log.topic, gap.log.partition) == partition
    ]
    if not matching:
        raise GapNotFound(*partition)
    gap = matching[-1]
    connection.execute(
        delete(tables.position).where(
            tables.position.c.role == gap.role,
            tables.position.c.topic == gap.log.topic,
            tables.position.c.partition == gap.log.partition,
        )
    )
    insert(connection, tables.position, [{**key_columns(gap.role, gap.log), "next": gap.low}])
    connection.execute(
        delete(tables.gap).where(
            tables.gap.c.role == gap.role,
            tables.gap.c.topic == gap.log.topic,
            tables.gap.c.partition == gap.log.partition,
        )
    )
    target = f"{gap.role} {gap.log.topic}[{gap.log.partition}] {gap.expected}->{gap.low}"
    log_operator_action(
        connection,
        "gaps accept",
        target,
        operator=operator,
        reason=reason,
        now=now,
        to_audit_log=to_audit_log,
    )
    return gap.low


def _gap_from_row(row: Row[Any]) -> OffsetGap:
    return OffsetGap(
        role=row.role,
        log=PartitionId(
            cluster_id=row.cluster_id,
            topic=row.topic,
            topic_id=row.topic_id,
            partition=row.partition,
        ),
        expected=row.expected,
        low=row.low,
        high=row.high,
    )
