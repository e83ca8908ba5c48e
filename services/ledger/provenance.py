"""Store what events report about the duty to inform people where their data comes from (GDPR 14(3)).

The state of each duty is a function of the set of its person's reports: their order does not matter. It
is stored with the data that was obtained, so that what is open and late is found by an index. Reports count
at once, also those of an import: a hold-back would only hide a duty.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, delete, select

from services.events.incoming_event import IncomingEvent
from services.ledger import tables
from services.ledger.facts import stored_events
from services.policy.event_type import ProvenanceReport
from services.policy.model import Policy
from services.policy.plans import compile_policy
from services.policy.provenance import Duty, find_duty, report_of
from services.storage import audit_outbox
from services.storage.audit_outbox import AuditEntry
from services.storage.bulk import insert, select_in, update_each

_CHUNK_SIZE = 5_000


class Report(NamedTuple):
    """What an event reports about a person's data; `at` is the event's time, UTC."""

    event_id: UUID
    subject: str
    report: ProvenanceReport
    at: datetime


def reports_of(events: Iterable[IncomingEvent]) -> list[Report]:
    """Return the reports of events, in order of their ids."""
    found = (
        Report(event.event_id, event.subject, event.provenance, event.row.time)
        for event in events
        if event.provenance and event.subject
    )
    return sorted(found, key=lambda report: report.event_id.int)


def store_reports(
    connection: Connection, reports: Collection[Report], policy: Policy, now: datetime
) -> None:
    """Store new reports, and find the duties of their subjects; the caller has locked these.

    How many duties ended by it, and how many of them late, goes into the audit log.
    """
    if not reports:
        return
    insert(connection, tables.provenance, [_row(report) for report in reports])
    ended = _find_duties(connection, {report.subject for report in reports}, policy)
    if ended:
        late = sum(duty.is_late for duty in ended)
        body = {"informed": len(ended), "late": late}
        audit_outbox.enqueue(connection, [AuditEntry(now, "informed", body)])


def rebuild_reports(connection: Connection, policy: Policy) -> None:
    """Find all reports again under another policy; what the purge has left of a person's stays."""
    types = [name for name, event in policy.events.items() if event.provenance]
    erased = _erasures(connection)
    column = tables.provenance.c
    stored = select(tables.event.c.event_id).where(tables.event.c.event_id == column.event_id)
    connection.execute(delete(tables.provenance).where(stored.exists()))
    compiled, subjects = compile_policy(policy), set()
    for events in stored_events(connection, types, _CHUNK_SIZE):
        reports = []
        for event_id, event in events:
            tagged = compiled.tag(event, recorded=True)
            report = report_of(policy.events[event.type], tagged.decision_fields)
            if report and tagged.subject:
                reports.append(Report(event_id, tagged.subject, report, event.time))
        insert(connection, tables.provenance, [_row(report, erased) for report in reports])
        subjects |= {report.subject for report in reports}
    _find_duties(connection, subjects, policy)


def _row(report: Report, erased: Mapping[UUID, datetime] = {}) -> Mapping[str, Any]:
    return {
        **report._asdict(),
        "inform_by": None,
        "reason": None,
        "informed_at": None,
        "erased_at": erased.get(report.event_id),
    }


def _erasures(connection: Connection) -> Mapping[UUID, datetime]:
    column = tables.provenance.c
    query = select(column.event_id, column.erased_at).where(column.erased_at.is_not(None))
    return {row.event_id: row.erased_at for row in connection.execute(query)}


def _find_duties(connection: Connection, subjects: Collection[str], policy: Policy) -> list[Duty]:
    """Store the state of the subjects' duties, and return those that ended by it."""
    by_subject: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    column = tables.provenance.c
    query = select(tables.provenance).order_by(column.event_id)
    for row in select_in(connection, query, column.subject, sorted(subjects)):
        by_subject[row.subject].append(row)
    changed, ended = [], []
    for _, rows in sorted(by_subject.items()):
        others = [(row.report, row.at) for row in rows if row.report != "obtained"]
        for row in rows:
            if row.report != "obtained":
                continue
            duty = find_duty(row.at, others, policy)
            values = (duty.inform_by, duty.reason, duty.informed_at)
            if values != (row.inform_by, row.reason, row.informed_at):
                names = ("inform_by", "reason", "informed_at")
                changed.append({"event_id": row.event_id, **dict(zip(names, values, strict=True))})
            if duty.informed_at and not row.informed_at and not row.erased_at:
                ended.append(duty)
    update_each(connection, tables.provenance, changed)
    return ended
