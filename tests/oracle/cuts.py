"""What ends a holding before its term: a withdrawal, an objection, a granted request for erasure."""

from datetime import datetime

from tests.oracle import acts, consents
from tests.oracle.clocks import Event
from tests.oracle.windows import Holding


def cut_short(held: Holding, known: list[Event]) -> Holding:
    """Return the holding with its window after the earliest early end; its anchor stays the rule's own."""
    if held["basis"] == "legal_obligation":
        return held
    cuts = [withdrawal(held, known), objection(held, known), erasure(held, known)]
    cut = min((moment for moment in cuts if moment is not None), default=None)
    if cut is None:
        return held
    return {
        **held,
        "erase_by": earlier(held["erase_by"], cut),
        "due_at": {system: earlier(due, cut) for system, due in held["due_at"].items()},
    }


def withdrawal(held: Holding, known: list[Event]) -> datetime | None:
    """Return the early end by withdrawal; recruitment does not end but falls back to another rule."""
    if held["basis"] != "consent" or held["purpose"] == "recruitment":
        return None
    return consents.withdrawn(held["type"], held["at"], held["subject"], held["purpose"], known)


def objection(held: Holding, known: list[Event]) -> datetime | None:
    """Return the early end by objection: at once to acquisition and later leads, else when upheld."""
    if held["basis"] != "legitimate_interest":
        return None
    if held["purpose"] == "acquisition":
        raised = acts.objection_times(known, held["subject"], "acquisition")
        return min((max(moment, held["at"]) for moment in raised), default=None)
    upheld = [
        objection.decided
        for objection in acts.objections(known, held["subject"])
        if objection.purpose == held["purpose"]
        and objection.outcome == "upheld"
        and objection.decided is not None
        and held["at"] <= objection.decided
    ]
    return min(upheld, default=None)


def erasure(held: Holding, known: list[Event]) -> datetime | None:
    """Return the first verification at which erasure of the holding is not refused."""
    granted = [
        verified
        for verified in acts.erasures_granted(known, held["subject"])
        if held["at"] <= verified and not still_necessary(held, verified)
    ]
    return min(granted, default=None)


def still_necessary(held: Holding, at: datetime) -> bool:
    """Return whether the contract was open: a current customer, or a running procedure.

    An application is also necessary where the person consented to keep it longer.
    """
    anchor = held["anchor_at"]
    contract = held["basis"] == "contract" or held["purpose"] == "recruitment"
    return contract and (anchor is None or anchor > at)


def not_before_withdrawal(held: Holding, fell_back: datetime | None) -> Holding:
    """Return the due time after a fall back: the later of the withdrawal and the rule's own."""
    if fell_back is None or held["erase_by"] is None:
        return held
    return {
        **held,
        "erase_by": max(held["erase_by"], fell_back),
        "due_at": {
            system: None if due is None else max(due, fell_back)
            for system, due in held["due_at"].items()
        },
    }


def earlier(own: datetime | None, cut: datetime) -> datetime:
    return cut if own is None else min(own, cut)
