"""The legal holds that are open: data that must not be erased for now (GDPR 17(3)(e))."""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import Connection

from services.ledger.facts import load_privacy_events
from services.policy.model import Policy
from services.policy.subject_state import LegalHold, PrivacyEvent, subject_state


def list_open_holds(connection: Connection, policy: Policy) -> list[tuple[str, LegalHold]]:
    """Return each open hold with its subject, sorted by subject."""
    by_subject: defaultdict[str, list[PrivacyEvent]] = defaultdict(list)
    for event in load_privacy_events(connection, ("hold",), policy):
        by_subject[event.subject].append(event)
    return [
        (subject, hold)
        for subject, events in sorted(by_subject.items())
        for hold in subject_state(events, policy).holds
        if hold.end is None
    ]
