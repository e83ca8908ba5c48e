"""Delivery of packages: an operator hands over the data, and the collected copy is erased."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from schemas.errors import PlacedError, TermijnError
from services.ledger import tables
from services.ledger.facts import load_tagged_events
from services.ledger.subject_lock import lock_subjects
from services.policy.model import Policy
from services.policy.request_cases import Case
from services.policy.rights import RIGHTS
from services.requests import decisions
from services.requests.assessment import assess_request
from services.requests.build_report import build_report
from services.requests.report import Report
from services.requests.request_keys import RequestKeys
from services.requests.responder import load_cases, with_progress
from services.storage.database import Database, database_now

_RECEIPT_EVENTS = ("request-received", "objection-raised", "complaint-received")
"""The ends of the types of events that open a request, an objection or a complaint."""
_REFERENCE_FIELDS = ("request_id", "objection_id", "complaint_id")


class RequestNotFound(TermijnError):
    """The subject has no request of that name; nothing was done.

    The operator finds it in `termijn requests list --all`.
    """

    def __init__(self, subject: str, request: str) -> None:
        super().__init__(
            f"{request}: this subject has no such request; see `termijn requests list --all`"
        )
        self.subject = subject
        self.request = request


class PackageIncomplete(PlacedError):
    """The package cannot be handed over yet; nothing was done.

    The operator waits for the systems it names, or uses `--incomplete`; the package then names them too.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageDelivery:
    """Hands over packages for access and portability."""

    ledger: Database
    policy: Policy
    keys: RequestKeys

    def deliver(
        self,
        subject: str,
        request: str,
        write_package: Callable[[Report], None],
        *,
        incomplete: bool,
    ) -> Report:
        """Hand a package over; once `write_package` returns, record the decision and destroy the key.

        A crash in between changes nothing, so that it can be handed over again.

        Raises:
            RequestNotFound: the subject has no such request.
            PackageIncomplete: systems have not answered yet, or the request has no package.
            KeyDestroyed: the package was delivered before.
        """
        with self.ledger.transaction() as connection:
            now = database_now(connection)
            case = find_case(connection, subject, request, self.policy)
            self._check(connection, case, now, incomplete=incomplete)
            report = build_report(connection, case, self.policy, now, self.keys)
        write_package(report)

        def close(connection: Connection) -> None:
            lock_subjects(connection, [subject], "privacy event")
            open_cases = load_cases(connection, subject, self.policy)
            joined = [
                other for other in open_cases if other.merged_into == request and other.is_open
            ]
            at = database_now(connection)
            decisions.decide(connection, [case, *joined], report, at)
            decisions.erase_collected(connection, case, self.policy, at)

        self.ledger.run_in_transaction(close)
        return report

    def _check(
        self, connection: Connection, case: Case, now: datetime, *, incomplete: bool
    ) -> None:
        if case.merged_into:
            raise PackageIncomplete(
                case.request, f"is merged into {case.merged_into}, and answered with it"
            )
        if not RIGHTS[case.right].discloses:
            raise PackageIncomplete(
                case.request, "is answered automatically; `termijn requests letter` has the text"
            )
        if case.verified_at is None:
            raise PackageIncomplete(case.request, "the identity of the person is not verified")
        if not case.is_open or decisions.is_decided(connection, case):
            raise PackageIncomplete(case.request, "is already answered")
        owing = assess_request(connection, case, self.policy, now).waiting_for(self.policy)
        if owing and not incomplete:
            raise PackageIncomplete(
                case.request, f"these systems have not answered: {', '.join(owing)}"
            )


def find_case(connection: Connection, subject: str, request: str, policy: Policy) -> Case:
    """Return the case of a request.

    Raises:
        RequestNotFound: the subject has no such request.
    """
    for case in load_cases(connection, subject, policy):
        if case.request == request:
            return case
    raise RequestNotFound(subject, request)


def received_at(connection: Connection, subject: str, reference: str, policy: Policy) -> datetime:
    """Return when a request, an objection or a complaint was received, UTC.

    Raises:
        RequestNotFound: the subject has none of that name.
    """
    types = [name for name in policy.events if name.endswith(_RECEIPT_EVENTS)]
    query = (
        select(tables.event.c.event_id)
        .join(tables.record, tables.record.c.event_id == tables.event.c.event_id)
        .where(tables.record.c.subject == subject, tables.event.c.type.in_(types))
    )
    events = load_tagged_events(connection, list(connection.execute(query).scalars()), policy)
    times = [
        event.time
        for event in events.values()
        if reference
        in (event.id, *(event.decision_fields.get(field) for field in _REFERENCE_FIELDS))
    ]
    if not times:
        raise RequestNotFound(subject, reference)
    return min(times)


def case_progress(connection: Connection, case: Case, policy: Policy, now: datetime) -> Case:
    """Return an open case with the progress of the systems."""
    if not case.is_open or case.verified_at is None or case.merged_into:
        return case
    return with_progress(case, assess_request(connection, case, policy, now), policy)
