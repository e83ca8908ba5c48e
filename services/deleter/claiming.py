"""Claiming: what the facts and the policy want by now, minus what the journal has.

One call is one transaction. It locks in one order (clocks, subjects), looks again at everything inside
the lock, and writes commands, their records and the walk's progress together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, bindparam, or_, select, update

from services.ledger import clocks, journal, tables
from services.ledger.clocks import Clock
from services.ledger.journal import Draft
from services.ledger.keys import clock_id
from services.ledger.recording import Arrival, from_deciding_json
from services.ledger.rows import fetch
from services.policy import steps
from services.policy.model import Policy
from services.policy.steps import Step
from services.policy.tagging import ClockKey, Tagged, tag

MOST_RECORDS = 500
"""No command names more records than this."""
_CLOCKS_TO_RECORDS = 4
"""A claim looks at one clock for so many records: most clocks have few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """What one claim came to."""

    commands: tuple[UUID, ...]
    looked_at: int
    """Records and clocks that were due for a look."""
    more: bool
    """Whether there may be more that is due by the same instant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A step that is due for a record, with the epochs of the clocks that say so."""

    record_id: UUID
    subject: str
    step: Step
    epochs: tuple[tuple[str, UUID, int], ...]
    names_subject: bool


def claim(connection: Connection, policy: Policy, now: datetime, *, limit: int) -> Claimed:
    """Claim up to `limit` records that are due by themselves, and one chunk of each of some clocks.

    `now` is UTC, by the database's clock. Other deleters' claims are skipped, not waited for.
    """
    records = _due_records(connection, now, limit)
    members: dict[UUID, Row[Any]] = {row.record_id: row for row in records}
    walks = _due_clocks(connection, now, max(1, limit // _CLOCKS_TO_RECORDS))
    walked: list[Clock] = []
    for walk in walks:
        if walked and len(members) >= limit:
            break  # the others keep their turn
        chunk = _chunk(connection, walk)
        members.update((row.record_id, row) for row in chunk if row.backfill is None)
        cursor = chunk[-1].record_id if len(chunk) == MOST_RECORDS else None
        walked.append(walk.walked(now, cursor, policy))
    clocks.save(connection, walked)
    more = len(records) == limit or bool(walks)
    events = tagged_events(connection, {row.event_id for row in members.values()}, policy)
    wanted = want(connection, list(members.values()), events, policy, now)
    drafts = draft(wanted)
    journal_ids = journal.write(connection, drafts, policy.version, now)
    _advance(connection, records, events, policy, now)
    return Claimed(commands=journal_ids, looked_at=len(records) + len(walked), more=more)


def want(
    connection: Connection,
    rows: Collection[Row[Any]],
    events: Mapping[UUID, Tagged],
    policy: Policy,
    now: datetime,
) -> list[Wanted]:
    """Every step that is due for these records and that no command does yet.

    Takes the locks of their clocks and subjects, and holds them until the transaction ends.
    """
    keys = {key for row in rows for key in steps.clocks(events[row.event_id], row.subject, policy)}
    known = clocks.read(connection, {clock_id(key) for key in keys})
    journal.lock_subjects(connection, {row.subject for row in rows})
    live = journal.live_steps(connection, {row.record_id for row in rows})
    anchors = {identity: clock.anchor for identity, clock in known.items()}
    found: list[Wanted] = []
    for row in rows:
        done = live.get(row.record_id, frozenset())
        for step in due_steps(events[row.event_id], row.subject, anchors, done, policy, now):
            epochs = tuple(
                (str(key), clock_id(key), known[clock_id(key)].epoch) for key in step.clocks
            )
            found.append(
                Wanted(
                    record_id=row.record_id,
                    subject=row.subject,
                    step=step,
                    epochs=epochs,
                    names_subject=step.action != "erase"
                    or (step.system, "pseudonymise") not in done,
                )
            )
    return found


def due_steps(
    tagged: Tagged,
    subject: str,
    anchors: Mapping[UUID, datetime | None],
    done: Collection[tuple[str, str]],
    policy: Policy,
    now: datetime,
) -> list[Step]:
    """The steps of a record that are due by now and that no command does yet."""

    def anchor(key: ClockKey) -> datetime | None:
        return anchors.get(clock_id(key))

    planned = steps.steps(tagged, subject, anchor, policy)
    return unmet([step for step in planned if step.due <= now], done)


def unmet(due: Iterable[Step], done: Collection[tuple[str, str]]) -> list[Step]:
    """The due steps that are still to be commanded: an erasure makes every other step needless."""
    due = list(due)
    erased = {system for system, step in done if step == "erase"}
    erasing = {step.system for step in due if step.action == "erase"}
    return [
        step
        for step in due
        if step.system not in erased
        and (step.action == "erase" or step.system not in erasing)
        and (step.system, step_key(step)) not in done
    ]


def step_key(step: Step) -> str:
    """What tells a record's steps in one system apart: there may be several restrictions."""
    if step.action == "restrict":
        return f"restrict {' '.join(step.purposes)}"
    return step.action


def draft(wanted: Iterable[Wanted]) -> list[Draft]:
    """Group wanted steps into commands of at most `MOST_RECORDS` records, alike in all they say."""
    groups: defaultdict[Draft, list[UUID]] = defaultdict(list)
    for one in wanted:
        step = one.step
        alike = Draft(
            system=step.system,
            subject=one.subject,
            action=step.action,
            step=step_key(step),
            rules=step.rules,
            purposes=step.purposes,
            reason=step.reason,
            due_at=step.due,
            not_before=step.not_before,
            erase_by=step.erase_by,
            epochs=one.epochs,
            names_subject=one.names_subject,
        )
        groups[alike].append(one.record_id)
    drafts = []
    for alike, records in groups.items():
        rest = iter(sorted(records))
        while chunk := tuple(islice(rest, MOST_RECORDS)):
            drafts.append(alike.of(chunk))
    return sorted(drafts, key=lambda one: (one.due_at, one.system, one.subject, one.action))


def tagged_events(
    connection: Connection, events: Collection[UUID], policy: Policy
) -> dict[UUID, Tagged]:
    """The events, tagged by the active policy from their deciding fields."""
    rows = fetch(connection, select(tables.event), tables.event.c.event_id, events)
    return {row.event_id: tag(_arrival(row), policy) for row in rows}


def _arrival(row: Row[Any]) -> Arrival:
    return Arrival(
        source=row.source,
        id=row.id,
        type=row.type,
        time=row.time,
        content_hash=row.content_hash,
        deciding=from_deciding_json(row.deciding),
        topic=row.topic,
        partition=row.partition,
        offset=row.offset,
    )


def _due_records(connection: Connection, now: datetime, limit: int) -> Sequence[Row[Any]]:
    record = tables.record.c
    return connection.execute(
        select(tables.record)
        .where(record.next_due <= now, record.next_due.is_not(None), record.backfill.is_(None))
        .order_by(record.next_due)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()


def _due_clocks(connection: Connection, now: datetime, limit: int) -> list[Clock]:
    column = tables.clock.c
    rows = connection.execute(
        select(tables.clock)
        .where(column.next_due <= now, column.next_due.is_not(None), column.backfill.is_(None))
        .where(or_(column.cursor.is_(None), column.fired_to <= now))
        .order_by(column.next_due)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [clocks.clock(row) for row in rows]


def _chunk(connection: Connection, walk: Clock) -> Sequence[Row[Any]]:
    hanging = tables.hanging.c
    query = (
        select(tables.record)
        .join(tables.hanging, hanging.record_id == tables.record.c.record_id)
        .where(hanging.clock_id == walk.clock_id)
        .order_by(hanging.record_id)
        .limit(MOST_RECORDS)
    )
    if walk.cursor is not None:
        query = query.where(hanging.record_id > walk.cursor)
    return connection.execute(query).all()


def _advance(
    connection: Connection,
    records: Sequence[Row[Any]],
    events: Mapping[UUID, Tagged],
    policy: Policy,
    now: datetime,
) -> None:
    """Set each claimed record to the next instant that its event fixes."""
    if not records:
        return
    changes = []
    for row in records:
        wakes = steps.own_wakes(events[row.event_id], row.subject, policy)
        later = min((at for at in wakes if at > now), default=None)
        changes.append({"the_record": row.record_id, "next_due": later})
    statement = (
        update(tables.record)
        .where(tables.record.c.record_id == bindparam("the_record"))
        .values(next_due=bindparam("next_due"))
    )
    connection.execute(statement, changes)
