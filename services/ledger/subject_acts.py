"""Store the privacy events of data subjects as facts, under the subjects' locks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, bindparam, case, or_, select, update

from services.ledger import tables
from services.ledger.subject_lock import LockPurpose, lock_subjects
from services.policy.subject_state import PrivacyEvent
from services.storage.bulk import insert, select_in, update_each


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPrivacyEvent:
    """A privacy event of a subject, with the id of its business event."""

    event_id: UUID
    privacy_event: PrivacyEvent
    backfill: str | None


def store_privacy_events(
    connection: Connection,
    events: Sequence[StoredPrivacyEvent],
    recorded: Collection[str],
    now: datetime,
    *,
    alone: Collection[str] = (),
) -> None:
    """Store privacy events, and make the records of their subjects due to be checked.

    This also locks the subjects of everything that is `recorded` with them. Records that another recorder
    writes at this moment are either seen from here on, or that recorder sees these privacy events itself.
    The subjects in `alone` are locked as those of privacy events are.
    """
    by_subject: defaultdict[str, list[StoredPrivacyEvent]] = defaultdict(list)
    for event in events:
        by_subject[event.privacy_event.subject].append(event)
    purpose: LockPurpose = "privacy event" if by_subject or alone else "record"
    locked = lock_subjects(connection, {*by_subject, *recorded, *alone}, purpose)
    rows = [
        {
            "event_id": event.event_id,
            "subject": event.privacy_event.subject,
            "backfill": event.backfill,
        }
        for event in sorted(events, key=lambda event: event.event_id)
    ]
    insert(connection, tables.act, rows)
    changed = []
    for subject, subject_events in sorted(by_subject.items()):
        state = locked[subject]
        check_times = [max(event.privacy_event.time, now) for event in subject_events]
        check_times += [state.next_due] if state.next_due else []
        acts = state.acts + len(subject_events)
        changed.append(
            {"subject": subject, "acts": acts, "next_due": min(check_times), "cursor": None}
        )
    update_each(connection, tables.subject, changed)


def schedule_rescan(connection: Connection, subject: str, at: datetime, acts: int) -> None:
    """Make a subject's records due to be checked at an instant; those that are due sooner stay so."""
    column = tables.subject.c
    is_sooner = or_(
        column.next_due.is_(None), column.next_due > bindparam("at", type_=column.next_due.type)
    )
    connection.execute(
        update(tables.subject)
        .where(column.subject == bindparam("the_subject"))
        .values(
            acts=column.acts + bindparam("more"),
            next_due=case(
                (is_sooner, bindparam("at", type_=column.next_due.type)), else_=column.next_due
            ),
            cursor=None,
        ),
        {"the_subject": subject, "at": at, "more": acts},
    )


def subjects_with_privacy_events(connection: Connection, subjects: Collection[str]) -> set[str]:
    """Return those of the subjects that have a privacy event."""
    column = tables.act.c.subject
    return {
        row.subject for row in select_in(connection, select(column).distinct(), column, subjects)
    }


def release_backfill(connection: Connection, backfill: str, now: datetime) -> None:
    """Let the privacy events of an import count from now on."""
    column = tables.act.c
    query = select(column.subject).where(column.backfill == backfill).distinct()
    subjects = sorted(connection.execute(query).scalars())
    lock_subjects(connection, subjects, "privacy event")
    connection.execute(update(tables.act).where(column.backfill == backfill).values(backfill=None))
    for subject in subjects:
        schedule_rescan(connection, subject, now, 1)
