"""The scheduled policy: one that an operator has accepted, and that becomes active on a later day.

There is at most one. It was accepted as a change of the active policy, so any other activation removes it.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, update

from schemas.errors import TermijnError
from services.ledger import tables
from services.ledger.policy_references import Drop
from services.ledger.policy_versions import read_policy
from services.policy.loader import policy_text
from services.policy.model import Policy
from services.storage.bulk import insert


class NothingScheduled(TermijnError):
    """No policy is scheduled; nothing was done."""

    def __init__(self) -> None:
        super().__init__("policy: none is scheduled; `termijn policy list` has those that are")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledPolicy:
    """A policy that becomes active at `effective_at`, UTC."""

    number: int
    policy: str
    version: str
    text: str
    drops: tuple[Drop, ...]
    operator: str
    """Who accepted it."""
    reason: str
    effective_at: datetime
    scheduled_at: datetime
    problem: str | None
    """Why it could not be activated when its time came."""

    def __str__(self) -> str:
        return f"{self.policy} {self.version}"

    def load(self) -> Policy:
        """Return the policy.

        Raises:
            PolicyTextUnreadable: this version of Termijn cannot read it.
        """
        return read_policy(self.text, str(self))


def schedule(
    connection: Connection,
    policy: Policy,
    effective_at: datetime,
    drops: Collection[Drop],
    now: datetime,
    *,
    operator: str,
    reason: str,
) -> None:
    """Schedule a policy that was accepted, instead of any other that is scheduled; instants are UTC."""
    remove_scheduled(connection)
    row = {
        "policy": policy.policy,
        "version": policy.version,
        "text": policy_text(policy),
        "drops": json.dumps(sorted(drops)),
        "operator": operator,
        "reason": reason,
        "effective_at": effective_at,
        "scheduled_at": now,
        "problem": None,
    }
    insert(connection, tables.scheduled_policy, [row])


def find_scheduled(connection: Connection) -> ScheduledPolicy | None:
    """Return the policy that is scheduled; None if none is."""
    row = connection.execute(select(tables.scheduled_policy)).one_or_none()
    if row is None:
        return None
    values = dict(row._mapping)
    values["drops"] = tuple(Drop(*drop) for drop in json.loads(values["drops"]))
    return ScheduledPolicy(**values)


def remove_scheduled(connection: Connection) -> bool:
    """Remove the policy that is scheduled; return whether one was."""
    return bool(connection.execute(tables.scheduled_policy.delete()).rowcount)


def note_problem(connection: Connection, scheduled: ScheduledPolicy, problem: str) -> None:
    """Note why a scheduled policy could not be activated."""
    column = tables.scheduled_policy.c.number
    connection.execute(
        update(tables.scheduled_policy).where(column == scheduled.number).values(problem=problem)
    )
