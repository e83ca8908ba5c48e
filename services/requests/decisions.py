"""Decisions on requests: each is made once, stored, and published as an event."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, Row, func, select, update

from schemas.cloudevents import CloudEvent
from schemas.topics import OWN_EVENTS
from services.ledger import state_changes, tables
from services.ledger.command_state import OUTSTANDING
from services.policy.ids import request_id
from services.policy.model import Policy
from services.policy.request_cases import Case
from services.policy.rights import RIGHTS
from services.policy.sources import OWN_SOURCE
from services.requests import request_keys
from services.requests.report import Refusal, Report
from services.storage import audit_outbox
from services.storage.audit_outbox import AuditEntry
from services.storage.bulk import insert, select_in

_ANSWERED, _REFUSED = OWN_EVENTS
_BATCH_SIZE = 500
_REASONS: dict[Refusal, str] = {
    "never_verified": "the identity of who asked was not verified in time (GDPR 12(6))",
    "nothing_to_grant": "all of it has to be kept (GDPR 17(3))",
}


def decide(connection: Connection, cases: Sequence[Case], report: Report, now: datetime) -> None:
    """Decide on a request and those merged into it; an earlier decision is not changed.

    The caller has locked the subject. `now` is UTC.
    """
    refused = report.refusal
    event_type = _REFUSED if refused else _ANSWERED
    event_data: dict[str, object] = (
        {"reasons": _REASONS[refused]} if refused else _event_data(report)
    )
    ids = {request_id(case.subject, case.request): case for case in cases}
    column = tables.answer.c.request_id
    decided = {row.request_id for row in select_in(connection, select(column), column, ids)}
    undecided = {
        identity: case for identity, case in sorted(ids.items()) if identity not in decided
    }
    insert(
        connection,
        tables.answer,
        [
            {
                "request_id": identity,
                "subject": case.subject,
                "request": case.request,
                "event_type": event_type,
                "data": json.dumps(
                    {"subject": case.subject, "request_id": case.request, **event_data}
                ),
                "decided_at": now,
                "published_at": None,
            }
            for identity, case in undecided.items()
        ],
    )
    audit_outbox.enqueue(
        connection,
        [
            AuditEntry(
                now,
                "concluded",
                {
                    "subject": case.subject,
                    "request": case.request,
                    "answer": event_type,
                    **event_data,
                },
            )
            for case in undecided.values()
        ],
    )


def unpublished_decisions(connection: Connection) -> list[CloudEvent]:
    """Return the decisions that are not known to be published, oldest first, as events."""
    column = tables.answer.c
    query = select(tables.answer).where(column.published_at.is_(None))
    rows = connection.execute(query.order_by(column.decided_at).limit(_BATCH_SIZE))
    return [_event(row) for row in rows]


def mark_published(connection: Connection, events: Sequence[CloudEvent], now: datetime) -> None:
    """Mark decisions as published; a decision that is published twice is one event, by its id."""
    for event in events:
        identity = request_id(event.data["subject"], event.data["request_id"])
        connection.execute(
            update(tables.answer)
            .where(tables.answer.c.request_id == identity)
            .values(published_at=now)
        )


def erase_collected(connection: Connection, case: Case, policy: Policy, now: datetime) -> None:
    """Erase the data collected for a closed request; commands that are still open are closed.

    Corrections stay until every system has them (GDPR 19).
    """
    command = tables.command.c
    own_commands = select(tables.command).where(
        command.subject == case.subject,
        command.request == case.request,
        command.state.in_(OUTSTANDING),
    )
    waiting = connection.execute(own_commands.with_for_update()).all()
    if RIGHTS[case.right].discloses:
        state_changes.transition(
            connection, waiting, "closed_by_operator", now, outcome="request closed"
        )
    elif waiting:
        return
    request_keys.destroy_request_key(connection, case.subject, case.request, now)


def is_decided(connection: Connection, case: Case) -> bool:
    """Return whether a request is decided."""
    column = tables.answer.c
    identity = request_id(case.subject, case.request)
    query = select(func.count()).where(column.request_id == identity)
    return bool(connection.execute(query).scalar_one())


def _event_data(report: Report) -> dict[str, object]:
    erased_in = {part.system for part in report.parts if part.outcome in ("done", "nothing_held")}
    pending = {part.system for part in report.parts if part.outcome in ("under_way", "silent")}
    return {
        "outcome": report.verdict,
        "done": sorted(erased_in - pending),
        "kept": sorted({item.system for item in report.kept}),
        "pending": sorted(pending),
    }


def _event(row: Row[tuple[object, ...]]) -> CloudEvent:
    return CloudEvent(
        id=str(row.request_id),
        source=OWN_SOURCE,
        type=row.event_type,
        time=row.decided_at,
        data=json.loads(row.data),
    )
