"""Of a date in an event Termijn keeps no more than its policy needs: of a birth date perhaps the year."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.policy.loader import structure_hashes
from services.policy.model import Policy
from services.policy.plans import CompiledPolicy
from services.policy.retention_windows import NO_FACTS, compute_window
from services.policy.tagging import tag
from tests.unit.policy.constructs import check_plans, event, instant, policy_with

DATE = "      born_on: {type: date, required: false}\n"
YEAR = "kind: at_least, term: P67Y, anchor: {kind: field, field: born_on, end_of: calendar}"
FISCAL = YEAR.replace("calendar", "fiscal")
MONTH = YEAR.replace("calendar", "month")
DAY = "kind: at_least, term: P67Y, anchor: {kind: field, field: born_on}"
AT = "2024-03-15T10:00Z"
MOVE = """\
  club.renewed:
    process: q
    fields: {client_id: {}, born_on: {type: date}}
    moves: [{clock: membership, move: end, at: born_on}]
"""


def dated(*rules: str, more: str = "") -> Policy:
    return policy_with({f"r{n}": rule for n, rule in enumerate(rules)}, fields=DATE, more=more)


def kept(policy: Policy, born_on: str) -> object:
    """Return what is kept of a birth date, by tagging alone and by a plan, again when it is read back."""
    one = event(AT, born_on=born_on)
    compiled = CompiledPolicy(policy=policy)
    alone, planned = tag(one, policy), compiled.tag(one)
    assert planned == alone
    assert planned.plan is not None
    value = alone.decision_fields["born_on"]
    assert f'"born_on":"{value}"' in planned.plan.decision_json
    stored = event(AT, born_on=value)
    assert compiled.tag(stored, recorded=True).decision_fields["born_on"] == value
    assert tag(stored, policy, recorded=True).decision_fields["born_on"] == value
    return value


@pytest.mark.parametrize(
    ("rules", "born_on", "expected"),
    [
        pytest.param((YEAR,), "1938-03-15", "1938-12-31", id="the year"),
        pytest.param((FISCAL,), "1938-03-15", "1938-08-31", id="a fiscal year"),
        pytest.param((FISCAL,), "1938-09-15", "1939-08-31", id="the next fiscal year"),
        pytest.param((MONTH,), "1940-02-03", "1940-02-29", id="the month"),
        pytest.param((YEAR, YEAR), "1938-03-15", "1938-12-31", id="two terms of one kind"),
        pytest.param((YEAR, MONTH), "1938-03-15", "1938-03-15", id="of two kinds"),
        pytest.param((YEAR, DAY), "1938-03-15", "1938-03-15", id="one counts from the day"),
        pytest.param((DAY,), "1938-03-15", "1938-03-15", id="the day"),
        pytest.param(
            (FISCAL,), "9499-11-11", "9499-11-11", id="the year has no end that can be kept"
        ),
    ],
)
def test_only_what_the_terms_need_is_kept(
    rules: tuple[str, ...], born_on: str, expected: str
) -> None:
    assert kept(dated(*rules), born_on) == expected


def test_a_date_on_which_a_clock_ends_is_kept() -> None:
    """The clock ends as that day begins."""
    policy = dated(YEAR, more=MOVE)
    data = {"client_id": "C1", "born_on": "2030-03-15"}
    renewed = tag(replace(event(AT), type="club.renewed", data=data), policy)
    assert renewed.decision_fields["born_on"] == "2030-03-15"
    assert kept(policy, "1938-03-15") == "1938-12-31"


@given(st.dates(date(1850, 1, 1), date(2100, 1, 1)), st.sampled_from((YEAR, FISCAL, MONTH)))
@settings(max_examples=50, deadline=None)
def test_what_is_kept_gives_the_same_end(born_on: date, rule: str) -> None:
    """As from the date itself, worked out without keeping less of it."""
    policy = dated(rule)
    holding = tag(event(AT, born_on=born_on), policy).holdings[0]
    dated_exactly = replace(holding, starts=(born_on.isoformat(),))
    exact = compute_window(dated_exactly, instant(AT), NO_FACTS, policy)
    assert compute_window(holding, instant(AT), NO_FACTS, policy).not_before == exact.not_before


@given(st.data())
@settings(max_examples=20, deadline=None)
def test_plans_keep_the_same(data: st.DataObject) -> None:
    policy = dated(
        *data.draw(st.lists(st.sampled_from((YEAR, FISCAL, MONTH, DAY)), min_size=1, max_size=2))
    )
    born = data.draw(st.lists(st.dates(date(1900, 1, 1), date(2100, 1, 1)), min_size=1, max_size=3))
    check_plans(policy, [event(AT, f"e{n}", born_on=day) for n, day in enumerate(born)], data)


def test_a_policy_that_would_need_the_date_is_another_structure() -> None:
    """A ledger that has kept the year cannot date its records from the day, or from another year."""
    year, fiscal, day = (
        structure_hashes(dated(rule))["club.joined"] for rule in (YEAR, FISCAL, DAY)
    )
    assert len({year, fiscal, day}) == 3
    longer = YEAR.replace("P67Y", "P70Y")
    assert structure_hashes(dated(longer))["club.joined"] == year
