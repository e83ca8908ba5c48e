"""Requests of data subjects: the state of each, and by when it must be answered (GDPR 12(3)).

A case is a pure function of the privacy events that name its request. The month starts with receipt,
verified or not; an extension counts only if it was announced within that month. Events that are not
privacy events, such as the sending of its commands, change its state through `next_state` as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from services.policy.calendar import latest_erasure, parse_period
from services.policy.model import Policy, Right
from services.policy.subject_state import CLOSING_EVENTS, PrivacyEvent, merged_requests

CaseState = Literal["received", "verified", "in_progress", "ready", "answered", "refused"]
RequestEvent = Literal[
    "identity-verified", "commanded", "done", "request-answered", "request-refused"
]

OPEN_STATES: tuple[CaseState, ...] = ("received", "verified", "in_progress", "ready")
"""The states in which the answer is still outstanding."""

_ANSWER_TERM = parse_period("P1M")
_EXTENDED_TERM = parse_period("P3M")

_TRANSITIONS: Mapping[CaseState, Mapping[RequestEvent, CaseState]] = {
    "received": {"identity-verified": "verified"},
    "verified": {"commanded": "in_progress", "done": "ready"},
    "in_progress": {"done": "ready"},
    "ready": {},
}


def next_state(state: CaseState, event: RequestEvent) -> CaseState:
    """Return the state after an event; a state never moves backwards, and a closed case stays closed.

    The controller may answer or refuse in any open state.
    """
    if state not in OPEN_STATES:
        return state
    if event == "request-answered":
        return "answered"
    if event == "request-refused":
        return "refused"
    return _TRANSITIONS[state].get(event, state)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A request and its state; instants are UTC."""

    request: str
    subject: str
    right: Right
    received_at: datetime
    verified_at: datetime | None
    """When identity was verified, for it or for the request it was merged into; nothing is done before."""
    extended: bool
    closed_at: datetime | None
    """When it was answered or refused."""
    state: CaseState
    answer_by: datetime
    """The end of the statutory term."""
    merged_into: str | None = None
    """The earlier, unanswered request of the same right, whose term counts for both."""

    @property
    def is_open(self) -> bool:
        """Whether the answer is still outstanding."""
        return self.state in OPEN_STATES

    def apply(self, event: RequestEvent) -> Case:
        """Return the case after an event."""
        return replace(self, state=next_state(self.state, event))


def list_cases(privacy_events: Iterable[PrivacyEvent], policy: Policy) -> list[Case]:
    """Return every request that the privacy events name: open ones first, in order of their terms."""
    by_subject: defaultdict[str, list[PrivacyEvent]] = defaultdict(list)
    for event in sorted(privacy_events, key=lambda event: (event.sort_key, event.kind)):
        by_subject[event.subject].append(event)
    found_cases = (
        case for own_events in by_subject.values() for case in _cases_of_subject(own_events, policy)
    )
    return sorted(
        found_cases,
        key=lambda case: (not case.is_open, case.answer_by, case.received_at, case.request),
    )


def _cases_of_subject(privacy_events: list[PrivacyEvent], policy: Policy) -> Iterator[Case]:
    """Return the cases of one subject; a merged one has the term and verification of the other."""
    by_request: defaultdict[str, list[PrivacyEvent]] = defaultdict(list)
    for event in privacy_events:
        if event.reference:
            by_request[event.reference].append(event)
    leaders = merged_requests(privacy_events)
    for name, leader in leaders.items():
        by_request[leader] += [
            event for event in by_request[name] if event.kind == "identity-verified"
        ]
    for name, own_events in by_request.items():
        if name not in leaders:
            yield from _build_case(
                sorted(own_events, key=lambda event: (event.sort_key, event.kind)), policy
            )
    for name, leader in leaders.items():
        for case in _build_case(by_request[name], policy):
            for leading_case in _build_case(
                sorted(by_request[leader], key=lambda event: (event.sort_key, event.kind)), policy
            ):
                yield _merge(case, leading_case)


def _merge(case: Case, leading_case: Case) -> Case:
    return replace(
        case,
        merged_into=leading_case.request,
        answer_by=min(case.answer_by, leading_case.answer_by),
        verified_at=leading_case.verified_at,
        state=case.state if not case.is_open or not leading_case.is_open else leading_case.state,
    )


def _build_case(privacy_events: list[PrivacyEvent], policy: Policy) -> Iterator[Case]:
    received = _find_first(privacy_events, "request-received")
    if received is None or received.right is None:
        return
    zone = policy.controller.zone
    answer_by = latest_erasure(received.time, _ANSWER_TERM, zone)
    extension = _find_first(privacy_events, "request-extended")
    is_extended = extension is not None and extension.time <= answer_by
    verified = _find_first(privacy_events, "identity-verified")
    closed = next((event for event in privacy_events if event.kind in CLOSING_EVENTS), None)
    case = Case(
        request=received.reference or "",
        subject=received.subject,
        right=received.right,
        received_at=received.time,
        verified_at=verified.time if verified else None,
        extended=is_extended,
        closed_at=closed.time if closed else None,
        state="received",
        answer_by=latest_erasure(received.time, _EXTENDED_TERM, zone) if is_extended else answer_by,
    )
    if verified:
        case = case.apply("identity-verified")
    if closed:
        case = case.apply(
            "request-answered" if closed.kind == "request-answered" else "request-refused"
        )
    yield case


def _find_first(privacy_events: Iterable[PrivacyEvent], kind: str) -> PrivacyEvent | None:
    return next((event for event in privacy_events if event.kind == kind), None)
