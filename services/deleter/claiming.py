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

from sqlalchemy import Connection, Row, or_, select

from services.deleter import subjects
from services.deleter.planning import due_steps, unmet, unwanted
from services.deleter.subjects import Look
from services.ledger import clocks, journal, tables
from services.ledger.clocks import Clock
from services.ledger.facts import Known, known, tagged_events
from services.ledger.journal import Draft
from services.ledger.keys import clock_id
from services.ledger.rows import change_each
from services.policy import steps
from services.policy.model import Policy
from services.policy.steps import Step
from services.policy.tagging import Tagged

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
    acts: int
    """How much was said about the event's subjects."""


def claim(connection: Connection, policy: Policy, now: datetime, *, limit: int) -> Claimed:
    """Claim up to `limit` records that are due by themselves, and one chunk of each of some clocks.

    Records of subjects of whom something was said come in chunks too. `now` is UTC, by the database's
    clock. Other deleters' claims are skipped, not waited for.
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
    looks = subjects.looks(connection, now, max(1, limit // MOST_RECORDS), MOST_RECORDS)
    members.update((row.record_id, row) for look in looks for row in look.records)
    events = tagged_events(connection, {row.event_id for row in members.values()}, policy)
    siblings = subjects.siblings(connection, looks, events)
    members.update((row.record_id, row) for row in siblings)
    wanted, facts = want(connection, list(members.values()), events, policy, now, looks)
    drafts = draft(wanted)
    journal_ids = journal.write(connection, drafts, policy.version, now)
    _advance(connection, records, events, policy, now)
    subjects.looked(connection, looks, facts, now)
    return Claimed(
        commands=journal_ids,
        looked_at=len(records) + len(walked) + len(looks),
        more=len(records) == limit or bool(walks) or bool(looks),
    )


def want(
    connection: Connection,
    rows: Collection[Row[Any]],
    events: Mapping[UUID, Tagged],
    policy: Policy,
    now: datetime,
    looks: Collection[Look] = (),
) -> tuple[list[Wanted], Known]:
    """Every step that is due for these records and that no command does yet.

    Takes the locks of their clocks and subjects, and holds them until the transaction ends. What
    commands do although what was said forbids it now is taken back.
    """
    keys = {key for row in rows for key in steps.clocks(events[row.event_id], row.subject, policy)}
    locked = clocks.read(connection, {clock_id(key) for key in keys})
    own = {row.subject for row in rows} | {look.subject for look in looks}
    journal.lock_subjects(connection, own)
    anchors = {identity: clock.anchor for identity, clock in locked.items()}
    others = {one for row in rows for one in events[row.event_id].subjects}
    facts = known(connection, anchors, own | others, policy)
    live = journal.live_steps(connection, {row.record_id for row in rows})
    found: list[Wanted] = []
    forbidden: list[tuple[UUID, str, str]] = []
    for row in rows:
        done = live.get(row.record_id, frozenset())
        tagged = events[row.event_id]
        due = due_steps(tagged, row.subject, facts, policy, now)
        acts = sum(facts.acts.get(one, 0) for one in tagged.subjects) if facts.acts else 0
        if acts:
            forbidden += [(row.record_id, *one) for one in unwanted(due, done)]
        for step in unmet(due, done):
            epochs = tuple(
                (str(key), clock_id(key), locked[clock_id(key)].epoch) for key in step.clocks
            )
            found.append(
                Wanted(
                    record_id=row.record_id,
                    subject=row.subject,
                    step=step,
                    epochs=epochs,
                    names_subject=step.action != "erase"
                    or (step.system, "pseudonymise") not in done,
                    acts=acts,
                )
            )
    if forbidden:
        stale = journal.no_longer_wanted(connection, forbidden)
        for command in journal.take_back(connection, stale, policy, now):
            journal.look_again(connection, command, now)
    return found, facts


def draft(wanted: Iterable[Wanted]) -> list[Draft]:
    """Group wanted steps into commands of at most `MOST_RECORDS` records, alike in all they say."""
    groups: defaultdict[Draft, list[UUID]] = defaultdict(list)
    for one in wanted:
        step = one.step
        alike = Draft(
            system=step.system,
            subject=one.subject,
            action=step.action,
            step=step.key,
            rules=step.rules,
            purposes=step.purposes,
            reason=step.reason,
            due_at=step.due,
            not_before=step.not_before,
            erase_by=step.erase_by,
            epochs=one.epochs,
            names_subject=one.names_subject,
            acts=one.acts,
        )
        groups[alike].append(one.record_id)
    drafts = []
    for alike, records in groups.items():
        rest = iter(sorted(records))
        while chunk := tuple(islice(rest, MOST_RECORDS)):
            drafts.append(alike.of(chunk))
    return sorted(drafts, key=lambda one: (one.due_at, one.system, one.subject, one.action))


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
        changes.append({"record_id": row.record_id, "next_due": later})
    change_each(connection, tables.record, changes)
