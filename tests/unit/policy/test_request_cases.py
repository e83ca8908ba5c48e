"""The one-month clock of a request, by calendar (GDPR 12(3))."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.policy.event_type import PrivacyEventKind
from services.policy.loader import load
from services.policy.request_cases import Case, CaseState, RequestEvent, list_cases, next_state
from services.policy.subject_state import PrivacyEvent

POLICY = load()


def act(kind: PrivacyEventKind, time: str, request: str = "Q1") -> PrivacyEvent:
    return PrivacyEvent(
        kind=kind,
        subject="customer:1",
        time=datetime.fromisoformat(time).astimezone(UTC),
        source="/s",
        id=f"{kind} {time}",
        reference=request,
        right="access" if kind == "request-received" else None,
    )


def only(*acts: PrivacyEvent) -> Case:
    (case,) = list_cases(acts, POLICY)
    return case


@pytest.mark.parametrize(
    ("received", "answer_by"),
    [
        pytest.param("2026-01-15T10:00:00+01:00", "2026-02-15T10:00:00+01:00", id="a-month"),
        pytest.param("2026-01-31T10:00:00+01:00", "2026-02-28T10:00:00+01:00", id="a-short-month"),
        pytest.param("2026-03-01T10:00:00+01:00", "2026-04-01T10:00:00+02:00", id="summer-time"),
    ],
)
def test_the_time_to_answer_is_a_month_from_receipt(received: str, answer_by: str) -> None:
    """Verified or not."""
    case = only(act("request-received", received))
    assert case.answer_by == datetime.fromisoformat(answer_by)
    assert (case.state, case.is_open) == ("received", True)


@pytest.mark.parametrize(
    ("extended_at", "extended", "answer_by"),
    [
        pytest.param("2026-02-15T10:00:00+01:00", True, "2026-04-15T10:00:00+02:00", id="in-time"),
        pytest.param("2026-02-15T10:00:01+01:00", False, "2026-02-15T10:00:00+01:00", id="late"),
    ],
)
def test_an_extension_counts_only_if_announced_within_the_month(
    extended_at: str, extended: bool, answer_by: str
) -> None:
    """Three months in all."""
    case = only(
        act("request-received", "2026-01-15T10:00:00+01:00"), act("request-extended", extended_at)
    )
    assert (case.extended, case.answer_by) == (extended, datetime.fromisoformat(answer_by))


@pytest.mark.parametrize(
    ("further", "state"),
    [
        pytest.param([], "received", id="received"),
        pytest.param(["identity-verified"], "verified", id="verified"),
        pytest.param(["identity-verified", "request-answered"], "answered", id="answered"),
        pytest.param(["request-refused"], "refused", id="never-verified"),
    ],
)
def test_the_state_of_a_case_follows_from_its_privacy_events(
    further: list[PrivacyEventKind], state: str
) -> None:
    """The order in which they are recorded does not matter."""
    acts = [
        act("request-received", "2026-01-15T10:00:00+01:00"),
        *(act(kind, f"2026-01-1{6 + i}T10:00:00+01:00") for i, kind in enumerate(further)),
    ]
    assert only(*acts).state == only(*reversed(acts)).state == state


def test_open_cases_are_listed_first_by_their_limit() -> None:
    """The most urgent is at the top."""
    cases = list_cases(
        [
            act("request-received", "2026-03-01T10:00:00Z", "late"),
            act("request-received", "2026-01-01T10:00:00Z", "done"),
            act("request-answered", "2026-01-02T10:00:00Z", "done"),
            act("request-received", "2026-02-01T10:00:00Z", "soon"),
            act("request-received", "2026-02-01T10:00:00Z", "soon"),
        ],
        POLICY,
    )
    assert [case.request for case in cases] == ["soon", "late", "done"]


def test_without_its_receipt_a_request_is_not_a_case() -> None:
    """A verification that arrived first waits for its request."""
    assert list_cases([act("identity-verified", "2026-01-02T10:00:00Z")], POLICY) == []


def test_a_second_request_for_the_same_joins_the_first() -> None:
    """The limit of the first counts, and a verification of the second is one of the first."""
    cases = list_cases(
        [
            act("request-received", "2026-01-15T10:00:00+01:00", "Q1"),
            act("request-received", "2026-01-20T10:00:00+01:00", "Q2"),
            act("identity-verified", "2026-01-21T10:00:00+01:00", "Q2"),
        ],
        POLICY,
    )
    verified = datetime.fromisoformat("2026-01-21T10:00:00+01:00")
    limit = datetime.fromisoformat("2026-02-15T10:00:00+01:00")
    assert [(case.request, case.merged_into, case.state) for case in cases] == [
        ("Q1", None, "verified"),
        ("Q2", "Q1", "verified"),
    ]
    assert {(case.verified_at, case.answer_by) for case in cases} == {(verified, limit)}


def test_a_request_after_the_answer_is_a_case_of_its_own() -> None:
    """The first was answered on the 18th, so that the second has its own month."""
    cases = list_cases(
        [
            act("request-received", "2026-01-15T10:00:00+01:00", "Q1"),
            act("request-answered", "2026-01-18T10:00:00+01:00", "Q1"),
            act("request-received", "2026-01-20T10:00:00+01:00", "Q2"),
        ],
        POLICY,
    )
    assert [(case.request, case.merged_into, case.state) for case in cases] == [
        ("Q2", None, "received"),
        ("Q1", None, "answered"),
    ]


def test_corrections_are_never_joined() -> None:
    """Two requests for rectification correct different data."""
    received = [
        replace(act("request-received", "2026-01-15T10:00:00+01:00", name), right="rectification")
        for name in ("Q1", "Q2")
    ]
    assert [case.merged_into for case in list_cases(received, POLICY)] == [None, None]


@pytest.mark.parametrize(
    ("state", "happening", "then"),
    [
        ("received", "identity-verified", "verified"),
        ("received", "commanded", "received"),
        ("received", "done", "received"),
        ("verified", "commanded", "in_progress"),
        ("verified", "done", "ready"),
        ("in_progress", "done", "ready"),
        ("in_progress", "identity-verified", "in_progress"),
        ("ready", "commanded", "ready"),
        ("ready", "request-answered", "answered"),
        ("received", "request-refused", "refused"),
        ("answered", "request-refused", "answered"),
        ("refused", "request-answered", "refused"),
        ("answered", "identity-verified", "answered"),
    ],
)
def test_a_closed_case_stays_closed(
    state: CaseState, happening: RequestEvent, then: CaseState
) -> None:
    """Later privacy events do not change it."""
    assert next_state(state, happening) == then
