"""The duty to inform people where their data comes from (GDPR 14(3)), if it does not come from themselves.

It starts when the data is obtained. People must be informed within a month (14(3)(a)), and no later than
the first message to them (14(3)(b)) or the first disclosure to another recipient (14(3)(c)).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from services.policy.calendar import latest_erasure, parse_period
from services.policy.event_type import EventType, ProvenanceReport
from services.policy.model import Policy
from services.policy.tagged_event import DecisionValue

TERM: Final = parse_period("P1M")

InformReason = Literal["month", "contacted", "disclosed"]
"""What limits the time: the month, the first contact or the first disclosure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """The state of the duty about one piece of obtained data; instants are UTC."""

    inform_by: datetime
    reason: InformReason
    informed_at: datetime | None
    """When the person was first informed afterwards; None while that is outstanding."""

    @property
    def is_late(self) -> bool:
        """Whether the person was informed too late."""
        return self.informed_at is not None and self.informed_at > self.inform_by


def report_of(
    event: EventType, decision_fields: Mapping[str, DecisionValue]
) -> ProvenanceReport | None:
    """Return what an event reports about where data comes from; None if it reports nothing."""
    rule = event.provenance
    if rule is None:
        return None
    if not all(decision_fields.get(name) in values for name, values in rule.when.items()):
        return None
    if any(decision_fields.get(name) in values for name, values in rule.unless.items()):
        return None
    return rule.reports


def find_duty(
    obtained_at: datetime, others: Iterable[tuple[ProvenanceReport, datetime]], policy: Policy
) -> Duty:
    """Return the duty about data that was obtained at an instant, UTC.

    `others` are the person's other reports, with their times, in any order. Those of before that instant
    change nothing: who was informed of an earlier source does not know this one.
    """
    inform_by = latest_erasure(obtained_at, TERM, policy.controller.zone)
    reason: InformReason = "month"
    informed_at = None
    for report, at in sorted(others, key=lambda other: other[1]):
        if at < obtained_at:
            continue
        if report == "informed":
            informed_at = informed_at or at
        elif report != "obtained" and at < inform_by:
            inform_by, reason = at, report
    return Duty(inform_by=inform_by, reason=reason, informed_at=informed_at)
