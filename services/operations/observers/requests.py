"""The observer of the rights role: requests of data subjects, and legal holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from services.operations.observers.base import ConsumerObserver, WaitingObserver
from services.policy.provenance import InformReason
from services.requests.counts import RequestCounts
from services.requests.provenance import DutyCounts


@dataclass(slots=True, kw_only=True)
class RequestsObserver(ConsumerObserver, WaitingObserver):
    """Turns what the rights role reports into metrics and log lines."""

    def request_decided(self, right: str, outcome: str) -> None:
        """Count and log a request that was answered or refused."""
        self.metrics.count("termijn_requests_concluded_total", right=right, outcome=outcome)
        self.log.info("decided a request", right=right, outcome=outcome)

    def requests_counted(self, counts: RequestCounts) -> None:
        """Note the open requests and legal holds."""
        metrics = self.metrics
        metrics.replace_labels("termijn_requests_open", counts.requests)
        metrics.replace_labels(
            "termijn_request_left_seconds",
            {(right,): remaining.total_seconds() for right, remaining in counts.time_left.items()},
        )
        metrics.set("termijn_requests_late", counts.overdue)
        metrics.set("termijn_holds_open", counts.holds)

    def duties_counted(self, counts: DutyCounts) -> None:
        """Note the people who are not informed yet where their data comes from."""
        metrics = self.metrics
        number = dict.fromkeys(get_args(InformReason), 0) | dict(counts.open)
        metrics.replace_labels("termijn_provenance_open", {(k,): n for k, n in number.items()})
        metrics.set("termijn_provenance_late", counts.late)
        metrics.replace_labels(
            "termijn_provenance_left_seconds",
            {(reason,): left.total_seconds() for reason, left in counts.time_left.items()},
        )
