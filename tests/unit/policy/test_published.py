"""Three published schedules as whole policies: each passes its cases, and the oracle judges them the same.

They are in `tests/published`: one with years, one with several ends, one with dates.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.cloudevents import format_rfc3339
from services.deleter.case_check import check_case
from services.policy.case_file import Case, CaseFile, read_cases
from services.policy.lint import lint
from services.policy.loader import load
from services.policy.model import Policy
from services.policy.written_time import WrittenTime
from tests.oracle.clocks import Event
from tests.oracle.examples.published.blackpool import BLACKPOOL
from tests.oracle.examples.published.essex import ESSEX
from tests.oracle.examples.published.medical_protection import MEDICAL
from tests.oracle.language.explaining import explain

_KEYS = {"person": "1", "file": "1"}
"""What every event of the oracle has."""
FOLDER = Path(__file__).parents[2] / "published"
SCHEDULES = {"essex": ESSEX, "medical_protection": MEDICAL, "blackpool": BLACKPOOL}


def cases_of(name: str) -> CaseFile:
    """The cases of a published schedule."""
    return read_cases(FOLDER / f"{name}.cases.yaml").cases(lambda _: (), lambda _: ())


CASES = [
    pytest.param(name, case, id=f"{name}: {case.case}")
    for name in SCHEDULES
    for case in cases_of(name).cases
]


def policy_of(name: str) -> Policy:
    """The policy of a published schedule."""
    return load(FOLDER / f"{name}.yaml")


def instant_of(time: WrittenTime | None, policy: Policy) -> str | None:
    """A time of a case as an instant, UTC; None if it is not known."""
    if time is None or time.value is None:
        return None
    return format_rfc3339(time.instant(policy.controller.zone))


@pytest.mark.parametrize("name", SCHEDULES)
def test_each_schedule_names_its_cases_and_every_rule_is_in_one(name: str) -> None:
    """What no case shows could be wrong."""
    cases = cases_of(name)
    assert cases.policy == f"{name}.yaml"
    shown = {window.rule for case in cases.cases for window in case.windows or ()}
    assert shown == policy_of(name).rules.keys()


@pytest.mark.parametrize(("name", "case"), CASES)
def test_a_case_is_as_expected_and_cites_its_line_in_the_published_text(
    name: str, case: Case
) -> None:
    policy = policy_of(name)
    assert list(check_case(case, policy)) == []
    assert case.windows
    for window in case.windows:
        assert policy.rules[window.rule or ""].source in case.case


@pytest.mark.parametrize(("name", "case"), CASES)
def test_the_oracle_judges_a_case_the_same(name: str, case: Case) -> None:
    """It has not seen the policy file: its schedule was written from the published text apart."""
    policy, schedule = policy_of(name), SCHEDULES[name]
    found = [
        (line["event"], line["rule"], line["not_before"], line["erase_by"])
        for line in explain(oracle_events(case, policy), schedule)
    ]
    expected = [
        (
            window.event,
            window.rule,
            instant_of(window.not_before, policy),
            instant_of(window.erase_by, policy),
        )
        for window in case.windows or ()
    ]
    assert sorted(found, key=str) == sorted(expected, key=str)


def oracle_events(case: Case, policy: Policy) -> list[Event]:
    """The events of a case as the oracle takes them."""
    return [
        {
            "id": event.id,
            "source": "/records",
            "type": event.type,
            "time": instant_of(event.time, policy),
            "data": _KEYS | {name: str(value) for name, value in event.data.items()},
        }
        for event in case.events
    ]


@pytest.mark.parametrize(
    ("name", "remarks"),
    [
        (
            "essex",
            {
                ("rules.results", "is never erased"),
                ("rules.academic-staff", "is never erased"),
                (
                    "clocks.relationship",
                    "may stay open, and what student-files, staff, staff-temporary, registrar-staff"
                    " keeps with it, without an alarm; set `max_open`",
                ),
                (
                    "clocks.dispute",
                    "may stay open, and what legal-cases keeps with it, without an alarm; set `max_open`",
                ),
            },
        ),
        (
            "medical_protection",
            {
                (
                    "clocks.death",
                    "may stay open, and what mental-health keeps with it, without an alarm; set `max_open`",
                ),
                (
                    "clocks.last-birth",
                    "may stay open, and what maternity keeps with it, without an alarm; set `max_open`",
                ),
            },
        ),
        (
            "blackpool",
            {
                (
                    "clocks.referral",
                    "may stay open, and what designated-officer keeps with it, without an alarm;"
                    " set `max_open`",
                )
            },
        ),
    ],
)
def test_lint_has_these_remarks_and_no_others(name: str, remarks: set[tuple[str, str]]) -> None:
    """Permanent records, and ends that no one can expect within a time, are meant so."""
    assert {(warning.key, warning.message) for warning in lint(policy_of(name))} == remarks
