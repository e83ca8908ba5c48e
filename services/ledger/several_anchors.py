"""Count how the ends of holdings change that follow from several anchors, from dates or from outcomes.

SQL groups the records by all of these, and each group is judged once under both policies. Holdings that
count from their event are as many groups as there are instants of events; beyond a bound none is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Connection, Row, case, exists, func, null, or_, select
from sqlalchemy.sql.expression import type_coerce

from services.ledger import tables
from services.policy.end_changes import EndChange, HoldingEnd, change_of_ends
from services.policy.retention_windows import NoFacts, compute_window
from services.policy.rule import Part
from services.policy.rule_ends import ClockStanding
from services.policy.tagged_event import ClockKey, Holding

MAX_GROUPS: Final = 20_000
"""The groups that are judged at most; more would take a person's patience."""
_EVENT_ANCHORS: Final = ("event", "book-year")

SeveralChange = EndChange | Literal["open", "by person"]


class _Standings(NoFacts):
    """Facts in which each kind of clock has one standing."""

    def __init__(self, by_kind: Mapping[str, ClockStanding]) -> None:
        self._by_kind = by_kind

    def standing(self, clock: ClockKey) -> ClockStanding:
        return self._by_kind[clock.clock]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndPair:
    """The end of a holding in one system under the old and under the new policy."""

    old: HoldingEnd
    new: HoldingEnd

    @property
    def kinds(self) -> Sequence[str]:
        """The kinds of the clocks that either follows from."""
        clocks = (*self.old.holding.clocks, *self.new.holding.clocks)
        return sorted({clock.clock for clock in clocks})

    @property
    def fields(self) -> Sequence[str]:
        """The event fields with a date that either follows from."""
        return sorted({part.anchor.field for part in self._parts() if part.anchor.field})

    @property
    def counts_from_event(self) -> bool:
        """Whether either follows from the time of the event."""
        return any(part.anchor.kind in _EVENT_ANCHORS for part in self._parts())

    def _parts(self) -> Iterator[Part]:
        for end in (self.old, self.new):
            yield from end.policy.rules[end.holding.rule].parts


def count_several(
    connection: Connection,
    ends: EndPair,
    where: Sequence[ColumnElement[bool]],
    text_of: Callable[[str], ColumnElement[Any]],
    now: Any,
    limit: int = MAX_GROUPS,
) -> Counter[SeveralChange] | None:
    """Count the records of a condition by how their ends change; None if they are more groups than `limit`.

    `text_of` is a field of the event as SQL; `now` is UTC. Records depend on one clock of each kind.
    """
    rows = connection.execute(_grouped(ends, where, text_of).limit(limit + 1)).all()
    if len(rows) > limit:
        return None
    counts: Counter[SeveralChange] = Counter()
    for row in rows:
        counts[_change(ends, row, now)] += row.holdings
    return counts


def _grouped(
    ends: EndPair,
    where: Sequence[ColumnElement[bool]],
    text_of: Callable[[str], ColumnElement[Any]],
) -> Any:
    source = tables.record.join(tables.event, tables.event.c.event_id == tables.record.c.event_id)
    event_time = tables.event.c.time
    columns: list[ColumnElement[Any]] = [
        case((exists().where(tables.act.c.subject == tables.record.c.subject), 1), else_=0).label(
            "has_acts"
        ),
        *([event_time.label("time")] if ends.counts_from_event else []),
        *(text_of(name).label(f"field_{n}") for n, name in enumerate(ends.fields)),
    ]
    conditions = list(where)
    for number, kind in enumerate(ends.kinds):
        hanging, clock = tables.hanging.alias(), tables.clock.alias()
        source = source.join(hanging, hanging.c.record_id == tables.record.c.record_id)
        source = source.join(clock, clock.c.clock_id == hanging.c.clock_id)
        conditions.append(clock.c.clock == kind)
        is_known = clock.c.backfill.is_(None)
        ended_at = type_coerce(
            case((is_known, clock.c.anchor_at), else_=null()), clock.c.anchor_at.type
        )
        has_begun = or_(clock.c.moved_at.is_not(None), clock.c.epoch > 0)
        columns += [
            ended_at.label(f"ended_{number}"),
            case((is_known, clock.c.outcome), else_=null()).label(f"outcome_{number}"),
            case((has_begun, 1), else_=0).label(f"begun_{number}"),
        ]
    names = [column.name for column in columns]
    query = select(*columns, func.count().label("holdings")).select_from(source)
    return query.where(*conditions).group_by(*names)


def _change(ends: EndPair, row: Row[Any], now: Any) -> SeveralChange:
    if row.has_acts:
        return "by person"
    values = row._mapping
    standings = {
        kind: ClockStanding(
            ended_at=values[f"ended_{number}"],
            outcome=values[f"outcome_{number}"],
            has_begun=bool(values[f"begun_{number}"]),
        )
        for number, kind in enumerate(ends.kinds)
    }
    dates = {name: values[f"field_{number}"] for number, name in enumerate(ends.fields)}
    time = values["time"] if ends.counts_from_event else now
    before, after = (
        compute_window(_with_dates(end, dates), time, _Standings(standings), end.policy).due_at[
            end.system
        ]
        for end in (ends.old, ends.new)
    )
    if before is None and after is None:
        return "open"
    return change_of_ends(before, after, now)


def _with_dates(end: HoldingEnd, dates: Mapping[str, str | None]) -> Holding:
    """Return the holding with the dates of a group in place of those of its sample."""
    parts = end.policy.rules[end.holding.rule].parts
    starts = tuple(
        dates[part.anchor.field] if part.anchor.field else start
        for part, start in zip(parts, end.holding.starts, strict=True)
    )
    return replace(end.holding, starts=starts)
