"""Counts the open requests and legal holds, for metrics and alerts; no person is named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from services.ledger.facts import load_privacy_events
from services.policy.model import Policy
from services.policy.request_cases import list_cases
from services.requests.delivery import case_progress
from services.requests.legal_holds import list_open_holds
from services.requests.responder import PRIVACY_EVENT_PREFIXES


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCounts:
    """The open requests, their time limits, and the open legal holds."""

    requests: Mapping[tuple[str, str], int]
    """Open requests by right and state."""
    time_left: Mapping[str, timedelta]
    """The time to the nearest limit, by right; negative once the limit has passed."""
    overdue: int
    """Open requests past their limit."""
    holds: int


def count(connection: Connection, policy: Policy, now: datetime) -> RequestCounts:
    """Count the open requests and holds at `now`, UTC; merged requests count as well."""
    open_cases = [
        case_progress(connection, case, policy, now)
        for case in list_cases(
            load_privacy_events(connection, PRIVACY_EVENT_PREFIXES, policy), policy
        )
        if case.is_open
    ]
    time_left: dict[str, timedelta] = {}
    for case in open_cases:
        time_left[case.right] = min(case.answer_by - now, time_left.get(case.right, timedelta.max))
    return RequestCounts(
        requests=Counter((case.right, case.state) for case in open_cases),
        time_left=time_left,
        overdue=sum(case.answer_by < now for case in open_cases),
        holds=len(list_open_holds(connection, policy)),
    )
