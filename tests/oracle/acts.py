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


def of(known: Iterable[Event], kind: str, subject: str) -> list[Event]:
    """Return the subject's events of this type, in order."""
    found = [e for e in known if e["type"] == f"privacy.{kind}" and e["data"]["subject"] == subject]
    return sorted(found, key=place)


def objection_times(known: Iterable[Event], subject: str, purpose: str) -> list[datetime]:
    """Return the times at which the subject objected to the purpose."""
    raised = of(known, "objection-raised", subject)
    return [instant(one["time"]) for one in raised if one["data"]["purpose"] == purpose]


def objections(known: Iterable[Event], subject: str) -> list[Objection]:
    """Return the subject's objections that are weighed."""
    known = list(known)
    raised = [
        one
        for one in of(known, "objection-raised", subject)
        if one["data"]["purpose"] not in NOT_WEIGHED
    ]
    first: dict[tuple[datetime, str, str], Event] = {}
    for decision in of(known, "objection-decided", subject):
        for decided_on in objections_of(decision, raised):
            first.setdefault(place(decided_on), decision)
    return [
        Objection(
            cause=f"objection {one['source']} {one['id']}",
            subject=subject,
            purpose=one["data"]["purpose"],
            raised=instant(one["time"]),
            decided=instant(first[place(one)]["time"]) if place(one) in first else None,
            outcome=first[place(one)]["data"]["outcome"] if place(one) in first else None,
        )
        for one in raised
    ]


def objections_of(decision: Event, raised: list[Event]) -> list[Event]:
    """Return the objections that a decision is about: by id, else all to the same purpose.

    Where either has no id, they cannot be told apart.
    """
    named = decision["data"].get("objection_id")
    same = [one for one in raised if named and one["data"].get("objection_id") == named]
    return same or [
        one
        for one in raised
        if one["data"]["purpose"] == decision["data"]["purpose"]
        and (named is None or one["data"].get("objection_id") is None)
        and instant(one["time"]) <= instant(decision["time"])
    ]


def verified_requests(known: Iterable[Event], subject: str) -> list[Request]:
    """Return the subject's requests from their first verification on; an id names one request.

    Only a restriction is lifted: by its own id, or with all others where the event names none.
    """
    known = list(known)
    rights: dict[str, str] = {}
    for received in of(known, "request-received", subject):
        rights.setdefault(received["data"]["request_id"], received["data"]["right"])
    found: list[Request] = []
    repeats = repetitions(known, subject)
    for request_id, right in rights.items():
        if request_id in repeats:
            continue
        names = [request_id, *(name for name, first in repeats.items() if first == request_id)]
        times = sorted(at for name in names for at in verifications(known, subject, name))
        if not times:
            continue
        lifts = [
            instant(one["time"])
            for one in of(known, "restriction-lifted", subject)
            if one["data"].get("request_id") in (None, request_id)
            and instant(one["time"]) >= times[0]
        ]
        found.append(
            Request(
                cause=f"request {request_id}",
                subject=subject,
                right=right,
                verified=times[0],
                lifted=min(lifts, default=None),
            )
        )
    return found


def repetitions(known: Iterable[Event], subject: str) -> dict[str, str]:
    """Return requests for access or portability that arrive while the same request is open.

    Each is mapped to the first request, with which it is answered, so that a disclosure is commanded
    once.
    """
    known = list(known)
    closed: dict[str, tuple[datetime, str, str]] = {}
    for kind in ("request-answered", "request-refused"):
        for one in of(known, kind, subject):
            name = one["data"]["request_id"]
            closed[name] = min(closed.get(name, place(one)), place(one))
    found: dict[str, str] = {}
    firsts: dict[str, str] = {}
    seen: set[str] = set()
    for one in of(known, "request-received", subject):
        name, right = one["data"]["request_id"], one["data"]["right"]
        if name in seen:
            continue
        seen.add(name)
        if right not in ("access", "portability"):
            continue
        first = firsts.get(right)
        if first is None or (first in closed and closed[first] < place(one)):
            firsts[right] = name
        else:
            found[name] = first
    return found


def erasures_granted(known: Iterable[Event], subject: str) -> list[datetime]:
    """Return every instant at which the subject's identity was verified for an erasure request."""
    return [instant(one["time"]) for one in erasure_verifications(known, subject)]


def erasure_verifications(known: Iterable[Event], subject: str) -> list[Event]:
    """Return the verifications of the subject's identity for erasure requests, in order."""
    known = list(known)
    names = {
        one["data"]["request_id"]
        for one in of(known, "request-received", subject)
        if one["data"]["right"] == "erasure"
    }
    return [
        one for one in of(known, "identity-verified", subject) if one["data"]["request_id"] in names
    ]


def verifications(known: Iterable[Event], subject: str, request_id: str) -> list[datetime]:
    return [
        instant(one["time"])
        for one in of(known, "identity-verified", subject)
        if one["data"]["request_id"] == request_id
    ]
