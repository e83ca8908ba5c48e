"""Forecast the commands that would be sent at once if an import of old events were released.

Nothing is locked or changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from uuid import UUID

from sqlalchemy import Connection, exists, or_, select

from services.deleter.foreseen import foreseen_obligations
from services.ledger import tables
from services.ledger.rows import RECORD_COLUMNS, RecordRow, record_rows
from services.policy.model import Policy
from services.policy.reasons import IN_TEST

_CHUNK_SIZE = 5_000


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ForecastLine:
    """How many records a system's commands would name, by action and rule."""

    system: str
    rule: str
    action: str
    records: int


def forecast(
    connection: Connection, backfill: str, policy: Policy, now: datetime
) -> list[ForecastLine]:
    """Return what would be due by `now` (UTC) of all that the import holds back, per system and rule.

    What would be due only if the rules in test were active is marked as such in its action.
    """
    count = _count_due(connection, backfill, policy, now)
    if policy.has_rules_in_test:
        in_test = _count_due(connection, backfill, policy.with_all_rules_active(), now)
        in_test.subtract(count)
        for (system, rule, action), records in in_test.items():
            if records > 0:
                count[system, rule, f"{IN_TEST}: {action}"] = records
    return sorted(
        ForecastLine(system=system, rule=rule, action=action, records=records)
        for (system, rule, action), records in count.items()
    )


def _count_due(
    connection: Connection, backfill: str, policy: Policy, now: datetime
) -> Counter[tuple[str, str, str]]:
    """Return the number of records by system, rule and action."""
    count: Counter[tuple[str, str, str]] = Counter()
    standing = attrgetter("standing_if_released")
    for rows in _backfill_records(connection, backfill):
        for record in foreseen_obligations(connection, rows, policy, now, standing):
            for step in record.obligations:
                count.update((step.system, rule, step.action) for rule in step.rules)
    return count


def _backfill_records(connection: Connection, backfill: str) -> Iterator[Sequence[RecordRow]]:
    """Yield, in pages, the import's records and those that depend on clocks whose anchor it decided."""
    depends_on_clock = exists().where(
        tables.hanging.c.record_id == tables.record.c.record_id,
        tables.hanging.c.clock_id == tables.clock.c.clock_id,
        tables.clock.c.backfill == backfill,
    )
    query = (
        select(*RECORD_COLUMNS)
        .where(or_(tables.record.c.backfill == backfill, depends_on_clock))
        .order_by(tables.record.c.record_id)
        .limit(_CHUNK_SIZE)
    )
    last_id = UUID(int=0)
    while rows := record_rows(connection.execute(query.where(tables.record.c.record_id > last_id))):
        yield rows
        last_id = rows[-1].record_id
