"""What may and what must be erased in a small world, by rules written by hand without Termijn's code.

The world is the feedback of one visitor on the website; invoices of one customer at accounting and in
the CRM; one relationship, legal holds, withdrawals, and two policies that differ in how long an invoice
is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from services.policy.model import Policy
from tests.contract.event_builders import Event
from tests.contract.ledgers import POLICY

DAY = timedelta(days=1)
SEVEN = POLICY
ONE = replace(
    POLICY,
    version="one year",
    rules={**POLICY.rules, "R5": replace(POLICY.rules["R5"], term="P1Y")},
)
POLICIES = {policy.version: policy for policy in (SEVEN, ONE)}
YEARS = {SEVEN.version: 7, ONE.version: 1}
VISITOR, CUSTOMER = "visitor:1", "customer:1"


@dataclass
class Oracle:
    """What may and must be erased: from the recorded events, the active policy and the time."""

    events: list[Event] = field(default_factory=list)
    policy: Policy = SEVEN

    def is_held(self, subject: str, now: datetime) -> bool:
        """Return whether any legal hold is on a subject."""
        return any(
            self.is_placed(privacy_event, now)
            for privacy_event in self._events_of("privacy.hold-placed", subject)
        )

    def is_placed(self, hold: Event, now: datetime) -> bool:
        """Return whether a hold is open: a release ends what was placed before it, and nothing later."""
        data = hold["data"]
        return time_of(hold) <= now and not any(
            privacy_event["data"]["hold_id"] == data["hold_id"]
            and sort_key(hold) < sort_key(privacy_event)
            for privacy_event in self._events_of("privacy.hold-released", data["subject"])
            if time_of(privacy_event) <= now
        )

    def is_due(self, event: Event, system: str, now: datetime) -> bool:
        """Return whether a record must be erased from a system by now, legal holds left aside."""
        at = time_of(event)
        if event["type"] == "website.feedback-given":
            moments = [
                time_of(privacy_event)
                for privacy_event in self._events_of("privacy.consent-withdrawn", VISITOR)
            ]
            ends = [moment for moment in moments if moment >= at]
            return now >= min([years_after(at, 1) - DAY, *ends])
        if system == "accounting":
            last = at.year + YEARS[self.policy.version]
            return now >= datetime(last, 12, 31, 23, tzinfo=UTC)  # midnight in Amsterdam
        moves = [move for move in self.events if move["type"].startswith("customers.")]
        if not moves:
            return False
        last_move = max(moves, key=sort_key)
        ended = last_move["type"] == "customers.customer-terminated"
        return ended and now >= years_after(time_of(last_move), 2) - DAY

    def must_erase(self, event: Event, system: str, now: datetime) -> bool:
        """Return whether a record must be erased from a system by now."""
        return self.is_due(event, system, now) and not self.is_held(subject_of(event), now)

    @property
    def records(self) -> list[tuple[Event, str]]:
        """Return each record with each system that has it."""
        of = {
            "website.feedback-given": ["website"],
            "billing.invoice-issued": ["accounting", "crm"],
        }
        return [(event, system) for event in self.events for system in of.get(event["type"], ())]

    def _events_of(self, type_: str, subject: str) -> list[Event]:
        matching = [event for event in self.events if event["type"] == type_]
        return [event for event in matching if event["data"]["subject"] == subject]


def time_of(event: Event) -> datetime:
    """Return when the event happened."""
    return datetime.fromisoformat(event["time"])


def sort_key(event: Event) -> tuple[datetime, str, str]:
    """Return the order of clock changes: at the same time the one of the higher rank counts."""
    return time_of(event), event["source"], event["id"]


def years_after(at: datetime, years: int) -> datetime:
    """Return the same day of another year, which may be an earlier one."""
    return at.replace(year=at.year + years)


def subject_of(event: Event) -> str:
    """Return the subject that a record is about."""
    return VISITOR if event["type"] == "website.feedback-given" else CUSTOMER
