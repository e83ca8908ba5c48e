"""Hypothesis strategies for notices and transfers, legal holds and requests for erasure.

They are added to the schedules and events of `strategies_language`. Legal holds and requests prefer the
instants at which a command would leave without them, and a second beside these.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from tests.oracle.examples.forms import act
from tests.oracle.instants import instant, written
from tests.oracle.language.commanding import simulate
from tests.oracle.language.rules import NEVER, Event, Notice, Rule, Schedule, Variant
from tests.oracle.strategies import times_after
from tests.oracle.strategies_language import FILES

BEFORE = ("P1D", "P1W", "P30D", "P30D", "P1M", "P6M", "P1Y")
THEN = ("erase", "erase", "erase", "transfer", "transfer-and-erase", "transfer-and-erase")
LAST_ACT = datetime(2150, 1, 1, tzinfo=UTC)


@st.composite
def endings(draw: st.DrawFn, schedule: Schedule) -> Schedule:
    """Return the schedule with notices and transfers of some rules, also of those with conditions."""
    rules: dict[str, Rule | Variant] = {}
    for name, rule in schedule.rules.items():
        if isinstance(rule, Rule):
            if rule.parts[0].term != NEVER or len(rule.parts) > 1:
                ending: dict[str, Any] = {"then": draw(st.sampled_from(THEN))}
                rules[name] = replace(rule, notices=draw(_notices()), **ending)
            else:
                rules[name] = rule
        elif draw(st.booleans()):
            rules[name] = rule
        else:
            changes = {**rule.changes, "then": draw(st.sampled_from(THEN))}
            notices = draw(_notices())
            rules[name] = replace(rule, changes=changes | ({"notices": notices} if notices else {}))
    return replace(schedule, rules=rules)


@st.composite
def _notices(draw: st.DrawFn) -> tuple[Notice, ...]:
    """Return up to two notices, also by one system, that may itself hold data."""
    notices = st.builds(
        Notice, before=st.sampled_from(BEFORE), system=st.sampled_from(("mail", "mail", "post"))
    )
    return tuple(draw(st.lists(notices, max_size=2, unique=True)))


@st.composite
def retirements(draw: st.DrawFn, schedule: Schedule, events: Sequence[Event]) -> Schedule:
    """Return the schedule with, sometimes, a system that is retired about the time of an event."""
    if draw(st.integers(0, 3)):
        return schedule
    at = instant(draw(st.sampled_from(events))["time"])
    at += timedelta(seconds=draw(st.sampled_from((0, 0, 1))))
    system = draw(st.sampled_from(("app", "books")))
    return replace(schedule, retired={system: written(at) or ""})


@st.composite
def acts(draw: st.DrawFn, schedule: Schedule, events: Sequence[Event]) -> list[Event]:
    """Return up to two legal holds, mostly released, and up to one request for erasure.

    No request where a rule has several ends: whether a contract still needs the data is not settled there.
    """
    moments = [instant(event["time"]) for event in events]
    leave = simulate(events, schedule, LAST_ACT)
    dues = [instant(command["issued_at"]) for command in leave]

    def near() -> datetime:
        own = [st.sampled_from(dues), st.sampled_from(dues)] if dues else []
        moment: datetime = draw(st.one_of(*own, st.sampled_from(moments), times_after(moments)))
        return moment + timedelta(seconds=draw(st.sampled_from((0, 0, 0, -1, 1))))

    drawn: list[Event] = []
    for number in range(draw(st.sampled_from((0, 1, 1, 2)))):
        person = f"person:{draw(st.sampled_from((*FILES, FILES[0])))}"
        data: dict[str, Any] = {"hold_id": f"h{number}", "ground": "legal_claim"}
        if draw(st.integers(0, 2)) == 0:
            data["records"] = [draw(st.sampled_from(events))["id"]]
        first, second = sorted((near(), near()))
        drawn.append(_act(f"p{number}", "hold-placed", first, person, **data))
        if draw(st.integers(0, 4)):
            named = {"hold_id": data["hold_id"]}
            drawn.append(_act(f"r{number}", "hold-released", second, person, **named))
    if all(len(each.parts) == 1 for each in schedule.rules.values() if isinstance(each, Rule)) and (
        draw(st.booleans())
    ):
        person = f"person:{draw(st.sampled_from((*FILES, FILES[0])))}"
        first, second = sorted((near(), near()))
        named = {"request_id": "q"}
        drawn.append(_act("q0", "request-received", first, person, right="erasure", **named))
        drawn.append(_act("q1", "identity-verified", second, person, **named))
    return drawn


def _act(id_: str, kind: str, at: datetime, subject: str, **data: Any) -> Event:
    return act(id_, kind, "", subject, **data) | {"specversion": "1.0", "time": written(at)}
