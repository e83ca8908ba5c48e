"""Claiming: what the facts and the policy want by now, minus what the journal has.

One call is one transaction. It locks in one order (clocks, subjects), looks again at everything inside
the lock, and writes commands, their records and the walk's progress together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, or_, select

from schemas import limits
from services.deleter import subject_scan
from services.deleter.command_size import record_size, split_by_size
from services.deleter.plan_cache import CachingPlanner
from services.deleter.planning import (
    needed_restrictions,
    obsolete,
    outstanding,
    without_contested_keys,
)
from services.deleter.subject_scan import SubjectScanChunk
from services.deleter.withheld import is_withheld
from services.ledger import clocks, key_conflicts, outbox, tables
from services.ledger.blind_spots import (
    NO_BLIND_SPOTS,
    RESCAN_DELAY,
    BlindSpots,
    schedule_record_check,
)
from services.ledger.clocks import ClockState
from services.ledger.facts import LedgerFacts, load_facts, load_tagged_events
from services.ledger.outbox import CommandDraft, LeaseRequest
from services.policy import obligations
from services.policy.ids import clock_id
from services.policy.model import Policy
from services.policy.obligations import Obligation
from services.policy.tagging import TaggedEvent
from services.storage.bulk import update_each

MAX_RECORDS_PER_COMMAND = limits.MAX_COMMAND_RECORDS
"""No command names more records than this."""
_NEWEST_SHARE = 8
"""Of so many records that a claim takes, one is among those that became due last."""
_CLOCKS_PER_RECORD = 4
"""A claim looks at one clock for so many records: most clocks have few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimResult:
    """What one claim came to."""

    commands: tuple[UUID, ...]
    leased: tuple[UUID, ...]
    """Of these, the commands that are to be relayed at once."""
    events: Mapping[UUID, TaggedEvent]
    """The events of the records that were looked at, by id."""
    scanned: int
    """Records and clocks that were due for a look."""
    more: bool
    """Whether there may be more that is due by the same instant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedObligation:
    """A step that is due for a record, with the epochs of the clocks that say so."""

    record_id: UUID
    subject: str
    obligation: Obligation
    epochs: tuple[tuple[str, UUID, int], ...]
    names_subject: bool
    acts: int
    """How much was said about the event's subjects."""
    size: int = 0
    """Bytes that the record takes in a command, at most."""


