"""What an objection or a request commands a system to do with a record, other than erase it.

Each objection and each request is a cause of its own. The end of a cause lifts only what no other cause
restricts, and what has not ended meanwhile.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from tests.oracle import acts
from tests.oracle.clocks import Event
from tests.oracle.steps import Done, Step, mark, telling
from tests.oracle.windows import Holding

ASKS = {"access": "disclose", "portability": "disclose", "rectification": "rectify"}


def all_of(
    system: str, serving: list[Holding], events: list[Event], done: set[Done], now: datetime
) -> Iterator[Step]:
    """Return every step of this kind that is still to be done for the record of these holdings."""
    subject, at = serving[0]["subject"], serving[0]["at"]
    spans = list(restrictions(subject, at, serving, events))
    for span in spans:
        yield from restricted(system, span, spans, done, now)
    for request in acts.verified_requests(events, subject):
        if at > request.verified or request.right not in ASKS:
            continue
        holdings, action = concerned(request.right, serving), ASKS[request.right]
        if holdings and mark(system, holdings[0], action, request.cause) not in done:
            yield telling(request.verified, system, action, holdings, request.cause)


class Span(NamedTuple):
    """Holdings of a record that one cause restricts, from one instant to another."""

    cause: str
    of: list[Holding]
    start: datetime
    end: datetime | None
    lifts: bool
    """Whether the holdings are free again after it; else they are erased."""


def restrictions(
    subject: str, at: datetime, serving: list[Holding], events: list[Event]
) -> Iterator[Span]:
    """Return all restrictions by objection or request."""
    for objection in acts.objections(events, subject):
        objected = [
            holding
            for holding in serving
            if holding["purpose"] == objection.purpose and holding["basis"] == "legitimate_interest"
        ]
        if objected and (objection.decided is None or at < objection.decided):
            lifts = objection.outcome == "rejected"
            yield Span(
                objection.cause, objected, max(objection.raised, at), objection.decided, lifts
            )
    for request in acts.verified_requests(events, subject):
        holdings = concerned(request.right, serving)
        if request.right == "restriction" and at <= request.verified and holdings:
            yield Span(request.cause, holdings, request.verified, request.lifted, True)


def is_restricted(
    holding: Holding, serving: list[Holding], events: list[Event], now: datetime
) -> bool:
    """Return whether an objection or a request restricts the holding now."""
    return any(
        any(holding is each for each in span.of)
        and span.start <= now
        and (span.end is None or now < span.end or not span.lifts)
        for span in restrictions(holding["subject"], holding["at"], serving, events)
    )


def concerned(right: str, serving: list[Holding]) -> list[Holding]:
    """Return the holdings of a record in a system that a request is about."""
    if right == "restriction":
        return [holding for holding in serving if holding["basis"] != "legal_obligation"]
    if right == "portability":
        return [holding for holding in serving if holding["basis"] in ("consent", "contract")]
    return serving if right in ASKS else []


def restricted(
    system: str, span: Span, all_spans: list[Span], done: set[Done], now: datetime
) -> Iterator[Step]:
    """Yield a restriction's start and end as steps; neither where both are due at once."""
    start, end = span.start, span.end
    if mark(system, span.of[0], "restrict", span.cause) not in done:
        if end is None or max(end, now) > max(start, now):
            yield telling(start, system, "restrict", span.of, span.cause)
    elif end is not None and span.lifts:
        free = [holding for holding in span.of if not still(system, holding, span, all_spans, end)]
        if free and mark(system, free[0], "lift", span.cause) not in done:
            yield telling(end, system, "lift", free, span.cause)


def still(system: str, holding: Holding, span: Span, all_spans: list[Span], at: datetime) -> bool:
    """Return whether a holding stays restricted: its purpose has ended, or another cause continues."""
    due = holding["due_at"][system]
    others = [
        other
        for other in all_spans
        if other is not span
        and any(holding is each for each in other.of)
        and other.start <= at
        and (other.end is None or not other.lifts or at < other.end)
    ]
    return bool(others) or (due is not None and due <= at)
