"""Consent, given and withdrawn: which holdings it ends early, and which rule an application follows."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from tests.oracle import acts
from tests.oracle.clocks import Event
from tests.oracle.instants import instant


class Said(NamedTuple):
    """A person's consent to a purpose, or the withdrawal of it."""

    at: datetime
    source: str
    id: str
    given: bool


def said(known: Iterable[Event], subject: str, purpose: str) -> list[Said]:
    """Return the person's consents and withdrawals for the purpose, in order.

    An objection to market research is a withdrawal (ruling 5).
    """
    known = list(known)
    words = [
        (event, given)
        for kind, given in (("consent-given", True), ("consent-withdrawn", False))
        for event in acts.of(known, kind, subject)
        if event["data"]["purpose"] == purpose
    ]
    if purpose == "market_research":
        words += [
            (event, False)
            for event in acts.of(known, "objection-raised", subject)
            if event["data"]["purpose"] == purpose
        ]
    return sorted(Said(*acts.place(event), given) for event, given in words)


def withdrawn(
    kind: str, at: datetime, subject: str, purpose: str, known: Iterable[Event]
) -> datetime | None:
    """Return when consent ended for a record of this type and time; None while it is given.

    A survey answer and feedback are consent in themselves; an invitation needs a consent that is in
    force.
    """
    words = said(known, subject, purpose)
    before = [word for word in words if word.at < at]
    if kind == "research.survey-invited" and before and not before[-1].given:
        return at
    after = [word.at for word in words if not word.given and word.at >= at]
    return min(after, default=None)


def to_keep_application(
    application: Event, known: Iterable[Event]
) -> tuple[str, str, datetime | None]:
    """Return the application's basis and rule, and when it fell back from a consent to longer keeping.

    The last consent or withdrawal since the application decides; without any, its own `keep_consent`.
    Withdrawing a consent that was never given is no fall back. A request for erasure ends a longer term
    too.
    """
    known = list(known)
    at, data = instant(application["time"]), application["data"]
    applicant = f"applicant:{data['applicant_id']}"
    words = said(known, applicant, "recruitment")
    words += [
        Said(*acts.place(verified), False)
        for verified in acts.erasure_verifications(known, applicant)
    ]
    words = sorted(word for word in words if word.at >= at)
    keep = bool(data.get("keep_consent"))
    fell_back: datetime | None = None
    for word in words:
        if keep and not word.given:
            fell_back = word.at
        keep = word.given
    if keep:
        return "consent", "R3b", None
    return "contract", "R3a", fell_back
