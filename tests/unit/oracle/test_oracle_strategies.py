"""The strategies make what they promise, and the oracle holds its own invariants on it."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.oracle import explain, instant, simulate
from tests.oracle.strategies import event_sets, instants_about

THOROUGH = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
END = "2080-01-01T00:00:00Z"


@THOROUGH
@given(st.data())
def test_no_command_leaves_before_its_event_or_before_the_duty_to_keep(data: st.DataObject) -> None:
    events = data.draw(event_sets())
    times = {event["id"]: instant(event["time"]) for event in events}
    floors: dict[tuple[str, str, str], Any] = {
        (line["event"], line["subject"], system): instant(line["not_before"])
        for line in explain(events)
        for system in line["systems"]
        if line["not_before"]
    }
    for command in simulate(events, END):
        issued = instant(command["issued_at"])
        assert issued >= times[command["record"]]
        floor = floors.get((command["record"], command["subject"], command["system"]))
        assert command["action"] != "erase" or floor is None or issued >= floor


@THOROUGH
@given(event_sets(shared_systems=("repair", "research")))
def test_each_thing_is_done_once_and_nothing_after_the_erasure(
    events: list[dict[str, Any]],
) -> None:
    erased = set()
    for command in simulate(events, END):
        record = (command["record"], command["subject"], command["system"])
        assert record not in erased
        if command["action"] == "erase":
            erased.add(record)


@THOROUGH
@given(event_sets())
def test_in_the_end_everything_whose_clocks_have_stopped_is_erased(
    events: list[dict[str, Any]],
) -> None:
    erased = {
        (command["record"], command["subject"], command["system"])
        for command in simulate(events, END)
        if command["action"] == "erase"
    }
    for line in explain(events, END):
        if line["state"] == "ended":
            assert {(line["event"], line["subject"], s) for s in line["systems"]} <= erased


@THOROUGH
@given(st.data())
def test_a_shorter_run_prints_the_beginning_of_a_longer_one(data: st.DataObject) -> None:
    events = data.draw(event_sets())
    until = data.draw(instants_about(events))
    whole = simulate(events, END)
    assert simulate(events, until) == [c for c in whole if instant(c["issued_at"]) <= until]
