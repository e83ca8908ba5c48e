"""Activate the scheduled policy once its day has come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from sqlalchemy import Connection

from schemas.errors import TermijnError
from services.deleter import activation
from services.ledger import active_policy
from services.ledger.scheduled_policy import find_scheduled, note_problem
from services.storage.database import Database, database_now
from services.storage.operator_log import log_operator_action


class ScheduleObserver(Protocol):
    """Receives whether the scheduled policy is late: metrics and logs."""

    def scheduled_policy_late(self, late: timedelta) -> None:
        """Its day came so long ago, and it is not active; zero if there is none."""

    def policy_activated(self, policy: str) -> None:
        """The scheduled policy has become active."""

    def policy_not_activated(self, policy: str, problem: str) -> None:
        """It could not be activated; the former one stays active, and it is tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledActivation:
    """Activates the scheduled policy; several deleters may try at the same time."""

    ledger: Database
    observer: ScheduleObserver

    def run_once(self) -> None:
        """Activate the policy if the database's clock has reached its day."""
        with self.ledger.transaction() as connection:
            scheduled = find_scheduled(connection)
            late = database_now(connection) - scheduled.effective_at if scheduled else timedelta()
        if scheduled is None or late < timedelta():
            self.observer.scheduled_policy_late(timedelta())
            return
        try:
            activated = self.ledger.run_in_transaction(_activate_scheduled)
        except TermijnError as cause:
            problem = str(cause)
            if problem != scheduled.problem:
                self.ledger.run_in_transaction(
                    lambda connection: note_problem(connection, scheduled, problem)
                )
                self.observer.policy_not_activated(str(scheduled), problem)
            self.observer.scheduled_policy_late(late)
            return
        self.observer.scheduled_policy_late(timedelta())
        if activated:
            self.observer.policy_activated(activated)


def _activate_scheduled(connection: Connection) -> str | None:
    """Activate the scheduled policy, unless another process did so first; return its name and version."""
    active_policy.lock_alone(connection)
    scheduled = find_scheduled(connection)
    now = database_now(connection)
    if scheduled is None or scheduled.effective_at > now:
        return None
    activation.activate(connection, scheduled.load(), now, scheduled.drops, scheduled.operator)
    log_operator_action(
        connection,
        "policy activate",
        f"{scheduled} as scheduled",
        operator=scheduled.operator,
        reason=scheduled.reason,
        now=now,
    )
    return str(scheduled)
