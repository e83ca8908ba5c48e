"""What an objection or a request tells a system to do with a record, other than erase it.

Each objection and each request is a cause of its own: what one of them restricts, only its own end
lifts.
"""

from collections.abc import Iterator
from datetime import datetime

from tests.oracle import acts
from tests.oracle.clocks import Event
from tests.oracle.steps import Done, Step, mark, telling
from tests.oracle.windows import Holding

ASKS = {"access": "disclose", "portability": "disclose", "rectification": "rectify"}


def all_of(
    system: str, serving: list[Holding], known: list[Event], done: set[Done], now: datetime
) -> Iterator[Step]:
    """Everything of the kind still to be told of the record that these holdings are of."""
    subject, at = serving[0]["subject"], serving[0]["at"]
    for objection in acts.objections(known, subject):
        objected = [
            held
            for held in serving
            if held["purpose"] == objection.purpose and held["basis"] == "legitimate_interest"
        ]
        if objected:
            start, end, lifts = (
                max(objection.raised, at),
                objection.decided,
                objection.outcome == "rejected",
            )
            cause = objection.cause
            yield from restricted(system, objected, cause, start, end, lifts, done, now)
    for request in acts.verified_requests(known, subject):
        if at > request.verified:
            continue
        asked = concerned(request.right, serving)
        if not asked:
            continue
        start, cause = request.verified, request.cause
        if request.right == "restriction":
            yield from restricted(system, asked, cause, start, request.lifted, True, done, now)
        elif mark(system, asked[0], ASKS[request.right], cause) not in done:
            yield telling(start, system, ASKS[request.right], asked, cause)


def concerned(right: str, serving: list[Holding]) -> list[Holding]:
    """The holdings of a record that a request is about, in a system."""
    if right == "restriction":
        return [held for held in serving if held["basis"] != "legal_obligation"]
    if right == "portability":
        return [held for held in serving if held["basis"] in ("consent", "contract")]
    return serving if right in ASKS else []


def restricted(
    system: str,
    of: list[Holding],
    cause: str,
    start: datetime,
    end: datetime | None,
    lifts: bool,
    done: set[Done],
    now: datetime,
) -> Iterator[Step]:
    """A restriction from one instant to another; neither end of it is told where both are due."""
    if mark(system, of[0], "restrict", cause) not in done:
        if end is None or max(end, now) > max(start, now):
            yield telling(start, system, "restrict", of, cause)
    elif end is not None and lifts and mark(system, of[0], "lift", cause) not in done:
        yield telling(end, system, "lift", of, cause)
