"""The `privacy.*` events: consents, objections, requests and legal holds, read one by one.

Order is by (time, source, id). What an event means for a record is in `consents`, `cuts`, `holds` and
`tellings`.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from tests.oracle.clocks import Event
from tests.oracle.instants import instant

# An objection to these is absolute, or is a withdrawal; every other one has to be decided.
NOT_WEIGHED = {"acquisition", "market_research"}


class Objection(NamedTuple):
    """An objection that is weighed, with the first decision on it, if any."""

    cause: str
    subject: str
    purpose: str
    raised: datetime
    decided: datetime | None
    outcome: str | None


class Request(NamedTuple):
    """A request of a person whose identity is verified."""

    cause: str
    subject: str
    right: str
    verified: datetime
    lifted: datetime | None


def place(event: Event) -> tuple[datetime, str, str]:
    """Return the event's sort key: time, source, id."""
    return instant(event["time"]), event["source"], event["id"]


def events_of(events: Iterable[Event], kind: str, subject: str) -> list[Event]:
    """Return the subject's events of this type, in order."""
    matching = [
        e for e in events if e["type"] == f"privacy.{kind}" and e["data"]["subject"] == subject
    ]
    return sorted(matching, key=place)


def objection_times(events: Iterable[Event], subject: str, purpose: str) -> list[datetime]:
    """Return the times at which the subject objected to the purpose."""
    raised = events_of(events, "objection-raised", subject)
    return [
        instant(raised_event["time"])
        for raised_event in raised
        if raised_event["data"]["purpose"] == purpose
    ]


def objections(events: Iterable[Event], subject: str) -> list[Objection]:
    """Return the subject's objections that are weighed."""
    events = list(events)
    raised = [
        privacy_event
        for privacy_event in events_of(events, "objection-raised", subject)
        if privacy_event["data"]["purpose"] not in NOT_WEIGHED
    ]
    first: dict[tuple[datetime, str, str], Event] = {}
    for decision in events_of(events, "objection-decided", subject):
        for decided_on in objections_of(decision, raised):
            first.setdefault(place(decided_on), decision)
    return [
        Objection(
            cause=f"objection {objection['source']} {objection['id']}",
            subject=subject,
            purpose=objection["data"]["purpose"],
            raised=instant(objection["time"]),
            decided=instant(first[place(objection)]["time"]) if place(objection) in first else None,
            outcome=first[place(objection)]["data"]["outcome"]
            if place(objection) in first
            else None,
        )
        for objection in raised
    ]


def objections_of(decision: Event, raised: list[Event]) -> list[Event]:
    """Return the objections that a decision is about: by id, else all to the same purpose.

    Where either has no id, they cannot be distinguished.
    """
    named = decision["data"].get("objection_id")
    same = [
        objection
        for objection in raised
        if named and objection["data"].get("objection_id") == named
    ]
    return same or [
        objection
        for objection in raised
        if objection["data"]["purpose"] == decision["data"]["purpose"]
        and (named is None or objection["data"].get("objection_id") is None)
        and instant(objection["time"]) <= instant(decision["time"])
    ]


def verified_requests(events: Iterable[Event], subject: str) -> list[Request]:
    """Return the subject's requests from their first verification on; an id names one request.

    Only a restriction is lifted: by its own id, or with all others where the event names none.
    """
    events = list(events)
    rights: dict[str, str] = {}
    for received in events_of(events, "request-received", subject):
        rights.setdefault(received["data"]["request_id"], received["data"]["right"])
    requests: list[Request] = []
    repeats = repetitions(events, subject)
    for request_id, right in rights.items():
        if request_id in repeats:
            continue
        names = [request_id, *(name for name, first in repeats.items() if first == request_id)]
        times = sorted(at for name in names for at in verifications(events, subject, name))
        if not times:
            continue
        lifts = [
            instant(privacy_event["time"])
            for privacy_event in events_of(events, "restriction-lifted", subject)
            if privacy_event["data"].get("request_id") in (None, request_id)
            and instant(privacy_event["time"]) >= times[0]
        ]
        requests.append(
            Request(
                cause=f"request {request_id}",
                subject=subject,
                right=right,
                verified=times[0],
                lifted=min(lifts, default=None),
            )
        )
    return requests


def repetitions(events: Iterable[Event], subject: str) -> dict[str, str]:
    """Return requests for access or portability that arrive while the same request is open.

    Each is mapped to the first request, with which it is answered, so that a disclosure is commanded
    once.
    """
    events = list(events)
    closed: dict[str, tuple[datetime, str, str]] = {}
    for kind in ("request-answered", "request-refused"):
        for privacy_event in events_of(events, kind, subject):
            name = privacy_event["data"]["request_id"]
            closed[name] = min(closed.get(name, place(privacy_event)), place(privacy_event))
    by_request: dict[str, str] = {}
    firsts: dict[str, str] = {}
    request_ids: set[str] = set()
    for privacy_event in events_of(events, "request-received", subject):
        name, right = privacy_event["data"]["request_id"], privacy_event["data"]["right"]
        if name in request_ids:
            continue
        request_ids.add(name)
        if right not in ("access", "portability"):
            continue
        first = firsts.get(right)
        if first is None or (first in closed and closed[first] < place(privacy_event)):
            firsts[right] = name
        else:
            by_request[name] = first
    return by_request


def erasures_granted(events: Iterable[Event], subject: str) -> list[datetime]:
    """Return every instant at which the subject's identity was verified for an erasure request."""
    return [instant(verified["time"]) for verified in erasure_verifications(events, subject)]


def erasure_verifications(events: Iterable[Event], subject: str) -> list[Event]:
    """Return the verifications of the subject's identity for erasure requests, in order."""
    events = list(events)
    names = {
        privacy_event["data"]["request_id"]
        for privacy_event in events_of(events, "request-received", subject)
        if privacy_event["data"]["right"] == "erasure"
    }
    return [
        privacy_event
        for privacy_event in events_of(events, "identity-verified", subject)
        if privacy_event["data"]["request_id"] in names
    ]


def verifications(events: Iterable[Event], subject: str, request_id: str) -> list[datetime]:
    return [
        instant(privacy_event["time"])
        for privacy_event in events_of(events, "identity-verified", subject)
        if privacy_event["data"]["request_id"] == request_id
    ]
