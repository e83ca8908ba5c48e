"""Consent given and withdrawn; applications under R3a and R3b."""

from typing import Any

from tests.oracle.clocks import Event
from tests.oracle.examples.forms import (
    Example,
    Leaves,
    Line,
    act,
    answered,
    event,
    feedback,
    invited,
)

CUSTOMER, VISITOR, APPLICANT = "customer:1", "visitor:1", "applicant:1"


def given(id_: str, at: str, subject: str, purpose: str) -> Event:
    return act(id_, "consent-given", at, subject, purpose=purpose)


def withdrawn(id_: str, at: str, subject: str, purpose: str) -> Event:
    return act(id_, "consent-withdrawn", at, subject, purpose=purpose)


def applied(id_: str, at: str, keep: bool) -> Event:
    data: dict[str, Any] = {"application_id": "1", "applicant_id": "1", "keep_consent": keep}
    return event(id_, "recruitment.application-received", at, **data)


def closed(id_: str, at: str) -> Event:
    data = {"application_id": "1", "applicant_id": "1"}
    return event(id_, "recruitment.application-closed", at, **data)


def survey(id_: str, anchor: str, erase_by: str, due: str, state: str) -> Line:
    return Line(id_, "market_research", "consent", "D6", anchor, erase_by, due, state)


def survey_leaves(at: str, id_: str, erase_by: str) -> Leaves:
    return Leaves(at, "mail research", "erase", id_, "D6", "market_research", erase_by)


def experience(id_: str, anchor: str, erase_by: str, due: str, state: str) -> Line:
    return Line(id_, "website_experience", "consent", "D5", anchor, erase_by, due, state)


def application(
    basis: str, rule: str, anchor: str | None, erase_by: str | None, due: str | None, state: str
) -> Line:
    return Line("e1", "recruitment", basis, rule, anchor, erase_by, due, state)


def application_leaves(at: str, rule: str, erase_by: str) -> Leaves:
    return Leaves(at, "mail recruitment", "erase", "e1", rule, "recruitment", erase_by)


