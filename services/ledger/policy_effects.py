"""Count the holdings in the ledger that another policy lets end earlier, later or at once.

SQL groups the records by what decides which holdings they have, and counts each group by ranges of its
anchors. One record of each group is tagged under both policies; no other row is read.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Join,
    Select,
    case,
    cast,
    exists,
    func,
    literal,
    null,
    select,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import JSONB

from services.ledger import tables
from services.ledger.command_state import CARRIED_OUT
from services.ledger.facts import load_tagged_events
from services.ledger.several_anchors import EndPair, count_several
from services.policy.conditions import condition_fields, conditions, rules_of
from services.policy.end_changes import (
    AnchorRange,
    HoldingEnd,
    change_ranges,
    deciding_values,
)
from services.policy.event_type import EventType
from services.policy.field_changes import unfit_types
from services.policy.loader import policy_values
from services.policy.model import Policy
from services.policy.retiring import retirement_times
from services.policy.tagged_event import Holding

Effect = Literal[
    "earlier", "at once", "later", "open", "by person", "added", "dropped", "not counted"
]
"""What a policy changes about a holding in one system.

`open`: its term changes, and the clock that starts the term has not ended. `by person`: its term changes,
and its subject has privacy events, which decide too. `added`, `dropped`: the system holds it only under the
new, or only under the old policy. `not counted`: its end follows from more than one anchor, and the
anchors differ too much (`services.ledger.several_anchors`), or are several clocks of one kind.
"""


class EffectCount(NamedTuple):
    """How many holdings of a rule a policy changes in one way in one system."""

    rule: str
    system: str
    effect: Effect
    holdings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """Records of one event type that have the same holdings under both policies."""

    where: Sequence[ColumnElement[bool]]
    old: Mapping[str, Sequence[Holding]]
    new: Mapping[str, Sequence[Holding]]
    """The holdings of its sample, by subject."""
    subject: str


@dataclass(slots=True, kw_only=True)
class _Counting:
    """A count in progress, with what is computed once for all groups."""

    connection: Connection
    old: Policy
    new: Policy
    now: datetime
    counts: Counter[tuple[str, str, Effect]] = field(default_factory=Counter)
    _old_values: Mapping[str, Any] = field(init=False)
    _new_values: Mapping[str, Any] = field(init=False)
    _bounds: tuple[datetime, datetime] = field(init=False)
    _known_ranges: dict[object, Sequence[AnchorRange]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._old_values, self._new_values = policy_values(self.old), policy_values(self.new)
        event, clock = tables.event.c.time, tables.clock.c.anchor_at
        times: list[datetime] = []
        for column in (event, clock):
            row = self.connection.execute(select(func.min(column), func.max(column))).one()
            times += [time for time in row if time is not None]
        self._bounds = (min(times, default=self.now), max(times, default=self.now))

    def count_type(self, name: str) -> None:
        """Count the records of an event type, group by group."""
        if not self._can_change(name):
            return
        for group in _groups(self.connection, name, self.old, self.new):
            old_holdings = group.old.get(group.subject, ())
            new_holdings = group.new.get(group.subject, ())
            for before, after in _pairs(old_holdings, new_holdings):
                self._count_holding(group, before, after)

    def _ranges(self, old: HoldingEnd, new: HoldingEnd) -> Sequence[AnchorRange]:
        """Return the ranges of anchors; they are the same for each system with the same lead times."""
        key = tuple(
            (end.holding.rule, end.policy.systems[end.system].lead_time) for end in (old, new)
        )
        if key not in self._known_ranges:
            self._known_ranges[key] = change_ranges(old, new, *self._bounds, self.now)
        return self._known_ranges[key]

    def _can_change(self, name: str) -> bool:
        """Whether anything that decides about holdings of the type differs."""
        old, new = self._old_values, self._new_values
        holdings = old["events"][name]["holdings"]
        if holdings != new["events"][name]["holdings"]:
            return True
        keys = {"systems": ("lead_time", "retired"), "purposes": ("retired",)}
        for section, deciding in keys.items():
            for key in deciding:
                before, after = (_by_name(values[section], key) for values in (old, new))
                if any(after.get(entry) != value for entry, value in before.items()):
                    return True
        any_system = next(iter(old["systems"]))
        rules = [
            {
                rule: (deciding_values(values, rule, any_system), conditions(rule, policy.rules))
                for holding in policy.events[name].holdings
                for rule in rules_of(holding, policy)
            }
            for policy, values in ((self.old, old), (self.new, new))
        ]
        return rules[0] != rules[1]

    def _count_holding(self, group: _Group, before: Holding | None, after: Holding | None) -> None:
        old_systems = set(before.systems) if before else set()
        new_systems = set(after.systems) if after else set()
        for system in sorted(old_systems | new_systems):
            if before is None or system not in old_systems:
                assert after is not None
                self._add(group, after.rule, system, "added")
            elif after is None or system not in new_systems:
                self._add(group, before.rule, system, "dropped")
            else:
                self._count_ends(group, before, after, system)

    def _add(self, group: _Group, rule: str, system: str, effect: Effect) -> None:
        counted = select(func.count()).select_from(_records()).where(*group.where)
        counted = counted.where(~_is_erased(system))
        self.counts[rule, system, effect] += self.connection.execute(counted).scalar_one()

    def _count_ends(self, group: _Group, before: Holding, after: Holding, system: str) -> None:
        """Count the group's holdings that are not erased, by the range that their anchor falls in."""
        if deciding_values(self._old_values, before.rule, system) == deciding_values(
            self._new_values, after.rule, system
        ):
            return
        old = HoldingEnd(holding=before, system=system, policy=self.old)
        new = HoldingEnd(holding=after, system=system, policy=self.new)
        if not all(_has_one_clock(group, kind) for kind in EndPair(old=old, new=new).kinds):
            self._add(group, after.rule, system, "not counted")
            return
        if not (old.is_counted and new.is_counted):
            self._count_several(group, EndPair(old=old, new=new))
            return
        ranges = self._ranges(old, new)
        query, anchor = _with_anchor(before)
        has_acts = exists().where(tables.act.c.subject == tables.record.c.subject)
        effect = case(
            (has_acts, literal("by person")),
            (anchor.is_(None), literal("open")),
            *((anchor < part.until, literal(part.change)) for part in ranges),
        )
        counted = (
            query.with_only_columns(effect.label("effect"), func.count().label("holdings"))
            .where(*group.where, ~_is_erased(system))
            .group_by("effect")
        )
        for row in self.connection.execute(counted):
            if row.effect != "unchanged":
                self.counts[after.rule, system, row.effect] += row.holdings

    def _count_several(self, group: _Group, ends: EndPair) -> None:
        """Count the group's holdings whose end follows from more than one anchor."""
        rule, system = ends.new.holding.rule, ends.new.system
        where = [*group.where, ~_is_erased(system)]
        text_of = _Deciding(self.connection).text
        counts = count_several(self.connection, ends, where, text_of, self.now)
        if counts is None:
            self._add(group, rule, system, "not counted")
            return
        for change, holdings in counts.items():
            if change != "unchanged":
                self.counts[rule, system, change] += holdings


