"""What objections and requests require of a system in which two holdings of one purpose differ.

A command names purposes, not holdings: a restriction of one holding is one of its purpose in the system.
"""

from __future__ import annotations

from collections.abc import Sequence

from schemas.cloudevents import CloudEvent
from services.policy.model import Policy
from services.policy.obligations import obligations_of
from services.policy.subject_state import PrivacyEvent, subject_state
from services.policy.tagging import tag
from tests.unit.policy.random_facts import FactsAbout
from tests.unit.policy.small import joined, small
from tests.unit.policy.test_obligations import JOINED, Brief, brief, instant

POLICY = small(
    "purpose: care, basis: interest, rule: year, systems: [app]",
    "purpose: care, basis: contract, rule: membership, systems: [app]",
    changed={
        "  law: {title: Law": "  interest: {title: Interest, dpv: eu-gdpr:A6-1-f, article: GDPR 6(1)(f),"
        " ground: legitimate_interest}\n  law: {title: Law"
    },
)
"""An objection to care restricts its first holding, and a request for restriction both."""


def objection(at: str) -> PrivacyEvent:
    return privacy_event("objection-raised", at, purpose="care", reference="O")


def rejection(at: str) -> PrivacyEvent:
    return privacy_event("objection-decided", at, purpose="care", reference="O", outcome="rejected")


def privacy_event(kind: str, at: str, **fields: str) -> PrivacyEvent:
    return PrivacyEvent(
        kind=kind,  # type: ignore[arg-type]  # one of its values
        subject="client:1",
        time=instant(at),
        source="/privacy",
        id=f"{kind} {at}",
        **{"purpose": None, "reference": None, "right": None, "outcome": None, **fields},  # type: ignore[arg-type]
    )


RESTRICTION = (
    privacy_event("request-received", "2024-05-01T10:00Z", reference="Q", right="restriction"),
    privacy_event("identity-verified", "2024-05-01T10:00Z", reference="Q"),
)


def planned(privacy_events: Sequence[PrivacyEvent], policy: Policy = POLICY) -> list[Brief]:
    event = CloudEvent(
        id="e1", source="/club", type="club.joined", time=instant(JOINED), data=joined()
    )
    facts = FactsAbout({}, {"client:1": subject_state(privacy_events, policy)})
    return brief(list(obligations_of(tag(event, policy), "client:1", facts, policy)))


def test_a_purpose_is_lifted_although_the_holding_objected_to_has_ended() -> None:
    """The rejection comes after its year; the purpose goes on with the membership."""
    assert planned([objection("2024-06-01T10:00Z"), rejection("2025-06-01T10:00Z")]) == [
        ("2024-06-01T10:00Z", "app", "restrict", "care"),
        ("2025-06-01T10:00Z", "app", "lift", "care"),
    ]


def test_the_end_of_a_request_lifts_nothing_of_a_purpose_under_an_objection() -> None:
    """The membership is free of the objection; its purpose is not, until that is decided."""
    lifted = privacy_event("restriction-lifted", "2024-07-01T10:00Z", reference="Q")
    events = [*RESTRICTION, objection("2024-06-01T10:00Z"), lifted]
    restricted = [
        ("2024-05-01T10:00Z", "app", "restrict", "care"),
        ("2024-06-01T10:00Z", "app", "restrict", "care"),
    ]
    assert planned(events) == restricted
    assert planned([*events, rejection("2024-08-01T10:00Z")]) == [
        *restricted,
        ("2024-08-01T10:00Z", "app", "lift", "care"),
    ]


def test_a_rule_in_test_does_not_delay_what_the_person_decides() -> None:
    """A request for erasure is carried out at once, whatever rule the data is under (GDPR 17)."""
    holding = "purpose: care, basis: contract, rule: year, systems: [app]"
    policy = small(
        holding, changed={"    title: A year\n": "    title: A year\n    status: test\n"}
    )
    requested = [
        privacy_event("request-received", "2025-05-01T10:00Z", reference="Q", right="erasure"),
        privacy_event("identity-verified", "2025-05-01T10:00Z", reference="Q"),
    ]
    assert planned([], policy) == []
    assert planned(requested, policy) == [("2025-05-01T10:00Z", "app", "erase", "care")]
