"""Requests of data subjects as cases: how far each is, and by when it must be answered (GDPR 12(3)).

A pure fold over the acts that name requests. The month runs from receipt, verified or not; an extension
counts only where it was told within that month. What a case comes to beside its acts (its commands are
out, all is done) is told it by `after`, the one function that changes its state.
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
"""States in which an answer is owed."""

_ANSWER_TERM = parse_period("P1M")
_EXTENDED_TERM = parse_period("P3M")

_TRANSITIONS: Mapping[CaseState, Mapping[RequestEvent, CaseState]] = {
    "received": {"identity-verified": "verified"},
    "verified": {"commanded": "in_progress", "done": "ready"},
    "in_progress": {"done": "ready"},
    "ready": {},
}


def next_state(state: CaseState, event: RequestEvent) -> CaseState:
    """The state after something happened; it never moves backwards, and what is closed stays as it is.

    Whoever answers for the controller may answer or refuse at any time: such an event is a fact.
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
    """One request; instants are UTC."""

    request: str
    subject: str
    right: Right
    received_at: datetime
    verified_at: datetime | None
    """When identity was verified, for it or for one that it joins; nothing is done before."""
    extended: bool
    closed_at: datetime | None
    """When it was answered or refused."""
    state: CaseState
    answer_by: datetime
    """The statutory limit."""
    merged_into: str | None = None
    """The earlier request that asks the same and is not answered: its clock counts for both."""

    @property
    def is_open(self) -> bool:
        """Whether an answer is still owed."""
        return self.state in OPEN_STATES

    def apply(self, event: RequestEvent) -> Case:
        """The case after something happened to it."""
        return replace(self, state=next_state(self.state, event))


def list_cases(acts: Iterable[PrivacyEvent], policy: Policy) -> list[Case]:
    """Every request among the acts, the one that must be answered first coming first."""
    about: defaultdict[str, list[PrivacyEvent]] = defaultdict(list)
    for act in sorted(acts, key=lambda act: (act.sort_key, act.kind)):
        about[act.subject].append(act)
    found = (case for those in about.values() for case in _cases_of_subject(those, policy))
    return sorted(
        found,
        key=lambda one: (not one.is_open, one.answer_by, one.received_at, one.request),
    )


def _cases_of_subject(acts: list[PrivacyEvent], policy: Policy) -> Iterator[Case]:
    """The cases of one subject; one that joins another has its clock, and shares its verification."""
    about: defaultdict[str, list[PrivacyEvent]] = defaultdict(list)
    for act in acts:
        if act.reference:
            about[act.reference].append(act)
    leaders = merged_requests(acts)
    for name, leader in leaders.items():
        about[leader] += [act for act in about[name] if act.kind == "identity-verified"]
    for name, those in about.items():
        if name not in leaders:
            yield from _build_case(sorted(those, key=lambda act: (act.sort_key, act.kind)), policy)
    for name, leader in leaders.items():
        for own in _build_case(about[name], policy):
            for first in _build_case(
                sorted(about[leader], key=lambda act: (act.sort_key, act.kind)), policy
            ):
                yield _merge(own, first)


def _merge(own: Case, first: Case) -> Case:
    return replace(
        own,
        merged_into=first.request,
        answer_by=min(own.answer_by, first.answer_by),
        verified_at=first.verified_at,
        state=own.state if not own.is_open or not first.is_open else first.state,
    )


def _build_case(acts: list[PrivacyEvent], policy: Policy) -> Iterator[Case]:
    received = _first(acts, "request-received")
    if received is None or received.right is None:
        return
    zone = policy.controller.zone
    within = latest_erasure(received.time, _ANSWER_TERM, zone)
    extension = _first(acts, "request-extended")
    extended = extension is not None and extension.time <= within
    verified = _first(acts, "identity-verified")
    closed = next((act for act in acts if act.kind in CLOSING_EVENTS), None)
    case = Case(
        request=received.reference or "",
        subject=received.subject,
        right=received.right,
        received_at=received.time,
        verified_at=verified.time if verified else None,
        extended=extended,
        closed_at=closed.time if closed else None,
        state="received",
        answer_by=latest_erasure(received.time, _EXTENDED_TERM, zone) if extended else within,
    )
    if verified:
        case = case.apply("identity-verified")
    if closed:
        case = case.apply(
            "request-answered" if closed.kind == "request-answered" else "request-refused"
        )
    yield case


def _first(acts: Iterable[PrivacyEvent], kind: str) -> PrivacyEvent | None:
    return next((act for act in acts if act.kind == kind), None)
