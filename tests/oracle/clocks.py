"""Where each retention clock is, given the known events: the instant it ended, None while open.

Every function scans all known events. The last change by (time, source, id) decides. Ruling 13 gives
the keys.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeAlias

from tests.oracle.instants import instant

Event: TypeAlias = dict[str, Any]
# time, source, id, place inside the event, ended?
Move: TypeAlias = tuple[datetime, str, str, int, bool]


def customer_ended(events: Iterable[Event], customer_id: str) -> datetime | None:
    """Return the end of the customer relationship."""
    moves: list[Move] = []
    for event in events:
        if event["data"].get("customer_id") != customer_id:
            continue
        if event["type"] == "customers.customer-terminated":
            moves.append(move(event, ended=True))
        if event["type"] == "customers.customer-reinstated":
            moves.append(move(event, ended=False))
    return last_of(moves)


def supplier_or_contact_ended(
    events: Iterable[Event], supplier_id: str, contact_id: str
) -> datetime | None:
    """Return the end of the supplier, or of the person as its contact, whichever is first."""
    business: list[Move] = []
    contact: list[Move] = []
    for event in events:
        data = event["data"]
        if data.get("supplier_id") != supplier_id:
            continue
        if event["type"] == "suppliers.supplier-engaged":
            business.append(move(event, ended=False))
            if data["contact_id"] == contact_id:
                contact.append(move(event, ended=False))
        if event["type"] == "suppliers.supplier-ended":
            business.append(move(event, ended=True))
        if event["type"] == "suppliers.contact-person-changed":
            if data["former_contact_id"] == contact_id:
                contact.append(move(event, ended=True))
            if data["contact_id"] == contact_id:
                contact.append(move(event, ended=False, place=1))
    ends = [end for end in (last_of(business), last_of(contact)) if end is not None]
    return min(ends) if ends else None


def application_closed(events: Iterable[Event], application_id: str) -> datetime | None:
    """Return the completion of the procedure."""
    return last_time(events, {"recruitment.application-closed"}, "application_id", application_id)


def message_resolved(events: Iterable[Event], message_id: str) -> datetime | None:
    return last_time(events, {"contact.message-resolved"}, "message_id", message_id)


def ticket_resolved(events: Iterable[Event], ticket_id: str) -> datetime | None:
    return last_time(events, {"helpdesk.ticket-resolved"}, "ticket_id", ticket_id)


def last_contact(events: Iterable[Event], prospect_id: str) -> datetime | None:
    """Return the latest instant at which the prospect was acquired or contacted."""
    types = {"acquisition.lead-acquired", "acquisition.lead-contacted"}
    return last_time(events, types, "prospect_id", prospect_id)


def request_closed(events: Iterable[Event], request_id: str) -> datetime | None:
    """Return the answer to a person's request, or its refusal."""
    types = {"privacy.request-answered", "privacy.request-refused"}
    return last_time(events, types, "request_id", request_id)


def objection_decided(events: Iterable[Event], subject: str, purpose: str) -> datetime | None:
    """Return the decision on an objection; the clock is per person and purpose, and restarts."""
    return last_of(
        [
            move(event, ended=event["type"] == "privacy.objection-decided")
            for event in events
            if event["type"] in ("privacy.objection-raised", "privacy.objection-decided")
            and (event["data"]["subject"], event["data"]["purpose"]) == (subject, purpose)
        ]
    )


def complaint_answered(events: Iterable[Event], complaint_id: str) -> datetime | None:
    return last_time(events, {"privacy.complaint-answered"}, "complaint_id", complaint_id)


def move(event: Event, *, ended: bool, place: int = 0) -> Move:
    return instant(event["time"]), event["source"], event["id"], place, ended


def last_of(moves: list[Move]) -> datetime | None:
    if not moves:
        return None
    at, _, _, _, ended = max(moves)
    return at if ended else None


def last_time(events: Iterable[Event], types: set[str], key: str, value: str) -> datetime | None:
    times = [
        instant(event["time"])
        for event in events
        if event["type"] in types and event["data"].get(key) == value
    ]
    return max(times, default=None)
