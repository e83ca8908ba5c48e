"""The strategies with `privacy.*` events, and what the oracle itself must hold on them."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.effort import SLOW
from tests.oracle import explain, instant, simulate
from tests.oracle.strategies import instants_about
from tests.oracle.strategies_rights import event_sets_with_rights

THOROUGH = settings(max_examples=80, deadline=None, suppress_health_check=SLOW, derandomize=True)
END = "2080-01-01T00:00:00Z"


def key(command: dict[str, Any]) -> tuple[str, str, str]:
    return command["record"], command["subject"], command["system"]


@THOROUGH
@given(event_sets_with_rights())
def test_data_under_a_legal_hold_at_a_time_is_not_erased_at_it(
    events: list[dict[str, Any]],
) -> None:
    """`explain` and `simulate` agree on holds, from what was known then."""
    for command in simulate(events, END):
        if command["action"] in ("erase", "pseudonymise"):
            known_events = [
                e for e in events if instant(e["time"]) <= instant(command["issued_at"])
            ]
            lines = explain(known_events, command["issued_at"])
            states = {line["state"] for line in lines if _serves(line, command)}
            assert "held" not in states


def _serves(line: dict[str, Any], command: dict[str, Any]) -> bool:
    same = (line["event"], line["subject"]) == (command["record"], command["subject"])
    return same and command["system"] in line["systems"]


@THOROUGH
@given(event_sets_with_rights())
def test_holdings_of_a_legal_obligation_never_end_early(events: list[dict[str, Any]]) -> None:
    """Their window is the one without any privacy event."""
    own_topics = ("customers", "billing", "purchases", "orders", "suppliers")
    business = [event for event in events if event["type"].split(".")[0] in own_topics]
    holds = [event for event in events if event["type"].startswith("privacy.hold-")]
    legal = [line for line in explain(events, END) if line["rule"] == "R5"]
    assert legal == [line for line in explain(business + holds, END) if line["rule"] == "R5"]


@THOROUGH
@given(event_sets_with_rights())
def test_no_command_is_about_erased_data_and_no_lift_without_its_restriction(
    events: list[dict[str, Any]],
) -> None:
    """Commands at one time count as sent together."""
    erased: dict[tuple[str, str, str], Any] = {}
    restricted: dict[tuple[Any, ...], Any] = {}
    for command in simulate(events, END):
        at = instant(command["issued_at"])
        assert key(command) not in erased
        if command["action"] == "lift":
            assert restricted[(*key(command), *command["purposes"])] < at
        if command["action"] == "restrict":
            restricted.setdefault((*key(command), *command["purposes"]), at)
        if command["action"] == "erase":
            erased[key(command)] = at
    for command in simulate(events, END):
        if command["action"] != "erase" and key(command) in erased:
            assert instant(command["issued_at"]) < erased[key(command)]


@THOROUGH
@given(st.data())
def test_a_shorter_run_prints_the_beginning_of_a_longer_one(data: st.DataObject) -> None:
    """The shorter run may end under a hold."""
    events = data.draw(event_sets_with_rights())
    until = data.draw(instants_about(events))
    whole = simulate(events, END)
    assert simulate(events, until) == [c for c in whole if instant(c["issued_at"]) <= until]


@THOROUGH
@given(event_sets_with_rights(), st.randoms(use_true_random=False))
def test_the_order_of_the_lines_makes_no_difference(
    events: list[dict[str, Any]], random: Any
) -> None:
    """Repeated lines make no difference either."""
    shuffled = list(events)
    random.shuffle(shuffled)
    assert simulate(shuffled, END) == simulate(events, END)
    assert explain(shuffled) == explain(events)
