"""Answers the open requests of data subjects within their time limits, or refuses them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from sqlalchemy import Connection, select

from schemas.cloudevents import CloudEvent
from services.ledger import active_policy, tables
from services.ledger.catch_up import CatchUpCheck, CatchUpObserver
from services.ledger.facts import load_privacy_events
from services.ledger.subject_lock import lock_subjects
from services.policy.ids import request_id
from services.policy.model import Policy
from services.policy.request_cases import Case, list_cases
from services.policy.rights import RIGHTS
from services.requests import decisions
from services.requests.assessment import Assessment, assess_request
from services.requests.build_report import build_report
from services.storage.database import Database, database_now

PRIVACY_EVENT_PREFIXES = ("request", "identity")
"""The starts of the kinds of privacy events that make up requests."""
_REST_FACTOR = 20
"""A request that took t seconds to assess is assessed again only after this many times t."""


class ResponderObserver(CatchUpObserver, Protocol):
    """What the responder reports, for metrics and logs."""

    def request_decided(self, right: str, outcome: str) -> None:
        """A request was answered or refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestResponder:
    """Decides on requests in one process; packages for access and portability wait for an operator."""

    ledger: Database
    policy: Policy
    catch_up_check: CatchUpCheck
    publish: Callable[[Sequence[CloudEvent]], None]
    """Publishes events, and returns once the broker has them."""
    observer: ResponderObserver
    margin: timedelta
    """How long before the statutory limit a request is answered with the outcomes so far."""
    _not_before: dict[UUID, datetime] = field(default_factory=dict)

    def run_once(self) -> int:
        """Process every open request, and return how many were decided."""
        self._publish()
        spots = self.catch_up_check.lagging_partitions()
        self.observer.waiting_for_catch_up(spots)
        if spots:
            return 0
        with self.ledger.transaction() as connection:
            now = database_now(connection)
            all_cases = list_cases(
                load_privacy_events(connection, PRIVACY_EVENT_PREFIXES, self.policy), self.policy
            )
            decided = set(connection.execute(select(tables.answer.c.request_id)).scalars())
            keys = select(tables.request_key.c.request_id)
            keys_left = set(
                connection.execute(
                    keys.where(tables.request_key.c.destroyed_at.is_(None))
                ).scalars()
            )
        concluded = 0
        for case in all_cases:
            identity = request_id(case.subject, case.request)
            if not case.is_open and identity in keys_left:
                self._clean_up(case)
            if not case.is_open or case.merged_into or identity in decided:
                continue
            if self._not_before.get(identity, now) <= now:
                concluded += self._process(case, identity)
        self._publish()
        return concluded

    def _process(self, case: Case, identity: UUID) -> bool:
        def work(connection: Connection) -> tuple[str, timedelta] | timedelta:
            active_policy.require_active(connection, self.policy, database_now(connection))
            lock_subjects(connection, [case.subject], "privacy event")
            now = database_now(connection)
            subject_cases = load_cases(connection, case.subject, self.policy)
            current = next(
                (other for other in subject_cases if other.request == case.request), None
            )
            if current is None or not current.is_open or current.merged_into:
                return timedelta()
            if _is_held_back(connection, current):
                return timedelta()
            outcome = self._decision(connection, current, subject_cases, now)
            took = database_now(connection) - now
            return (outcome, took) if outcome else took

        result = self.ledger.run_in_transaction(work)
        if isinstance(result, tuple):
            self._not_before.pop(identity, None)
            self.observer.request_decided(case.right, result[0])
            return True
        with self.ledger.transaction() as connection:
            self._not_before[identity] = database_now(connection) + _REST_FACTOR * result
        return False

    def _decision(
        self, connection: Connection, case: Case, subject_cases: Iterable[Case], now: datetime
    ) -> str | None:
        """Return the outcome, or None while the request is open."""
        at_the_limit = now >= case.answer_by - self.margin
        if case.verified_at is None:
            if not at_the_limit:
                return None
        elif RIGHTS[case.right].discloses:
            return None  # a person hands the package over
        elif not at_the_limit and assess_request(connection, case, self.policy, now).waiting_for(
            self.policy
        ):
            return None
        report = build_report(connection, case, self.policy, now)
        joined = [
            other for other in subject_cases if other.merged_into == case.request and other.is_open
        ]
        decisions.decide(connection, [case, *joined], report, now)
        return report.verdict

    def _clean_up(self, case: Case) -> None:
        def work(connection: Connection) -> None:
            lock_subjects(connection, [case.subject], "privacy event")
            decisions.erase_collected(connection, case, self.policy, database_now(connection))

        self.ledger.run_in_transaction(work)

    def _publish(self) -> None:
        with self.ledger.transaction() as connection:
            events = decisions.unpublished_decisions(connection)
        if not events:
            return
        self.publish(events)
        self.ledger.run_in_transaction(
            lambda connection: decisions.mark_published(
                connection, events, database_now(connection)
            )
        )


def _is_held_back(connection: Connection, case: Case) -> bool:
    """Return whether an import that is not released yet has events of the request or of its data.

    Data that is held back is neither erased nor counted, so that an answer would say that nothing is left.
    The request waits for the release, also past its limit; alerts report that.
    """
    act, record = tables.act.c, tables.record.c
    backfilled_events = select(act.event_id).where(
        act.subject == case.subject, act.backfill.is_not(None)
    )
    backfilled_records = select(record.record_id).where(
        record.subject == case.subject, record.backfill.is_not(None)
    )
    if connection.execute(backfilled_events.limit(1)).first() is not None:
        return True
    return (
        case.verified_at is not None
        and connection.execute(backfilled_records.limit(1)).first() is not None
    )


def load_cases(connection: Connection, subject: str, policy: Policy) -> list[Case]:
    """Return the cases of one subject."""
    return list_cases(
        load_privacy_events(connection, PRIVACY_EVENT_PREFIXES, policy, subject), policy
    )


def with_progress(case: Case, weighed: Assessment, policy: Policy) -> Case:
    """Return a case with the progress of the systems."""
    if weighed.has_commands:
        case = case.apply("commanded")
    return case if weighed.waiting_for(policy) else case.apply("done")
