"""The effects of a data subject's consents, objections, requests and legal holds on a holding or a record.

Consents and objections end a holding, or change its basis and rule. A verified erasure request ends
holdings that no law and no running contract needs (GDPR 17(1), 17(3)). A legal hold keeps everything
(17(3)(e)).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from services.policy.model import Policy
from services.policy.reasons import (
    CONSENT_WITHDRAWN,
    ERASURE_REQUESTED,
    OBJECTION_RAISED,
    OBJECTION_REJECTED,
    OBJECTION_UNDECIDED,
    OBJECTION_UPHELD,
    RESTRICTION_LIFTED,
    RESTRICTION_REQUESTED,
)
from services.policy.subject_state import LegalHold, SubjectState
from services.policy.tagged_event import Holding, HoldingChange

BASES_OPEN_TO_OBJECTION = ("legitimate_interest", "public_task")
"""The grounds to which a person may object (GDPR 21(1))."""
BASES_WITH_PORTABILITY = ("consent", "contract")
"""The grounds under which a person may have data handed over (GDPR 20(1))."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyEnd:
    """The instant, UTC, at which a holding ends before its term, with the reason."""

    at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Restriction:
    """A time, UTC, in which data is kept and not otherwise used (GDPR 18); open while `end` is None."""

    cause: str
    reason: str
    lifted_reason: str
    """Why it ends."""
    start: datetime
    end: datetime | None


def apply_consent_change(
    holding: Holding, event_time: datetime, state: SubjectState
) -> tuple[Holding, datetime | None]:
    """Return the holding after later changes of consent, and the instant, UTC, before which it is not due.

    The last change counts; a request for erasure counts as a withdrawal. A withdrawal makes nothing due
    before its own instant: the longer term was right until then.
    """
    change = holding.alternative
    if change is None:
        return holding, None
    choices = [(item.sort_key, item.given) for item in state.consents.get(holding.purpose, ())]
    choices += [(item.sort_key, False) for item in state.requests if item.right == "erasure"]
    since = sorted(choice for choice in choices if choice[0][0] >= event_time)
    if not since:
        return holding, None
    given_last = max((i for i, (_, given) in enumerate(since) if given), default=-1)
    if since[-1][1]:
        has_changed = change.when == "withdrawn"
        return (holding if has_changed else _as_alternative(holding)), None
    if change.when == "withdrawn":
        return _as_alternative(holding), since[given_last + 1][0][0]
    return holding, since[given_last + 1][0][0] if given_last >= 0 else None


def find_early_end(
    holding: Holding,
    event_time: datetime,
    open_until: datetime | None,
    state: SubjectState,
    policy: Policy,
) -> EarlyEnd | None:
    """Return the earliest end that the person's own decisions give a holding; None if there is none.

    `open_until` is the end of its clocks. A contract whose clock is open when erasure is requested is still
    being performed (GDPR 17(3) does not apply; 17(1)(a) is not fulfilled).
    """
    if policy.bases[holding.basis].is_statutory:
        return None
    return min(
        _early_ends(holding, event_time, open_until, state, policy),
        key=lambda end: end.at,
        default=None,
    )


def list_restrictions(
    holding: Holding, event_time: datetime, state: SubjectState, policy: Policy
) -> Iterator[Restriction]:
    """Return the times in which a holding is restricted: objections until decided, and requests for it."""
    basis = policy.bases[holding.basis]
    if basis.ground in BASES_OPEN_TO_OBJECTION:
        for objection in state.objections.get(holding.purpose, ()):
            decided = objection.decided_at
            start = max(objection.at, event_time)
            if decided and start >= decided:
                continue  # decided before the event: the purpose has ended, or continues
            yield Restriction(
                cause=f"objection {objection.id}",
                reason=OBJECTION_UNDECIDED,
                lifted_reason=OBJECTION_REJECTED,
                start=start,
                end=None if objection.upheld else decided,
            )
    if not basis.is_statutory:
        for request in state.requests:
            if request.right == "restriction" and event_time <= request.at:
                yield Restriction(
                    cause=f"request {request.id}",
                    reason=RESTRICTION_REQUESTED,
                    lifted_reason=RESTRICTION_LIFTED,
                    start=request.at,
                    end=request.lifted_at,
                )


