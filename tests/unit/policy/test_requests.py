"""The one-month clock of a request, by calendar (GDPR 12(3))."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.policy.loader import load
from services.policy.model import ActKind
from services.policy.requests import Case, cases
from services.policy.standing import Act

POLICY = load()


def act(kind: ActKind, time: str, request: str = "Q1") -> Act:
    return Act(
        kind=kind,
        subject="customer:1",
        time=datetime.fromisoformat(time).astimezone(UTC),
        source="/s",
        id=f"{kind} {time}",
        reference=request,
        right="access" if kind == "request-received" else None,
    )


def only(*acts: Act) -> Case:
    (case,) = cases(acts, POLICY)
    return case


@pytest.mark.parametrize(
    ("received", "answer_by"),
    [
        pytest.param("2026-01-15T10:00:00+01:00", "2026-02-15T10:00:00+01:00", id="a-month"),
        pytest.param("2026-01-31T10:00:00+01:00", "2026-02-28T10:00:00+01:00", id="a-short-month"),
        pytest.param("2026-03-01T10:00:00+01:00", "2026-04-01T10:00:00+02:00", id="summer-time"),
    ],
)
def test_the_month_runs_from_receipt_by_calendar(received: str, answer_by: str) -> None:
    """Verified or not."""
    case = only(act("request-received", received))
    assert case.answer_by == datetime.fromisoformat(answer_by)
    assert (case.state, case.is_open) == ("received", True)


@pytest.mark.parametrize(
    ("told", "extended", "answer_by"),
    [
        pytest.param("2026-02-15T10:00:00+01:00", True, "2026-04-15T10:00:00+02:00", id="in-time"),
        pytest.param("2026-02-15T10:00:01+01:00", False, "2026-02-15T10:00:00+01:00", id="late"),
    ],
)
def test_an_extension_counts_only_where_it_was_told_within_the_month(
    told: str, extended: bool, answer_by: str
) -> None:
    """Three months in all."""
    case = only(act("request-received", "2026-01-15T10:00:00+01:00"), act("request-extended", told))
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
def test_a_case_is_as_far_as_its_acts(further: list[ActKind], state: str) -> None:
    """In whatever order they are known."""
    acts = [
        act("request-received", "2026-01-15T10:00:00+01:00"),
        *(act(kind, f"2026-01-1{6 + i}T10:00:00+01:00") for i, kind in enumerate(further)),
    ]
    assert only(*acts).state == only(*reversed(acts)).state == state


def test_open_cases_come_first_by_their_limit() -> None:
    """What is owed soonest is on top."""
    found = cases(
        [
            act("request-received", "2026-03-01T10:00:00Z", "late"),
            act("request-received", "2026-01-01T10:00:00Z", "done"),
            act("request-answered", "2026-01-02T10:00:00Z", "done"),
            act("request-received", "2026-02-01T10:00:00Z", "soon"),
            act("request-received", "2026-02-01T10:00:00Z", "soon"),
        ],
        POLICY,
    )
    assert [case.request for case in found] == ["soon", "late", "done"]


def test_what_was_never_received_is_no_case() -> None:
    """A verification that came first waits for its request."""
    assert cases([act("identity-verified", "2026-01-02T10:00:00Z")], POLICY) == []
