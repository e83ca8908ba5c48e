"""The oracle of the policy language holds its own invariants on whatever the strategies make."""

from dataclasses import replace
from datetime import date, datetime
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.oracle.instants import AMSTERDAM, instant, midnight_after, plus_months
from tests.oracle.language import Part, Rule, Schedule, explain, simulate
from tests.oracle.language.local_time import maximum, minimum, of_instant
from tests.oracle.language.rules import NEVER
from tests.oracle.strategies import hard_times
from tests.oracle.strategies_language import histories, instants_near, schedules

THOROUGH = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
END = "2200-01-01T00:00:00Z"


@THOROUGH
@given(hard_times(), st.integers(1, 300))
def test_the_calendar_agrees_with_that_of_the_catalogue(moment: datetime, months: int) -> None:
    start = of_instant(moment, AMSTERDAM.key)
    assert maximum(start, f"P{months}M", AMSTERDAM.key) == plus_months(moment, months)
    last_day = plus_months(moment, months).astimezone(AMSTERDAM).date()
    assert minimum(start, f"P{months}M", AMSTERDAM.key) == midnight_after(last_day)
    assert isinstance(last_day, date)


@THOROUGH
@given(st.data())
def test_no_command_leaves_before_its_event_or_its_minimum(data: st.DataObject) -> None:
    schedule = data.draw(schedules())
    events = data.draw(histories(schedule))
    times = {event["id"]: instant(event["time"]) for event in events}
    tried = {name for name, rule in schedule.rules.items() if isinstance(rule, Rule) and rule.test}
    floors: dict[tuple[str, str], list[datetime]] = {}
    for line in explain(events, schedule):
        if line["not_before"] and line["rule"] not in tried:
            for system in line["systems"]:
                floors.setdefault((line["event"], system), []).append(instant(line["not_before"]))
    last_known = max(times.values())
    for command in simulate(events, schedule, END):
        issued = instant(command["issued_at"])
        assert issued >= times[command["record"]]
        if command["action"] == "erase" and issued >= last_known:
            assert all(
                issued >= floor for floor in floors.get((command["record"], command["system"]), [])
            )


@THOROUGH
@given(st.data())
def test_restriction_and_lift_alternate_until_the_erasure(data: st.DataObject) -> None:
    schedule = data.draw(schedules())
    restricted: set[tuple[str, str, str]] = set()
    erased: set[tuple[str, str]] = set()
    for command in simulate(data.draw(histories(schedule)), schedule, END):
        record = (command["record"], command["system"])
        assert record not in erased
        marks = {(*record, purpose) for purpose in command["purposes"]}
        if command["action"] == "erase":
            erased.add(record)
        elif command["action"] == "restrict":
            assert not marks & restricted
            restricted |= marks
        else:
            assert marks <= restricted
            restricted -= marks


@THOROUGH
@given(st.data())
def test_in_the_end_all_is_erased_whose_holdings_have_ended(data: st.DataObject) -> None:
    schedule = data.draw(schedules())
    events = data.draw(histories(schedule))
    erased = {
        (command["record"], command["system"])
        for command in simulate(events, schedule, END)
        if command["action"] == "erase"
    }
    unended = {
        (line["event"], system)
        for line in explain(events, _without_tests(schedule), END)
        if line["state"] != "ended"
        for system in line["systems"]
    }
    kept = {
        (line["event"], system)
        for line in explain(events, schedule, END)
        if line["state"] == "test"
        for system in line["systems"]
    }
    assert not erased & kept
    for line in explain(events, _without_tests(schedule), END):
        for system in line["systems"]:
            assert (line["event"], system) in erased | unended | kept


@THOROUGH
@given(st.data())
def test_a_rule_in_test_is_for_the_commands_one_that_never_ends(data: st.DataObject) -> None:
    """It commands nothing, and keeps what it holds."""
    schedule = data.draw(schedules())
    events = data.draw(histories(schedule))
    never = Rule(kind="at_least", parts=(Part(term=NEVER),))
    rules = {
        name: never if isinstance(rule, Rule) and rule.test else rule
        for name, rule in schedule.rules.items()
    }
    assert simulate(events, schedule, END) == simulate(events, replace(schedule, rules=rules), END)


@THOROUGH
@given(st.data(), st.randoms(use_true_random=False))
def test_the_order_of_the_lines_makes_no_difference(data: st.DataObject, random: Any) -> None:
    schedule = data.draw(schedules())
    events = data.draw(histories(schedule))
    shuffled = list(events)
    random.shuffle(shuffled)
    assert explain(shuffled, schedule) == explain(events, schedule)


@THOROUGH
@given(st.data())
def test_a_shorter_run_prints_the_beginning_of_a_longer_one(data: st.DataObject) -> None:
    schedule = data.draw(schedules())
    events = data.draw(histories(schedule))
    until = data.draw(instants_near(events))
    whole = simulate(events, schedule, END)
    assert simulate(events, schedule, until) == [
        c for c in whole if instant(c["issued_at"]) <= until
    ]


def _without_tests(schedule: Schedule) -> Schedule:
    """Return the schedule without the holdings whose rules are under test."""
    tried = {name for name, rule in schedule.rules.items() if isinstance(rule, Rule) and rule.test}
    types = {
        name: replace(kind, uses=tuple(use for use in kind.uses if use.rule not in tried))
        for name, kind in schedule.types.items()
    }
    return replace(schedule, types=types)
