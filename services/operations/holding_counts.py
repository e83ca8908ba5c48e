"""Count the holdings by rule, system and state, a bounded number of records at a time.

A holding is not a row: it follows from a record's event and the active policy, so counting all of them at
once would read the whole ledger. Each step reads a bounded number of records in the order of their ids.
Ids are hashes, so the records read so far are a fair sample: until all are counted, the counts divided by
the share of the ids that was read estimate the whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, Row, select

from services.ledger import outbox, tables
from services.ledger.command_state import CARRIED_OUT
from services.ledger.facts import load_record_facts, load_tagged_events
from services.policy.explain import holding_state
from services.policy.model import Policy
from services.policy.retention_windows import apply_legal_holds, compute_window
from services.storage.bulk import select_in

State = Literal[
    "open", "scheduled", "held", "ended", "acknowledged", "attested", "erased", "transferred"
]
Key = tuple[str, str, str]
"""Rule, system, state."""

_START = UUID(int=0)
_IDS = 1 << 128


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingCounts:
    """The number of holdings, as far as they are counted."""

    holdings: Mapping[Key, float]
    coverage: float
    """The share of the ledger that the counts are based on; 1 once all of it was counted."""


@dataclass(slots=True, kw_only=True)
class HoldingCounter:
    """Counts the holdings of all records, again and again."""

    policy: Policy
    chunk: int = 500
    """The number of records that one step reads."""
    _cursor: UUID = _START
    _counts: Counter[Key] = field(default_factory=Counter)
    _complete: Mapping[Key, float] | None = None

    def advance(self, connection: Connection, now: datetime) -> HoldingCounts:
        """Count one more chunk of records and return the counts; states are those at `now`, UTC.

        Once all records were counted, the result is that of the last complete count.
        """
        column = tables.record.c.record_id
        rows = connection.execute(
            select(tables.record).where(column > self._cursor).order_by(column).limit(self.chunk)
        ).all()
        self._counts.update(_holding_keys(connection, rows, self.policy, now))
        if len(rows) < self.chunk:
            self._complete = dict(self._counts)
            self._counts = Counter()
            self._cursor = _START
        else:
            self._cursor = rows[-1].record_id
        if self._complete is not None:
            return HoldingCounts(holdings=self._complete, coverage=1.0)
        share = self._cursor.int / _IDS
        return HoldingCounts(
            holdings={k: n / share for k, n in self._counts.items()}, coverage=share
        )


def _holding_keys(
    connection: Connection, rows: Sequence[Row[Any]], policy: Policy, now: datetime
) -> Iterator[Key]:
    events = load_tagged_events(connection, {row.event_id for row in rows}, policy)
    records = [(events[row.event_id], row.subject) for row in rows]
    facts = load_record_facts(connection, records, policy)
    progress = _erasure_progress(connection, {row.record_id for row in rows}, policy)
    for row in rows:
        tagged = events[row.event_id]
        subject = facts.subject_state(row.subject)
        for holding in tagged.holdings:
            if holding.subject != row.subject:
                continue
            retention = compute_window(holding, tagged.time, facts, policy)
            if subject.holds:
                retention = apply_legal_holds(retention, tagged.id, subject, policy)
            state = holding_state(retention, tagged.id, subject, now)
            for system in retention.holding.systems:
                yield retention.holding.rule, system, progress.get((row.record_id, system), state)


def _erasure_progress(
    connection: Connection, records: Collection[UUID], policy: Policy
) -> Mapping[tuple[UUID, str], str]:
    """Return the state of each ending that a system reported as carried out, by record and system.

    A record that was handed over to an archive is `transferred` until it is erased too.
    """
    member, command = tables.member.c, tables.command.c
    query = (
        select(member.record_id, member.system, command.state)
        .join(tables.command, command.command_id == member.command_id)
        .where(member.live, member.step == "erase", command.state.in_(CARRIED_OUT))
    )
    rows = select_in(connection, query, member.record_id, records)
    transferred = outbox.transferred_records(connection, records, policy)
    return {
        (record, system): "transferred"
        for record, systems in transferred.items()
        for system in systems
    } | {(row.record_id, row.system): row.state for row in rows}
