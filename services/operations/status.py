"""The state of the ledger: what is due, late, refused, parked, missing or paused, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Table, and_, func, or_, select, true

from services.deleter.undeliverable import UNDELIVERABLE
from services.ledger import backfills, blind_spots, key_conflicts, tables
from services.ledger.command_state import OUTSTANDING
from services.ledger.due import is_scan_due
from services.policy.calendar import parse_period
from services.policy.model import Policy
from services.storage.gaps import OffsetGap, open_gaps

MAX_ROWS = 100_000
"""The maximum number of due records that are counted, and of due clocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A role or system that a named operator, or the hourly cap, has paused or drained."""

    scope: str
    state: str
    operator: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerStatus:
    """The state of the ledger at one instant; instants are UTC."""

    at: datetime
    policy: str
    events: int
    """Events recorded; 0 where the status was read without history."""
    due: int
    """Records and clocks that are due and not yet claimed; of each at most `MAX_ROWS` are counted."""
    oldest_due_at: datetime | None
    overdue: int
    """Commands past their `erase_by` that no system has carried out yet."""
    overdue_by: Mapping[str, datetime]
    """The earliest `erase_by` among those, by system."""
    commands: Mapping[tuple[str, str], int]
    """How many commands, by system and state."""
    escalated: Mapping[str, int]
    """Commands that a system has not acknowledged in time or has refused, by system."""
    undeliverable: Mapping[str, int]
    """Commands that Kafka rejects at every attempt, by system; they are escalated too."""
    unexpected_acknowledgements: int
    """Commands whose system held nothing although the ledger has records; 0 without history."""
    dead_letters: Mapping[str, int]
    """Parked dead letters, by reason."""
    kept_back: Mapping[str, int]
    """The parked events that hold erasures back, by reach: how many erasures each holds back."""
    gaps: Sequence[OffsetGap]
    pauses: Sequence[Pause]
    backfills: Sequence[backfills.PendingBackfill]
    """Imports, and live events with an old time, that wait for their release."""
    key_conflicts: int
    """Keys that several subjects claim and no operator has decided on yet."""
    open_too_long: Mapping[str, int]
    """Retention clocks that are open for longer than their `max_open`, by kind."""


def read_status(
    connection: Connection, policy: Policy, now: datetime, *, history: bool = True
) -> LedgerStatus:
    """Read the state of the ledger at `now` (UTC).

    Without `history` only open work is counted. Those queries use indexes that do not grow with completed
    work, so they are cheap enough to run every few seconds.
    """
    command = tables.command.c
    of_systems = command.system.in_(policy.systems)  # with the state, the index's columns
    open_states = command.state.in_((*OUTSTANDING, "refused"))
    due, oldest_due_at = _count_due(connection, now)
    overdue = connection.execute(
        select(command.system, func.count(), func.min(command.erase_by))
        .where(of_systems, _is_actionable(), command.erase_by < now)
        .group_by(command.system)
    ).all()
    return LedgerStatus(
        at=now,
        policy=_active_policy(connection),
        events=_count(connection, tables.event) if history else 0,
        due=due,
        oldest_due_at=oldest_due_at,
        overdue=sum(row[1] for row in overdue),
        overdue_by={row[0]: row[2] for row in overdue},
        commands=_count_by_state(connection, true() if history else and_(of_systems, open_states)),
        escalated=_count_by_system(connection, of_systems, command.escalated_at.is_not(None)),
        undeliverable=_count_by_system(connection, of_systems, command.outcome == UNDELIVERABLE),
        unexpected_acknowledgements=_count(
            connection,
            tables.command,
            command.outcome == "nothing_held",
            command.action != "verify",
        )
        if history
        else 0,
        dead_letters=_count_parked(connection),
        kept_back=blind_spots.count_by_reach(connection, policy),
        gaps=open_gaps(connection),
        pauses=_list_pauses(connection),
        backfills=backfills.pending_backfills(connection),
        key_conflicts=key_conflicts.count_undecided(connection),
        open_too_long=_open_too_long(connection, policy, now),
    )


def _count_due(connection: Connection, now: datetime) -> tuple[int, datetime | None]:
    """Return how many records and clocks are due, and since when the oldest is."""
    due, oldest_due = 0, []
    for table in (tables.record, tables.clock):
        waits = is_scan_due(table, now)
        capped = select(table.c.next_due).where(waits).limit(MAX_ROWS).subquery()
        due += connection.execute(select(func.count()).select_from(capped)).scalar_one()
        earliest = connection.execute(select(func.min(table.c.next_due)).where(waits)).scalar_one()
        oldest_due += [earliest] if earliest else []
    return due, min(oldest_due, default=None)


def _count_by_state(
    connection: Connection, condition: ColumnElement[bool]
) -> dict[tuple[str, str], int]:
    command = tables.command.c
    rows = connection.execute(
        select(command.system, command.state, func.count())
        .where(condition)
        .group_by(command.system, command.state)
    )
    return {(row[0], row[1]): row[2] for row in rows}


def _count_by_system(connection: Connection, *conditions: ColumnElement[bool]) -> dict[str, int]:
    """Count commands that still need action, by system."""
    command = tables.command.c
    rows = connection.execute(
        select(command.system, func.count())
        .where(*conditions, _is_actionable())
        .group_by(command.system)
    )
    return {row[0]: row[1] for row in rows}


def _count_parked(connection: Connection) -> dict[str, int]:
    letter = tables.dead_letter.c
    rows = connection.execute(
        select(letter.reason, func.count()).where(letter.state == "parked").group_by(letter.reason)
    )
    return {row[0]: row[1] for row in rows}


def _active_policy(connection: Connection) -> str:
    active = connection.execute(
        select(tables.active_policy).order_by(tables.active_policy.c.number.desc()).limit(1)
    ).one_or_none()
    return f"{active.policy} {active.version}" if active else "none yet"


def _list_pauses(connection: Connection) -> list[Pause]:
    rows = connection.execute(select(tables.control).where(tables.control.c.state != "running"))
    return [
        Pause(
            scope=row.scope,
            state=row.state,
            operator=row.operator,
            reason=row.reason,
            at=row.at,
        )
        for row in rows
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentCommand:
    """One of the latest commands, without its subject."""

    created_at: datetime
    system: str
    action: str
    rules: str
    records: int
    state: str
    attempt: int


def latest_commands(connection: Connection, limit: int) -> Sequence[RecentCommand]:
    """Return the commands that were created last, newest first."""
    command = tables.command.c
    members = (
        select(func.count())
        .where(tables.member.c.command_id == command.command_id)
        .scalar_subquery()
    )
    rows = connection.execute(
        select(tables.command, tables.wording.c.rules, members.label("records"))
        .join(tables.wording, tables.wording.c.wording_id == command.wording_id)
        .order_by(command.created_at.desc(), command.command_id)
        .limit(limit)
    )
    return [
        RecentCommand(
            created_at=row.created_at,
            system=row.system,
            action=row.action,
            rules=", ".join(json.loads(row.rules)),
            records=row.records,
            state=row.state,
            attempt=row.attempt,
        )
        for row in rows
    ]


def _count(connection: Connection, table: Table, *conditions: ColumnElement[bool]) -> int:
    query = select(func.count()).select_from(table).where(*conditions)
    return int(connection.execute(query).scalar_one())


def _is_actionable() -> ColumnElement[bool]:
    """Select commands that are not carried out and still need action.

    A refused command needs action if it is repeated; the refusal of another controller is final.
    """
    command = tables.command.c
    refused = and_(command.state == "refused", command.next_attempt_at.is_not(None))
    return or_(command.state.in_(OUTSTANDING), refused)


def _open_too_long(connection: Connection, policy: Policy, now: datetime) -> dict[str, int]:
    clock = tables.clock.c
    counts = {}
    for name, spec in policy.clocks.items():
        if spec.max_open is None:
            continue
        longest = parse_period(spec.max_open)
        latest = now - timedelta(days=longest.days) - longest.exact
        counts[name] = connection.execute(
            select(func.count()).where(
                clock.clock == name, clock.anchor_at.is_(None), clock.opened_at < latest
            )
        ).scalar_one()
    return counts
