"""`explain`, `simulate` and plans under random schedules, against the oracle of the policy language."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from services.deleter.due_obligations import DueObligations
from services.deleter.planning import due_obligations
from services.policy.model import Policy
from services.policy.plans import CompiledPolicy
from services.policy.rule import Notice
from services.policy.tagging import tag
from tests.contract.event_builders import Event, parse_event
from tests.contract.language_lines import (
    expected_lines,
    explain_under,
    policy_of,
    simulate_under,
)
from tests.contract.ledgers import new_ledger
from tests.contract.oracle_lines import command_lines, simulate_events
from tests.effort import SLOW, examples
from tests.oracle.commands import in_order
from tests.oracle.instants import instant
from tests.oracle.language import Part, Rule, Schedule, Variant, explain, simulate
from tests.oracle.language.conditions import conditions
from tests.oracle.strategies_language import histories, instants_near, schedules
from tests.unit.policy.constructs import check_event_by_plan
from tests.unit.policy.random_facts import INSTANTS, facts_about

CALM = settings(max_examples=examples(60), deadline=None, suppress_health_check=SLOW)
LEDGER = new_ledger("sqlite://")
UNTIL = "2200-01-01T00:00:00Z"


def accepted(schedule: Schedule) -> Schedule:
    """Return the schedule without what policies refuse.

    They refuse a term for an outcome that no event names, and conditions that are never met.
    """
    outcomes = {
        (move.clock, move.outcome) for kind in schedule.types.values() for move in kind.moves
    }

    def part_of(part: Part) -> Part:
        named = {o: term for o, term in part.terms.items() if (part.anchor.name, o) in outcomes}
        return replace(part, terms=named)

    rules: dict[str, Rule | Variant] = {}
    for name, rule in schedule.rules.items():
        if isinstance(rule, Rule):
            rules[name] = replace(rule, parts=tuple(map(part_of, rule.parts)))
        elif rule.extends in rules and all(conditions(name, schedule.rules).values()):
            parts = tuple(map(part_of, rule.changes["parts"]))
            rules[name] = replace(rule, changes={"parts": parts})
    return replace(schedule, rules=rules)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Schedule, list[Event]]:
    """Return a schedule, and events under it."""
    schedule = accepted(draw(schedules()))
    return schedule, draw(histories(schedule))


@CALM
@given(cases(), st.data())
def test_every_window_agrees_with_the_oracle(
    case: tuple[Schedule, list[Event]], data: st.DataObject
) -> None:
    """At any time, with clocks that move, dates, ends of years and outcomes, in any order of events."""
    schedule, events = case
    now: datetime = data.draw(instants_near(events))
    assert explain_under(schedule, events, now) == expected_lines(explain(events, schedule, now))


@settings(CALM, max_examples=examples(40))
@given(cases())
def test_every_command_agrees_with_the_oracle(case: tuple[Schedule, list[Event]]) -> None:
    """None is early, late, missing or needless, except what lifts name."""
    schedule, events = case
    commands = simulate_under(LEDGER, schedule, events, instant(UNTIL))
    assert alike(commands) == alike(simulate(events, schedule, UNTIL))


def alike(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the lines, with restrictions of one record at one instant as one line.

    The product groups them by when they were due, the oracle by when they leave. Lifts name no rules here:
    those of the product name all holdings of the purpose.
    """
    others = [line for line in lines if line["action"] != "restrict"]
    merged: dict[tuple[str, ...], dict[str, Any]] = {}
    for line in lines:
        if line["action"] == "restrict":
            key = (line["issued_at"], line["system"], line["subject"], line["record"])
            seen = merged.get(key, line)
            merged[key] = line | {
                "rules": sorted({*seen["rules"], *line["rules"]}),
                "purposes": sorted({*seen["purposes"], *line["purposes"]}),
                "erase_by": max(seen["erase_by"], line["erase_by"]),
            }
    lifted = [line | ({"rules": []} if line["action"] == "lift" else {}) for line in others]
    return sorted((*lifted, *merged.values()), key=in_order)


@st.composite
def with_endings(draw: st.DrawFn, policy: Policy) -> Policy:
    """Return the policy with other endings of some rules, announced once or twice."""
    notices = st.builds(
        Notice,
        before=st.sampled_from(("PT12H", "P1W", "P1M", "P3Y")),
        system=st.sampled_from(sorted(policy.systems)),
    )
    endings: st.SearchStrategy[Literal["erase", "transfer", "transfer-and-erase"]]
    endings = st.sampled_from(("erase", "erase", "transfer", "transfer-and-erase"))
    announced = st.lists(notices, max_size=2, unique=True).map(tuple)
    return replace(
        policy,
        rules={
            name: replace(rule, notices=draw(announced), then=draw(endings))
            for name, rule in policy.rules.items()
        },
    )


@CALM
@given(cases(), st.data())
def test_an_event_by_its_plan_is_the_event_alone(
    case: tuple[Schedule, list[Event]], data: st.DataObject
) -> None:
    """With any ends of clocks, outcomes and dates."""
    schedule, events = case
    policy = data.draw(with_endings(policy_of(schedule)))
    compiled = CompiledPolicy(policy=policy)
    cloud_events = [parse_event(event) for event in events]
    facts = data.draw(facts_about([tag(event, policy) for event in cloud_events], policy))
    for event in (*cloud_events, *cloud_events):
        check_event_by_plan(event, compiled, facts)


@CALM
@given(cases(), st.data())
def test_records_of_one_plan_get_the_obligations_that_each_gets_by_itself(
    case: tuple[Schedule, list[Event]], data: st.DataObject
) -> None:
    """The deleter finds them once for records that are alike; dates and several ends are their own."""
    schedule, events = case
    policy = data.draw(with_endings(policy_of(schedule)))
    compiled = CompiledPolicy(policy=policy)
    cloud_events = [parse_event(event) for event in events]
    alone = [tag(event, policy) for event in cloud_events]
    facts = data.draw(facts_about(alone, policy))
    now: datetime = data.draw(instants_near(events) | INSTANTS)
    due = DueObligations(facts, policy, now)
    for event, by_itself in zip(cloud_events, alone, strict=True):
        for subject in by_itself.subjects:
            expected = due_obligations(by_itself, subject, facts, policy, now)
            assert due.of_record(compiled.tag(event), subject) == expected


@settings(CALM, max_examples=examples(15))
@given(cases(), st.data())
def test_nothing_is_erased_before_its_transfer_and_announced_after_its_end(
    case: tuple[Schedule, list[Event]], data: st.DataObject
) -> None:
    """Whatever moves between; each transfer is of data under a rule that has one."""
    schedule, events = case
    policy = data.draw(with_endings(policy_of(schedule)))
    lines = command_lines(simulate_events(LEDGER, events, instant(UNTIL), policy))
    transferred = {
        (line["system"], line["subject"], line["record"]): line["issued_at"]
        for line in reversed(lines)
        if line["action"] == "transfer"
    }
    for line in lines:
        rules = [policy.rules[name] for name in line["rules"]]
        if line["action"] == "transfer":
            assert any(rule.transfers for rule in rules)
        if line["action"] == "erase" and any(rule.transfers for rule in rules):
            record = (line["system"], line["subject"], line["record"])
            assert any(rule.erases for rule in rules)
            assert transferred[record] <= line["issued_at"]
        if line["action"] == "notify":
            assert any(rule.notices for rule in rules)
            assert line["issued_at"] < line["erase_by"]
