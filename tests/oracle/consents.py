"""Consent, given and withdrawn: which holdings it ends early, and which rule an application follows."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from tests.oracle import acts
from tests.oracle.clocks import Event
from tests.oracle.instants import instant


class ConsentStatement(NamedTuple):
    """A person's consent to a purpose, or the withdrawal of it."""

    at: datetime
    source: str
    id: str
    given: bool


def consent_statements(
    events: Iterable[Event], subject: str, purpose: str
) -> list[ConsentStatement]:
    """Return the person's consents and withdrawals for the purpose, in order.

    An objection to market research is a withdrawal (ruling 5).
    """
    events = list(events)
    statements = [
        (event, is_given)
        for kind, is_given in (("consent-given", True), ("consent-withdrawn", False))
        for event in acts.events_of(events, kind, subject)
        if event["data"]["purpose"] == purpose
    ]
    if purpose == "market_research":
        statements += [
            (event, False)
            for event in acts.events_of(events, "objection-raised", subject)
            if event["data"]["purpose"] == purpose
        ]
    return sorted(ConsentStatement(*acts.place(event), is_given) for event, is_given in statements)


def withdrawn(
    kind: str, at: datetime, subject: str, purpose: str, events: Iterable[Event]
) -> datetime | None:
    """Return when consent ended for a record of this type and time; None while it is given.

    A survey answer and feedback are consent in themselves; an invitation needs a consent that is in
    force.
    """
    statements = consent_statements(events, subject, purpose)
    before = [statement for statement in statements if statement.at < at]
    if kind == "research.survey-invited" and before and not before[-1].given:
        return at
    after = [statement.at for statement in statements if not statement.given and statement.at >= at]
    return min(after, default=None)


def to_keep_application(
    application: Event, events: Iterable[Event]
) -> tuple[str, str, datetime | None]:
    """Return the application's basis and rule, and when it fell back from a consent to longer keeping.

    The last consent or withdrawal since the application decides; without any, its own `keep_consent`.
    Withdrawing a consent that was never given changes nothing. A request for erasure ends a longer term
    too.
    """
    events = list(events)
    at, data = instant(application["time"]), application["data"]
    applicant = f"applicant:{data['applicant_id']}"
    statements = consent_statements(events, applicant, "recruitment")
    statements += [
        ConsentStatement(*acts.place(verified), False)
        for verified in acts.erasure_verifications(events, applicant)
    ]
    statements = sorted(statement for statement in statements if statement.at >= at)
    keep = bool(data.get("keep_consent"))
    fell_back: datetime | None = None
    for statement in statements:
        if keep and not statement.given:
            fell_back = statement.at
        keep = statement.given
    if keep:
        return "consent", "R3b", None
    return "contract", "R3a", fell_back
