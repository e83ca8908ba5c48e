"""Consent, given and withdrawn: what it cuts short, and which rule an application is under."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from tests.oracle import acts
from tests.oracle.clocks import Event
from tests.oracle.instants import instant


class Said(NamedTuple):
    """One word of a person on a purpose."""

    at: datetime
    source: str
    id: str
    given: bool


def said(known: Iterable[Event], subject: str, purpose: str) -> list[Said]:
    """All that the person said on the purpose, in order.

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
    """When consent ended for a record of this type and time; None while it holds.

    A survey answer and feedback are consent by themselves; an invitation needs one that stands.
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
    """The application's basis and rule, and when it fell back from a consent to keep it longer.

    The last word from the application on decides; without any, its own `keep_consent`. A withdrawal
    of what was never given is no fall back. Who asks for erasure wants no longer term either.
    """
    known = list(known)
    at, data = instant(application["time"]), application["data"]
    applicant = f"applicant:{data['applicant_id']}"
    words = said(known, applicant, "recruitment")
    words += [Said(*acts.place(one), False) for one in acts.erasure_verifications(known, applicant)]
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
