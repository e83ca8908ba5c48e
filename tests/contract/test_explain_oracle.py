"""`explain` against an independent reading of the catalogue."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.events import rfc3339
from services.explaining import Explained, explain
from services.policy import loader
from tests import oracle
from tests.contract.arrivals import Event, once_each
from tests.oracle.strategies import event_sets, instants_about

POLICY = loader.load()
CALM = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def explained(events: list[Event], now: datetime | None = None) -> list[dict[str, Any]]:
    tagged = [one for _, one in once_each(events, POLICY)]
    return [_line(one) for one in explain(tagged, POLICY, now)]


def _line(one: Explained) -> dict[str, Any]:
    return {
        "event": one.event.id,
        "type": one.event.type,
        "subject": one.holding.subject,
        "purpose": one.holding.purpose,
        "basis": one.holding.basis,
        "rule": one.holding.rule,
        "stated": POLICY.rules[one.holding.rule].stated,
        "systems": list(one.holding.systems),
        "anchor_at": _written(one.window.anchor_at),
        "not_before": _written(one.window.not_before),
        "erase_by": _written(one.window.erase_by),
        "due_at": {system: _written(at) for system, at in one.window.due_at.items()},
        "state": one.state,
    }


def _written(at: datetime | None) -> str | None:
    return rfc3339(at) if at else None


def expected(events: list[Event], now: datetime | None = None) -> list[dict[str, Any]]:
    lines = oracle.explain(events, now)
    return [{key: value for key, value in line.items() if key != "anchor"} for line in lines]


@CALM
@given(event_sets())
def test_every_holding_is_as_the_oracle_has_it(events: list[Event]) -> None:
    """Windows to the second, whatever the order of the lines and however often one is repeated."""
    assert explained(events) == expected(events)


@CALM
@given(event_sets(duplicates=False), st.data())
def test_what_has_ended_is_judged_at_the_instant_given(
    events: list[Event], data: st.DataObject
) -> None:
    """At the due instant itself a holding has ended, a second before it has not."""
    now = data.draw(instants_about(events))
    assert explained(events, now) == expected(events, now)


@CALM
@given(event_sets(), st.randoms(use_true_random=False))
def test_the_order_of_the_lines_makes_no_difference(events: list[Event], random: Any) -> None:
    """Also where a duplicate comes before its original."""
    shuffled = list(events)
    random.shuffle(shuffled)
    assert explained(shuffled) == explained(events)
