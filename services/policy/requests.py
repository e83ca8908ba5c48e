"""Requests of data subjects as cases: how far each is, and by when it must be answered (GDPR 12(3)).

A pure fold over the acts that name requests. The month runs from receipt, verified or not; an extension
counts only where it was told within that month.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from services.policy.calendar import at_most, period
from services.policy.model import Policy, Right
from services.policy.standing import Act

State = Literal["received", "verified", "answered", "refused"]

_ANSWER = period("P1M")
_EXTENDED = period("P3M")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One request; instants are UTC."""

    request: str
    subject: str
    right: Right
    received_at: datetime
    verified_at: datetime | None
    """When identity was verified; nothing is done before."""
    extended: bool
    closed_at: datetime | None
    """When it was answered or refused."""
    state: State
    answer_by: datetime
    """The statutory limit."""

    @property
    def is_open(self) -> bool:
        """Whether an answer is still owed."""
        return self.closed_at is None


def cases(acts: Iterable[Act], policy: Policy) -> list[Case]:
    """Every request among the acts, the one that must be answered first coming first."""
    about: defaultdict[tuple[str, str], list[Act]] = defaultdict(list)
    for act in sorted(acts, key=lambda act: act.rank):
        if act.reference:
            about[act.subject, act.reference].append(act)
    found = (case for those in about.values() for case in _case(those, policy))
    return sorted(found, key=lambda one: (not one.is_open, one.answer_by, one.request))


def _case(acts: list[Act], policy: Policy) -> Iterator[Case]:
    received = _first(acts, "request-received")
    if received is None or received.right is None:
        return
    zone = policy.controller.zone
    within = at_most(received.time, _ANSWER, zone)
    extension = _first(acts, "request-extended")
    extended = extension is not None and extension.time <= within
    verified = _first(acts, "identity-verified")
    closed = _first(acts, "request-answered") or _first(acts, "request-refused")
    yield Case(
        request=received.reference or "",
        subject=received.subject,
        right=received.right,
        received_at=received.time,
        verified_at=verified.time if verified else None,
        extended=extended,
        closed_at=closed.time if closed else None,
        state=_state(verified, closed),
        answer_by=at_most(received.time, _EXTENDED, zone) if extended else within,
    )


def _state(verified: Act | None, closed: Act | None) -> State:
    if closed is not None:
        return "answered" if closed.kind == "request-answered" else "refused"
    return "verified" if verified is not None else "received"


def _first(acts: Iterable[Act], kind: str) -> Act | None:
    return next((act for act in acts if act.kind == kind), None)
