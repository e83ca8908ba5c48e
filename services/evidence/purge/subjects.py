"""Purges subjects who have no record left, or only the records of their own privacy events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, func, select

from services.crypto.tombstones import TombstoneCipher
from services.evidence.purge.base import ProofTerm
from services.evidence.purge.eligibility import fully_erased_events
from services.evidence.purge.events import (
    delete_records,
    existing_ids,
    record_oldest_backup,
    write_tombstones,
)
from services.ledger import tables
from services.ledger.facts import load_tagged_events
from services.ledger.tombstones import RowsByTable, rows_to_dicts, rows_to_json
from services.policy.ids import record_id, request_id
from services.policy.request_cases import list_cases
from services.policy.subject_state import PrivacyEvent, subject_state
from services.policy.tagged_event import TaggedEvent
from services.storage.bulk import delete_in, insert, select_in

_LONG_AGO: Final = datetime(1900, 1, 1, tzinfo=UTC)


class EligibleSubject(NamedTuple):
    """A subject that may be purged."""

    subject: str
    privacy_events: Mapping[UUID, TaggedEvent]
    """The ids of the subject's privacy events."""
    since: Sequence[datetime]
    """When the last commands about those events were settled, UTC."""
    rows: RowsByTable
    """The content of the tombstone."""


class SubjectPurge:
    """Purges subjects; their state stays as encrypted tombstones."""

    name = "subjects"

    def next_keys(self, connection: Connection, after: str | None, limit: int) -> Sequence[str]:
        """Return the next subjects."""
        column = tables.subject.c.subject
        query = select(column).order_by(column).limit(limit)
        return connection.execute(query.where(column > after) if after else query).scalars().all()

    def eligible(
        self, connection: Connection, keys: Sequence[str], terms: ProofTerm
    ) -> Sequence[EligibleSubject]:
        """Return the subjects with nothing open: no record, no legal hold, no request."""
        column = tables.subject.c
        waiting = (
            select(tables.record.c.record_id)
            .outerjoin(tables.act, tables.act.c.event_id == tables.record.c.event_id)
            .where(tables.record.c.subject == column.subject, tables.act.c.event_id.is_(None))
            .exists()
        )
        query = select(tables.subject).where(column.next_due.is_(None), ~waiting)
        rows = rows_to_dicts(list(select_in(connection, query, column.subject, keys)))
        reported_at = _last_reports(connection, [row["subject"] for row in rows])
        subjects = (
            self._eligible_subject(connection, row, terms)
            for row in rows
            if not terms.parked.covers([row["subject"]], ())
            and terms.is_over(reported_at.get(row["subject"], _LONG_AGO))
        )
        return [subject for subject in subjects if subject is not None]

    def purge(
        self,
        connection: Connection,
        things: Sequence[EligibleSubject],
        terms: ProofTerm,
        cipher: TombstoneCipher,
    ) -> None:
        """Delete the subjects; those without commands and privacy events leave no tombstone."""
        sealed = [
            {
                "reference": cipher.lookup_key("subject", subject.subject),
                "sealed": cipher.encrypt("subject", subject.subject, rows_to_json(subject.rows)),
            }
            for subject in things
            if subject.rows["act"] or any(row["seq"] for row in subject.rows["subject"])
        ]
        insert(connection, tables.remains, sorted(sealed, key=lambda row: row["reference"]))
        write_tombstones(
            connection,
            [row["event_id"] for subject in things for row in subject.rows["event"]],
            cipher,
        )
        delete_records(
            connection,
            {k: tagged for subject in things for k, tagged in subject.privacy_events.items()},
            terms,
        )
        record_oldest_backup(connection, [at for subject in things for at in subject.since])
        for table in (tables.event, tables.act):
            ids = [row["event_id"] for subject in things for row in subject.rows["act"]]
            delete_in(connection, table, table.c.event_id, ids)
        names = [subject.subject for subject in things]
        for table in (tables.provenance, tables.subject):
            delete_in(connection, table, table.c.subject, names)
        for table in (tables.answer, tables.request_key, tables.correction):
            ids = [row["request_id"] for subject in things for row in subject.rows[table.name]]
            delete_in(connection, table, table.c.request_id, ids)

    def _eligible_subject(
        self, connection: Connection, row: Mapping[str, Any], terms: ProofTerm
    ) -> EligibleSubject | None:
        subject: str = row["subject"]
        acts = _rows(connection, tables.act, "subject", [subject])
        ids = [act["event_id"] for act in acts]
        tagged_events = load_tagged_events(connection, ids, terms.policy)
        if any(act["backfill"] for act in acts) or not all(
            terms.is_over(event.time) for event in tagged_events.values()
        ):
            return None
        privacy_events = [
            event.privacy_event for event in tagged_events.values() if event.privacy_event
        ]
        since = fully_erased_events(connection, tagged_events, terms.policy, terms.now)
        events_by_record = {
            record_id(event, tagged.source, tagged.id, name): event
            for event, tagged in tagged_events.items()
            for name in tagged.subjects
        }  # of a restored subject, the records of privacy events were purged before
        present = {
            events_by_record[identity]
            for identity in existing_ids(connection, tables.record.c.record_id, events_by_record)
        }
        unsettled = present - since.keys()
        if (
            unsettled
            or not all(map(terms.is_over, since.values()))
            or _is_pending(privacy_events, terms)
        ):
            return None
        requests = {
            request_id(subject, privacy_event.reference)
            for privacy_event in privacy_events
            if privacy_event.reference
        }
        request_rows = {
            table.name: _rows(connection, table, "request_id", requests)
            for table in (tables.answer, tables.request_key, tables.correction)
        }
        if not _is_delivered(connection, request_rows):
            return None
        return EligibleSubject(
            subject=subject,
            privacy_events=tagged_events,
            since=tuple(since.values()),
            rows={
                **request_rows,
                "subject": [row],
                "act": acts,
                "event": _rows(connection, tables.event, "event_id", ids),
            },
        )


def _last_reports(connection: Connection, subjects: Sequence[str]) -> Mapping[str, datetime]:
    """Return the time of each subject's last report about where data comes from, UTC.

    One that arrives before the data that it is about must not be forgotten meanwhile.
    """
    column = tables.provenance.c
    last = func.max(column.at).label("at")
    query = select(column.subject, last).group_by(column.subject)
    return {row.subject: row.at for row in select_in(connection, query, column.subject, subjects)}


def _is_pending(acts: Sequence[PrivacyEvent], terms: ProofTerm) -> bool:
    """Return whether a legal hold or a request is open."""
    holds = subject_state(acts, terms.policy).holds
    under_hold = any(hold.end is None or hold.end > terms.now for hold in holds)
    return under_hold or any(case.is_open for case in list_cases(acts, terms.policy))


def _rows(
    connection: Connection, table: Any, column: str, values: Any
) -> Sequence[Mapping[str, Any]]:
    return rows_to_dicts(list(select_in(connection, select(table), table.c[column], values)))


def _is_delivered(connection: Connection, request_rows: RowsByTable) -> bool:
    """Return whether all decisions are published, their keys destroyed, and no disclosure is left."""
    requests = [row["request_id"] for rows in request_rows.values() for row in rows]
    column = tables.disclosure.c.request_id
    return (
        all(row["published_at"] for row in request_rows["answer"])
        and all(row["destroyed_at"] for row in request_rows["request_key"])
        and all(row["text"] is None for row in request_rows["correction"])
        and not list(select_in(connection, select(column), column, requests))
    )