CONSENT = (
    Example(
        name="a withdrawal ends what is dated before it and at its own instant, not what is later",
        events=(
            withdrawn("p1", "2024-02-10T10", CUSTOMER, "market_research"),
            invited("e1", "2024-01-10T10"),
            answered("e2", "2024-02-10T10"),
            answered("e3", "2024-02-10T10:00:01"),
        ),
        explained=(
            survey("e1", "2024-01-10T10", "2024-02-10T10", "2024-02-10T10", "ended"),
            survey("e2", "2024-02-10T10", "2024-02-10T10", "2024-02-10T10", "ended"),
            survey(
                "e3",
                "2024-02-10T10:00:01",
                "2025-02-10T10:00:01",
                "2025-02-09T10:00:01",
                "scheduled",
            ),
        ),
        sent=(
            survey_leaves("2024-02-10T10", "e1", "2024-02-10T10"),
            survey_leaves("2024-02-10T10", "e2", "2024-02-10T10"),
            survey_leaves("2025-02-09T10:00:01", "e3", "2025-02-10T10:00:01"),
        ),
    ),
    Example(
        name="a withdrawal after the command left changes what had to be, not what was done",
        events=(
            invited("e1", "2024-01-10T10"),
            withdrawn("p1", "2025-01-10T09", CUSTOMER, "market_research"),
        ),
        explained=(survey("e1", "2024-01-10T10", "2025-01-10T09", "2025-01-09T10", "ended"),),
        sent=(survey_leaves("2025-01-09T10", "e1", "2025-01-10T10"),),
    ),
    Example(
        name="an invitation after a withdrawal is due at once, an answer alone is consent",
        events=(
            withdrawn("p1", "2024-01-05T10", CUSTOMER, "market_research"),
            invited("e1", "2024-01-10T10"),
            answered("e2", "2024-01-11T10"),
            given("p2", "2024-01-12T10", CUSTOMER, "market_research"),
            invited("e3", "2024-01-13T10"),
        ),
        explained=(
            survey("e1", "2024-01-10T10", "2024-01-10T10", "2024-01-10T10", "ended"),
            survey("e2", "2024-01-11T10", "2025-01-11T10", "2025-01-10T10", "scheduled"),
            survey("e3", "2024-01-13T10", "2025-01-13T10", "2025-01-12T10", "scheduled"),
        ),
        sent=(
            survey_leaves("2024-01-10T10", "e1", "2024-01-10T10"),
            survey_leaves("2025-01-10T10", "e2", "2025-01-11T10"),
            survey_leaves("2025-01-12T10", "e3", "2025-01-13T10"),
        ),
    ),
    Example(
        name="consent given at the very instant of an invitation covers only later ones",
        events=(
            withdrawn("p1", "2024-01-05T10", CUSTOMER, "market_research"),
            given("a1", "2024-01-10T10", CUSTOMER, "market_research"),
            invited("e1", "2024-01-10T10"),
        ),
        explained=(survey("e1", "2024-01-10T10", "2024-01-10T10", "2024-01-10T10", "ended"),),
        sent=(survey_leaves("2024-01-10T10", "e1", "2024-01-10T10"),),
    ),
    Example(
        name="an invitation needs no consent event before it while nothing was withdrawn",
        events=(invited("e1", "2024-01-10T10"),),
        explained=(survey("e1", "2024-01-10T10", "2025-01-10T10", "2025-01-09T10", "scheduled"),),
        sent=(survey_leaves("2025-01-09T10", "e1", "2025-01-10T10"),),
    ),
    Example(
        name="consent given again revives nothing: the first withdrawal counts",
        events=(
            invited("e1", "2024-01-10T10"),
            withdrawn("p1", "2024-02-10T10", CUSTOMER, "market_research"),
            given("p2", "2024-02-11T10", CUSTOMER, "market_research"),
            withdrawn("p3", "2024-03-10T10", CUSTOMER, "market_research"),
        ),
        explained=(survey("e1", "2024-01-10T10", "2024-02-10T10", "2024-02-10T10", "ended"),),
        sent=(survey_leaves("2024-02-10T10", "e1", "2024-02-10T10"),),
    ),
    Example(
        name="an objection to market research counts as a withdrawal, also for later invitations",
        events=(
            answered("e1", "2024-01-10T10"),
            act("p1", "objection-raised", "2024-02-10T10", CUSTOMER, purpose="market_research"),
            invited("e2", "2024-02-20T10"),
        ),
        explained=(
            survey("e1", "2024-01-10T10", "2024-02-10T10", "2024-02-10T10", "ended"),
            survey("e2", "2024-02-20T10", "2024-02-20T10", "2024-02-20T10", "ended"),
        ),
        sent=(
            survey_leaves("2024-02-10T10", "e1", "2024-02-10T10"),
            survey_leaves("2024-02-20T10", "e2", "2024-02-20T10"),
        ),
    ),
    Example(
        name="feedback ends by a later withdrawal for its own purpose and person alone",
        events=(
            withdrawn("p1", "2024-01-05T10", VISITOR, "website_experience"),
            feedback("e1", "2024-01-10T10"),
            withdrawn("p2", "2024-02-01T10", VISITOR, "market_research"),
            withdrawn("p3", "2024-02-02T10", "visitor:2", "website_experience"),
            withdrawn("p4", "2024-02-03T10", VISITOR, "website_experience"),
        ),
        explained=(experience("e1", "2024-01-10T10", "2024-02-03T10", "2024-02-03T10", "ended"),),
        sent=(
            Leaves(
                "2024-02-03T10",
                "website",
                "erase",
                "e1",
                "D5",
                "website_experience",
                "2024-02-03T10",
            ),
        ),
    ),
    Example(
        name="consent withdrawn within the month: an application falls back to R3a's own term",
        events=(
            applied("e1", "2023-12-01T09", True),
            closed("e2", "2024-01-31T09"),
            withdrawn("p1", "2024-02-10T12", APPLICANT, "recruitment"),
        ),
        explained=(
            application(
                "contract", "R3a", "2024-01-31T09", "2024-02-29T09", "2024-02-28T09", "scheduled"
            ),
        ),
        sent=(application_leaves("2024-02-28T09", "R3a", "2024-02-29T09"),),
    ),
    Example(
        name="consent withdrawn after the month: an application is due at once",
        events=(
            applied("e1", "2023-12-01T09", True),
            closed("e2", "2024-01-31T09"),
            withdrawn("p1", "2024-06-01T12", APPLICANT, "recruitment"),
            withdrawn("p2", "2024-07-01T12", APPLICANT, "recruitment"),
        ),
        explained=(
            application(
                "contract", "R3a", "2024-01-31T09", "2024-06-01T12", "2024-06-01T12", "ended"
            ),
        ),
        sent=(application_leaves("2024-06-01T12", "R3a", "2024-06-01T12"),),
    ),
    Example(
        name="consent withdrawn within the lead time leaves the end of R3a where it was",
        events=(
            applied("e1", "2023-12-01T09", True),
            closed("e2", "2024-01-31T09"),
            withdrawn("p1", "2024-02-28T20", APPLICANT, "recruitment"),
        ),
        explained=(
            application(
                "contract", "R3a", "2024-01-31T09", "2024-02-29T09", "2024-02-28T20", "ended"
            ),
        ),
        sent=(application_leaves("2024-02-28T20", "R3a", "2024-02-29T09"),),
    ),
    Example(
        name="while a procedure runs, a withdrawal only changes the rule",
        events=(
            applied("e1", "2023-12-01T09", True),
            withdrawn("p1", "2024-02-10T12", APPLICANT, "recruitment"),
        ),
        explained=(application("contract", "R3a", None, None, None, "open"),),
        sent=(),
    ),
    Example(
        name="consent given in time keeps an application for a year",
        events=(
            applied("e1", "2023-12-01T09", False),
            closed("e2", "2024-01-31T09"),
            given("p1", "2024-02-28T08:59:59", APPLICANT, "recruitment"),
        ),
        explained=(
            application(
                "consent", "R3b", "2024-01-31T09", "2025-01-31T09", "2025-01-30T09", "scheduled"
            ),
        ),
        sent=(application_leaves("2025-01-30T09", "R3b", "2025-01-31T09"),),
    ),
    Example(
        name="consent given too late revives nothing that was erased",
        events=(
            applied("e1", "2023-12-01T09", False),
            closed("e2", "2024-01-31T09"),
            given("p1", "2024-02-28T09:00:01", APPLICANT, "recruitment"),
        ),
        explained=(
            application(
                "consent", "R3b", "2024-01-31T09", "2025-01-31T09", "2025-01-30T09", "scheduled"
            ),
        ),
        sent=(application_leaves("2024-02-28T09", "R3a", "2024-02-29T09"),),
    ),
    Example(
        name="the last word from the application on decides, an earlier one does not",
        events=(
            withdrawn("p1", "2023-11-30T09", APPLICANT, "recruitment"),
            applied("e1", "2023-12-01T09", True),
            withdrawn("p2", "2023-12-02T09", APPLICANT, "recruitment"),
            given("p3", "2023-12-03T09", APPLICANT, "recruitment"),
            closed("e2", "2024-01-31T09"),
        ),
        explained=(
            application(
                "consent", "R3b", "2024-01-31T09", "2025-01-31T09", "2025-01-30T09", "scheduled"
            ),
        ),
        sent=(application_leaves("2025-01-30T09", "R3b", "2025-01-31T09"),),
    ),
    Example(
        name="at one instant source and id say which word was the last",
        events=(
            applied("e1", "2023-12-01T09", False),
            given("p2", "2023-12-01T09", APPLICANT, "recruitment"),
            withdrawn("p1", "2023-12-01T09", APPLICANT, "recruitment"),
            closed("e2", "2024-01-31T09"),
        ),
        explained=(
            application(
                "consent", "R3b", "2024-01-31T09", "2025-01-31T09", "2025-01-30T09", "scheduled"
            ),
        ),
        sent=(application_leaves("2025-01-30T09", "R3b", "2025-01-31T09"),),
    ),
)