def count_effects(
    connection: Connection, old: Policy, new: Policy, now: datetime
) -> list[EffectCount]:
    """Return how many holdings end differently under `new` than under `old`, by rule and system.

    Counted are the holdings of event types that both policies have and that mean the same in both: another
    meaning cannot be activated. What is erased already is left out. `now` is UTC. Nothing is locked.
    """
    counting = _Counting(connection=connection, old=old, new=new, now=now)
    unfit = unfit_types(old, new)
    for name in sorted(old.events.keys() - unfit.keys()):
        counting.count_type(name)
    return sorted(
        EffectCount(rule, system, effect, holdings)
        for (rule, system, effect), holdings in counting.counts.items()
        if holdings
    )


def _by_name(entries: Mapping[str, Mapping[str, Any]], key: str) -> Mapping[str, Any]:
    return {name: entry[key] for name, entry in entries.items()}


def _records() -> Join:
    return tables.record.join(tables.event, tables.event.c.event_id == tables.record.c.event_id)


def _with_anchor(holding: Holding) -> tuple[Select[Any], ColumnElement[Any]]:
    """Return a query of records, and in it the anchor of a holding."""
    if not holding.clocks:
        return select().select_from(_records()), tables.event.c.time
    clock, hanging = tables.clock.c, tables.hanging.c
    joined = (
        _records()
        .join(tables.hanging, hanging.record_id == tables.record.c.record_id)
        .join(tables.clock, clock.clock_id == hanging.clock_id)
    )
    anchor = case((clock.backfill.is_(None), clock.anchor_at), else_=null())
    query = select().select_from(joined).where(clock.clock == holding.clocks[0].clock)
    return query, type_coerce(anchor, clock.anchor_at.type)


def _has_one_clock(group: _Group, kind: str) -> bool:
    """Whether the records depend on one clock of a kind, so that the kind alone finds it."""
    others = (other for holdings in group.old.values() for other in holdings)
    clocks = {clock for other in others for clock in other.clocks}
    return [clock.clock for clock in clocks].count(kind) == 1


