"""The transactions of a deleter: under the active policy, and under the cap on commands in an hour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import Connection

from schemas.errors import TermijnError
from services.deleter import rate_cap
from services.deleter.paused_systems import SCOPE
from services.ledger import active_policy
from services.policy.model import Policy
from services.storage.database import Database, database_now

T = TypeVar("T")


class ClockSkew(TermijnError):
    """This machine's clock and the database's differ by more than is safe; nothing was commanded.

    The operator corrects the clock that is wrong (NTP); the role then goes on.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"clock: must agree with the database's, got a difference of {seconds:+.1f} s; set it by NTP"
        )
        self.seconds = seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleterTransactions:
    """Runs the transactions of one deleter."""

    ledger: Database
    policy: Policy
    commands_per_hour: int
    """Commands that are sent for the first time within an hour; 0 means no cap."""
    rate_cap_reached: Callable[[int], None]
    """Reports that the cap has stopped the deleter."""

    def run(self, work: Callable[[Connection, datetime], T]) -> T:
        """Run `work` in a transaction in which the policy is the active one and stays so.

        Raises:
            PolicyMismatch: another policy has become the active one.
        """

        def under_policy(connection: Connection) -> T:
            now = database_now(connection)
            active_policy.require_active(connection, self.policy, now)
            return work(connection, database_now(connection))

        return self.ledger.run_in_transaction(under_policy)

    def run_under_cap(self, work: Callable[[Connection, int], T]) -> T:
        """Run `work` in such a transaction, with how many commands it may lease under the hourly cap."""

        def under_cap(connection: Connection, _: datetime) -> tuple[T, bool]:
            capacity = rate_cap.take_capacity(connection, self.commands_per_hour, SCOPE)
            return work(connection, capacity.commands), capacity.reached

        result, reached = self.run(under_cap)
        if reached:
            self.rate_cap_reached(self.commands_per_hour)
        return result


def checked_now(connection: Connection, machine_now: datetime, tolerance: timedelta) -> datetime:
    """Return the time of the database's clock, UTC.

    Raises:
        ClockSkew: this machine's clock differs from it by more than the tolerance.
    """
    now = database_now(connection)
    skew = machine_now - now
    if abs(skew) > tolerance:
        raise ClockSkew(skew.total_seconds())
    return now