def claim_due(
    connection: Connection,
    policy: Policy,
    now: datetime,
    *,
    limit: int,
    lease: LeaseRequest | None = None,
    blindness: BlindSpots = NO_BLIND_SPOTS,
) -> ClaimResult:
    """Claim up to `limit` records that are due by themselves, and one chunk of each of some clocks.

    Records of subjects of whom something was said come in chunks too. `now` is UTC, by the database's
    clock. Other deleters' claims are skipped, not waited for. With a `lease` the commands are at once
    taken for relaying. What `blindness` withholds is looked at again soon.
    """
    records = _due_records(connection, now, limit)
    members: dict[UUID, Row[Any]] = {row.record_id: row for row in records}
    advanced: list[ClockState] = []
    for walk in _due_clocks(connection, now, limit):
        if advanced and len(members) >= limit:
            break  # the others keep their turn
        chunk = _clock_chunk(connection, walk)
        members.update((row.record_id, row) for row in chunk if row.backfill is None)
        cursor = chunk[-1].record_id if len(chunk) == MAX_RECORDS_PER_COMMAND else None
        advanced.append(walk.with_scan_advanced(now, cursor, policy))
    clocks.update_clocks(connection, advanced)
    scans = subject_scan.due_scans(
        connection,
        now,
        limit=max(1, limit // _CLOCKS_PER_RECORD),
        max_records=limit,
        chunk=MAX_RECORDS_PER_COMMAND,
    )
    members.update((row.record_id, row) for look in scans for row in look.records)
    events = load_tagged_events(connection, {row.event_id for row in members.values()}, policy)
    co_subject_records = subject_scan.co_subject_records(connection, scans, events)
    members.update((row.record_id, row) for row in co_subject_records)

    def waits(step: Obligation, tagged: TaggedEvent, subject: str) -> bool:
        return is_withheld(blindness, step.action, subject, tagged, policy)

    rows = list(members.values())
    planned = plan_obligations(connection, rows, events, policy, now, scans, waits)
    written = outbox.insert_commands(
        connection, group_into_commands(planned.obligations), policy.version, now, lease
    )
    _schedule_next_check(connection, records, events, policy, now)
    schedule_record_check(connection, planned.withheld | planned.superseded.keys(), now)
    subject_scan.advance_scans(connection, scans, planned.facts, now)
    subject_scan.postpone_scans(connection, set(planned.superseded.values()), now + RESCAN_DELAY)
    return ClaimResult(
        commands=written.commands,
        leased=written.leased,
        events=events,
        scanned=len(records) + len(advanced) + len(scans),
        more=len(records) >= limit or bool(advanced) or bool(scans),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanningResult:
    """What a look at records came to."""

    obligations: Sequence[PlannedObligation]
    """What is due and no command does yet."""
    withheld: Set[UUID]
    """Records of which something has to wait."""
    superseded: Mapping[UUID, str]
    """Records, with their subject, of which an erasure makes a restriction needless, once it leaves."""
    facts: LedgerFacts


def plan_obligations(
    connection: Connection,
    rows: Collection[Row[Any]],
    events: Mapping[UUID, TaggedEvent],
    policy: Policy,
    now: datetime,
    scans: Collection[SubjectScanChunk],
    is_postponed: Callable[[Obligation, TaggedEvent, str], bool],
) -> PlanningResult:
    """Every step that is due for these records and that no command does yet, but for what `waits`.

    What erases and waits, here or in the outbox, is no reason to restrict nothing meanwhile.

    Takes the locks of their clocks and subjects, and holds them until the transaction ends. What
    commands are to do although facts or policy do not ask for it any more is taken back.
    """
    keys = {
        key
        for row in rows
        for key in obligations.clocks_of(events[row.event_id], row.subject, policy)
    }
    locked = clocks.load_clocks(connection, {clock_id(key) for key in keys})
    own = {row.subject for row in rows} | {look.subject for look in scans}
    outbox.lock_subjects(connection, own, "command")
    anchors = {identity: clock.anchor for identity, clock in locked.items()}
    mentioned = {row.event_id: events[row.event_id].subjects for row in rows}
    others = {one for those in mentioned.values() for one in those}
    facts = load_facts(connection, anchors, own | others, policy)
    said = {
        event: sum(facts.acts.get(one, 0) for one in those) for event, those in mentioned.items()
    }
    active = outbox.active_obligations(connection, {row.record_id for row in rows})
    spoken_of = {row.record_id for row in rows if facts.subject_state(row.subject)}
    unsent = outbox.unsent_erasures(connection, spoken_of & active.keys())
    conflicted_keys = key_conflicts.load_conflicted_keys(connection, events.values(), policy)
    planner = CachingPlanner(facts, policy, now)
    planned: list[PlannedObligation] = []
    withheld: set[UUID] = set()
    superseded: dict[UUID, str] = {}
    forbidden: list[tuple[UUID, str, str]] = []
    for row in rows:
        done = active.get(row.record_id, frozenset())
        tagged = events[row.event_id]
        due = planner.due_obligations(tagged, row.subject)
        if conflicted_keys.blocks(tagged):
            due = without_contested_keys(due)
        acts = said[row.event_id]
        forbidden += [(row.record_id, *one) for one in obsolete(due, done)]
        unmet_steps = outstanding(due, done)
        restricted = [one for one in needed_restrictions(due, done) if one not in unmet_steps]
        lying = set(unsent.get(row.record_id, ())) if restricted else set()
        if any(is_postponed(step, tagged, row.subject) for step in unmet_steps):
            withheld.add(row.record_id)
            unmet_steps = [one for one in unmet_steps if not is_postponed(one, tagged, row.subject)]
            lying |= {one.system for one in restricted if (one.system, "erase") not in done}
        elif any((one.system, "erase") not in done for one in restricted):
            superseded[row.record_id] = row.subject
        unmet_steps += [one for one in restricted if one.system in lying]
        for step in unmet_steps:
            epochs = tuple(
                (str(key), clock_id(key), locked[clock_id(key)].epoch) for key in step.clocks
            )
            planned.append(
                PlannedObligation(
                    record_id=row.record_id,
                    subject=row.subject,
                    obligation=step,
                    epochs=epochs,
                    names_subject=step.action != "erase"
                    or (step.system, "pseudonymise") not in done,
                    acts=acts,
                    size=record_size(tagged, policy),
                )
            )
    if forbidden:
        stale = outbox.commands_for_obligations(connection, forbidden)
        for command in outbox.cancel_or_recall(connection, stale, policy, now):
            outbox.schedule_rescan(connection, command, now)
    return PlanningResult(
        obligations=planned, withheld=withheld, superseded=superseded, facts=facts
    )


def group_into_commands(planned: Iterable[PlannedObligation]) -> list[CommandDraft]:
    """Group wanted steps into commands of so many records, alike in all they say, as the bus takes."""
    groups: defaultdict[tuple[Any, ...], list[tuple[UUID, int]]] = defaultdict(list)
    firsts: dict[tuple[Any, ...], PlannedObligation] = {}
    for one in planned:
        step = one.obligation
        alike = (
            step.due,
            step.system,
            one.subject,
            step.action,
            step.rules,
            step.purposes,
            step.reason,
            step.key,
            step.not_before,
            step.erase_by,
            one.epochs,
            one.names_subject,
            one.acts,
        )
        groups[alike].append((one.record_id, one.size))
        firsts.setdefault(alike, one)
    drafts = []
    for alike, records in groups.items():
        one = firsts[alike]
        step = one.obligation
        for chunk in split_by_size(sorted(records)):
            drafts.append(
                CommandDraft(
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
                    records=chunk,
                    names_subject=one.names_subject,
                    acts=one.acts,
                    request=step.request,
                )
            )
    return sorted(drafts, key=lambda one: (one.due_at, one.system, one.subject, one.action))


def _due_records(connection: Connection, now: datetime, limit: int) -> list[Row[Any]]:
    """The records that have been due for longest, and some of the latest: no backlog keeps those back."""
    record = tables.record.c
    query = (
        select(tables.record)
        .where(record.next_due <= now, record.next_due.is_not(None), record.backfill.is_(None))
        .with_for_update(skip_locked=True)
    )
    latest = limit // _NEWEST_SHARE
    found = connection.execute(query.order_by(record.next_due).limit(limit - latest)).all()
    if len(found) < limit - latest or not latest:
        return list(found)
    late = connection.execute(query.order_by(record.next_due.desc()).limit(latest)).all()
    return list({row.record_id: row for row in (*found, *late)}.values())


def _due_clocks(connection: Connection, now: datetime, limit: int) -> Iterator[ClockState]:
    """Clocks whose walk is due, some at a time, oldest first and the latest among the first."""
    column = tables.clock.c
    query = (
        select(tables.clock)
        .where(column.next_due <= now, column.next_due.is_not(None), column.backfill.is_(None))
        .where(or_(column.cursor.is_(None), column.fired_to <= now))
        .with_for_update(skip_locked=True)
    )
    taken: set[UUID] = set()
    part = max(1, limit // MAX_RECORDS_PER_COMMAND)
    while len(taken) < max(1, limit // _CLOCKS_PER_RECORD):
        ends = [query.order_by(column.next_due).limit(len(taken) + part)]
        if not taken and limit > MAX_RECORDS_PER_COMMAND:
            ends.insert(0, query.order_by(column.next_due.desc()).limit(1))
        found = (row for end in ends for row in connection.execute(end))
        rows = {row.clock_id: row for row in found if row.clock_id not in taken}
        if not rows:
            return
        taken.update(rows)
        yield from map(clocks.clock_from_row, rows.values())
        part *= 4


def _clock_chunk(connection: Connection, walk: ClockState) -> Sequence[Row[Any]]:
    hanging = tables.hanging.c
    query = (
        select(tables.record)
        .join(tables.hanging, hanging.record_id == tables.record.c.record_id)
        .where(hanging.clock_id == walk.clock_id)
        .order_by(hanging.record_id)
        .limit(MAX_RECORDS_PER_COMMAND)
    )
    if walk.cursor is not None:
        query = query.where(hanging.record_id > walk.cursor)
    return connection.execute(query).all()


def _schedule_next_check(
    connection: Connection,
    records: Sequence[Row[Any]],
    events: Mapping[UUID, TaggedEvent],
    policy: Policy,
    now: datetime,
) -> None:
    """Set each claimed record to the next instant that its event fixes."""
    if not records:
        return
    changes = []
    for row in records:
        wakes = obligations.event_check_times(events[row.event_id], row.subject, policy)
        later = min((at for at in wakes if at > now), default=None)
        changes.append({"record_id": row.record_id, "next_due": later})
    update_each(connection, tables.record, changes)