def _is_erased(system: str) -> ColumnElement[bool]:
    member, command = tables.member.c, tables.command.c
    return exists().where(
        member.record_id == tables.record.c.record_id,
        member.system == system,
        member.live.is_(True),
        command.command_id == member.command_id,
        command.action == "erase",
        command.state.in_(CARRIED_OUT),
    )


def _pairs(
    old: Sequence[Holding], new: Sequence[Holding]
) -> Iterator[tuple[Holding | None, Holding | None]]:
    """Return the holdings of a record under both policies; by position, if no purpose is retired."""
    if len(old) == len(new):
        yield from zip(old, new, strict=True)
        return
    unmatched = list(new)
    for before in old:
        after = next((item for item in unmatched if item.purpose == before.purpose), None)
        if after is not None:
            unmatched.remove(after)
        yield before, after
    yield from ((None, after) for after in unmatched)


def _groups(connection: Connection, name: str, old: Policy, new: Policy) -> Iterator[_Group]:
    """Return the groups of the records of an event type."""
    kind = old.events[name]
    data = _Deciding(connection)
    is_own = tables.record.c.subject == data.own_subject(kind)
    own_or_not = case((is_own, 1), else_=0)
    subject_kind = data.kind_of(tables.record.c.subject)
    eras = [tables.event.c.time >= at for at in _retirements(old, new)]
    parts: list[ColumnElement[Any]] = [
        own_or_not,
        subject_kind,
        *(data.text(field) for field in _deciding_fields(name, old, new)),
        *(case((era, 1), else_=0) for era in eras),
    ]
    columns = [part.label(f"part_{number}") for number, part in enumerate(parts)]
    of_type = tables.event.c.type == name
    sample = func.min(data.as_text(tables.record.c.record_id)).label("sample")
    query = select(*columns, sample).select_from(_records()).where(of_type)
    query = query.group_by(*(column.name for column in columns))
    for row in connection.execute(query).all():
        values = row[:-1]
        where = [part.is_not_distinct_from(v) for part, v in zip(parts, values, strict=True)]
        yield _sampled(connection, UUID(row[-1]), [of_type, *where], old, new)


def _sampled(
    connection: Connection,
    sample: UUID,
    where: Sequence[ColumnElement[bool]],
    old: Policy,
    new: Policy,
) -> _Group:
    query = select(tables.record.c.event_id, tables.record.c.subject).where(
        tables.record.c.record_id == sample
    )
    record = connection.execute(query).one()

    def holdings(policy: Policy) -> Mapping[str, Sequence[Holding]]:
        events = load_tagged_events(connection, [record.event_id], policy)
        return events[record.event_id].by_subject

    return _Group(where=where, old=holdings(old), new=holdings(new), subject=record.subject)


def _retirements(old: Policy, new: Policy) -> Sequence[datetime]:
    return sorted({*retirement_times(old), *retirement_times(new)})


def _deciding_fields(name: str, old: Policy, new: Policy) -> Sequence[str]:
    """Return the fields of an event type that decide which holdings it has, and under which rules."""
    names = {
        field
        for policy in (old, new)
        for holding in policy.events[name].holdings
        for field in (
            *(*holding.when, *holding.systems_when, holding.systems_from),
            *condition_fields(holding, policy),
        )
        if field
    }
    return sorted(names)


class _Deciding:
    """The decision fields of an event in SQL."""

    def __init__(self, connection: Connection) -> None:
        self._is_sqlite = connection.dialect.name == "sqlite"

    def as_text(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return an id as text: not every database compares ids."""
        return cast(column, tables.record.c.subject.type)

    def text(self, field: str) -> ColumnElement[Any]:
        """Return a field's value as text; a list as JSON."""
        column = tables.event.c.deciding
        if self._is_sqlite:
            return func.json_extract(column, f"$.{json.dumps(field)}")
        value: ColumnElement[Any] = cast(column, JSONB)[field].astext
        return value

    def kind_of(self, subject: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return the kind of a data subject that is written `kind:id`."""
        if self._is_sqlite:
            return func.substr(subject, 1, func.instr(subject, ":") - 1)
        return func.split_part(subject, ":", 1)

    def own_subject(self, kind: EventType) -> ColumnElement[Any]:
        """Return the event's own subject: that of the first field that is present."""
        named = [
            literal(f"{part.kind}:").concat(self.text(part.field))
            if part.kind
            else self.text(part.field)
            for part in kind.subject
        ]
        return func.coalesce(*named, "") if named else literal("")