def released_at(at: datetime, event: str, state: SubjectState) -> datetime | None:
    """Return when a command may be sent under the holds on this event; None while a hold is open.

    `at`, UTC as the result, is when it would be sent without holds.
    """
    holds = [hold for hold in state.holds if hold.records is None or event in hold.records]
    while holds:
        covering = [hold for hold in holds if _hold_applies(hold, at)]
        if not covering:
            break
        ends = [hold.end for hold in covering if hold.end is not None]
        if len(ends) < len(covering):
            return None
        at = max(ends)
    return at


def is_under_legal_hold(at: datetime, event: str, state: SubjectState) -> bool:
    """Return whether a legal hold on this event is open at an instant, UTC."""
    return any(
        _hold_applies(hold, at)
        for hold in state.holds
        if hold.records is None or event in hold.records
    )


def _hold_applies(hold: LegalHold, at: datetime) -> bool:
    return hold.start <= at and (hold.end is None or at < hold.end)


def _performs_contract(holding: Holding, policy: Policy) -> bool:
    """Return whether a contract needs the holding, on its basis or on the basis that consent replaced."""
    bases = [holding.basis, *([holding.alternative.basis] if holding.alternative else [])]
    return any(policy.bases[basis].ground == "contract" for basis in bases)


def _as_alternative(holding: Holding) -> Holding:
    """Return the holding with its alternative's basis and rule, and the former ones as alternative."""
    alternative = holding.alternative
    if alternative is None:
        return holding
    change_back = HoldingChange(
        when="given" if alternative.when == "withdrawn" else "withdrawn",
        basis=holding.basis,
        rule=holding.rule,
    )
    return replace(holding, basis=alternative.basis, rule=alternative.rule, alternative=change_back)


def _early_ends(
    holding: Holding,
    event_time: datetime,
    open_until: datetime | None,
    state: SubjectState,
    policy: Policy,
) -> Iterator[EarlyEnd]:
    ground = policy.bases[holding.basis].ground
    purpose = policy.purposes[holding.purpose]
    if ground == "consent" and holding.alternative is None:
        consents = state.consents.get(holding.purpose, ())
        after = [consent for consent in consents if consent.at >= event_time and not consent.given]
        before = [consent for consent in consents if consent.at < event_time]
        if after:
            yield EarlyEnd(at=after[0].at, reason=CONSENT_WITHDRAWN)
        if before and not before[-1].given and not holding.own_consent:
            yield EarlyEnd(at=event_time, reason=CONSENT_WITHDRAWN)
    objected_at = state.final_objections.get(holding.purpose, ())
    if objected_at and (
        ground in BASES_OPEN_TO_OBJECTION or (ground, purpose.objection) == ("consent", "absolute")
    ):
        later_objections = [at for at in objected_at if at >= event_time]
        if later_objections:
            yield EarlyEnd(at=later_objections[0], reason=OBJECTION_RAISED)
        if purpose.objection == "absolute" and objected_at[0] < event_time:
            yield EarlyEnd(at=event_time, reason=OBJECTION_RAISED)
    if ground in BASES_OPEN_TO_OBJECTION:
        for objection in state.objections.get(holding.purpose, ()):
            if objection.upheld and objection.decided_at and event_time <= objection.decided_at:
                yield EarlyEnd(at=objection.decided_at, reason=OBJECTION_UPHELD)
    for request in state.requests:
        if request.right != "erasure" or event_time > request.at:
            continue
        running = holding.clocks and (open_until is None or open_until > request.at)
        if not (running and _performs_contract(holding, policy)):
            yield EarlyEnd(at=request.at, reason=ERASURE_REQUESTED)
