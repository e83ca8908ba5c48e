"""Builds the report on a request, from which its answer is written."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from schemas.cloudevents import parse_rfc3339
from services.crypto.jwe import DisclosureUndecryptable, decrypt
from services.ledger import tables
from services.ledger.confirmations import confirmed_rules
from services.policy.ids import request_id
from services.policy.model import Policy
from services.policy.request_cases import Case
from services.requests.assessment import Assessment, assess_request
from services.requests.report import Decision, DisclosureItem, Report
from services.requests.request_keys import RequestKeys


def build_report(
    connection: Connection,
    case: Case,
    policy: Policy,
    now: datetime,
    keys: RequestKeys | None = None,
) -> Report:
    """Return the report on a request at `now` (UTC); with `keys` it includes what systems disclosed.

    Raises:
        KeyDestroyed: the disclosed data has been delivered already.
        DisclosureUndecryptable: the data of a system cannot be decrypted; ask the system again.
    """
    if case.verified_at is None:
        return Report(
            **_report_header(case, policy, now), verdict="refused", refusal="never_verified"
        )
    weighed = assess_request(connection, case, policy, now)
    verdict = decision(weighed, case, policy)
    return Report(
        **_report_header(case, policy, now),
        verdict=verdict,
        refusal="nothing_to_grant" if verdict == "refused" else None,
        confirmed=confirmed_rules(connection, policy),
        parts=weighed.parts,
        kept=weighed.retained,
        processing=weighed.processing,
        disclosed=tuple(_load_disclosures(connection, case, keys)) if keys else (),
    )


def decision(weighed: Assessment, case: Case, policy: Policy) -> Decision:
    """Return whether all of a request is granted; the records of the request itself do not count."""
    if case.right == "erasure" and not weighed.only_request_records_left:
        return "partly" if weighed.parts else "refused"
    return "partly" if weighed.waiting_for(policy) else "granted"


def _report_header(case: Case, policy: Policy, now: datetime) -> dict[str, Any]:
    return {
        "policy": policy,
        "request": case.request,
        "subject": case.subject,
        "right": case.right,
        "received_at": case.received_at,
        "answered_at": case.closed_at or now,
    }


def _load_disclosures(
    connection: Connection, case: Case, keys: RequestKeys
) -> Iterator[DisclosureItem]:
    private = keys.private(connection, case.subject, case.request)
    if private is None:
        return
    disclosure, command = tables.disclosure.c, tables.command.c
    query = (
        select(disclosure.command_id, disclosure.text, command.system)
        .join(tables.command, command.command_id == disclosure.command_id)
        .where(disclosure.request_id == request_id(case.subject, case.request))
        .order_by(command.system, command.seq)
    )
    for row in connection.execute(query):
        content = decrypt(row.text, private, str(row.command_id))
        records = content.get("records")
        if content.get("system") != row.system or not isinstance(records, list):
            raise DisclosureUndecryptable(str(row.command_id))
        for record in records:
            yield _record(row.system, record, str(row.command_id))


def _record(system: str, record: Any, request: str) -> DisclosureItem:
    try:
        return DisclosureItem(
            system=system,
            type=str(record["type"]),
            id=str(record["id"]),
            time=parse_rfc3339(record["time"]) if record.get("time") else None,
            data=dict(record["data"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as cause:
        raise DisclosureUndecryptable(request) from cause
