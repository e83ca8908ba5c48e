"""What ends a holding before its term: a withdrawal, an objection, a granted request for erasure."""

from datetime import datetime

from tests.oracle import acts, consents
from tests.oracle.clocks import Event
from tests.oracle.windows import Holding


def cut_short(holding: Holding, events: list[Event]) -> Holding:
    """Return the holding with its window after the earliest early end; its anchor stays the rule's own."""
    if holding["basis"] == "legal_obligation":
        return holding
    cuts = [withdrawal(holding, events), objection(holding, events), erasure(holding, events)]
    cut = min((moment for moment in cuts if moment is not None), default=None)
    if cut is None:
        return holding
    return {
        **holding,
        "erase_by": earlier(holding["erase_by"], cut),
        "due_at": {system: earlier(due, cut) for system, due in holding["due_at"].items()},
    }


def withdrawal(holding: Holding, events: list[Event]) -> datetime | None:
    """Return the early end by withdrawal; recruitment does not end but falls back to another rule."""
    if holding["basis"] != "consent" or holding["purpose"] == "recruitment":
        return None
    return consents.withdrawn(
        holding["type"], holding["at"], holding["subject"], holding["purpose"], events
    )


def objection(holding: Holding, events: list[Event]) -> datetime | None:
    """Return the early end by objection: at once to acquisition and later leads, else when upheld."""
    if holding["basis"] != "legitimate_interest":
        return None
    if holding["purpose"] == "acquisition":
        raised = acts.objection_times(events, holding["subject"], "acquisition")
        return min((max(moment, holding["at"]) for moment in raised), default=None)
    upheld = [
        objection.decided
        for objection in acts.objections(events, holding["subject"])
        if objection.purpose == holding["purpose"]
        and objection.outcome == "upheld"
        and objection.decided is not None
        and holding["at"] <= objection.decided
    ]
    return min(upheld, default=None)


def erasure(holding: Holding, events: list[Event]) -> datetime | None:
    """Return the first verification at which erasure of the holding is not refused."""
    granted = [
        verified
        for verified in acts.erasures_granted(events, holding["subject"])
        if holding["at"] <= verified and not still_necessary(holding, verified)
    ]
    return min(granted, default=None)


def still_necessary(holding: Holding, at: datetime) -> bool:
    """Return whether the contract was open: a current customer, or a running procedure.

    An application is also necessary where the person consented to keep it longer.
    """
    anchor = holding["anchor_at"]
    contract = holding["basis"] == "contract" or holding["purpose"] == "recruitment"
    return contract and (anchor is None or anchor > at)


def not_before_withdrawal(holding: Holding, fell_back: datetime | None) -> Holding:
    """Return the due time after a fall back: the later of the withdrawal and the rule's own."""
    if fell_back is None or holding["erase_by"] is None:
        return holding
    return {
        **holding,
        "erase_by": max(holding["erase_by"], fell_back),
        "due_at": {
            system: None if due is None else max(due, fell_back)
            for system, due in holding["due_at"].items()
        },
    }


def earlier(own: datetime | None, cut: datetime) -> datetime:
    return cut if own is None else min(own, cut)
