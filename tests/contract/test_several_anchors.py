"""The ledger counts how ends change that follow from several anchors, from dates and from outcomes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ledger import active_policy, policy_effects, several_anchors
from services.ledger.policy_effects import EffectCount, count_effects
from services.ledger.recording import record
from services.policy.end_changes import change_of_ends
from services.policy.explain import explain_events
from services.policy.model import Policy
from services.storage.database import Database
from tests.contract.event_builders import Event, arrival, event, tag_distinct
from tests.contract.ledgers import empty_database, run_as_role
from tests.effort import SLOW, examples
from tests.unit.policy.constructs import policy_with

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TAKEN = (
    "  club.taken:\n    process: q\n    fields: {stay_id: {}}\n"
    "    moves: [{clock: stay, move: end, outcome: taken}]\n"
)


def policy(last: str, first: str, outcome: str, version: str = "1") -> Policy:
    """A policy with a rule of each kind, each in a purpose of its own; their terms are given."""
    rules = {
        "last": f"kind: at_most, ends: last, of: [{{term: {last}, anchor: {{kind: event}}}},"
        " {term: P6M, anchor: {kind: clock, clock: stay}, if_any: true}]",
        "first": f"kind: at_most, ends: first, of: [{{term: {first}, anchor: {{kind: field,"
        " field: day}}, {term: P1Y, anchor: {kind: clock, clock: membership}}]",
        "outcome": f"kind: at_least, term: P0D, terms: {{taken: {outcome}}},"
        " anchor: {kind: clock, clock: stay}",
    }
    day = "      day: {type: date, required: false}\n"
    return replace(policy_with(rules, fields=day, more=TAKEN), version=version)


OLD = policy("P1Y", "P2Y", "P6Y")


def joined(id_: str, time: str, day: str | None = None, stay: str = "S1") -> Event:
    fields = {"day": day} if day else {}
    return event(id_, "club.joined", time, client_id=f"C{stay}", stay_id=stay, **fields)


def counted(ledger: Database, new: Policy, *events: Event) -> list[EffectCount]:
    """Record events under the old policy, and count what the new one changes about them."""
    arrivals = [arrival(body, OLD) for body in events]
    with ledger.transaction() as connection:
        active_policy.require_active(connection, OLD, NOW)
        record(connection, arrivals, OLD, NOW)
    return run_as_role(ledger, "operators", lambda c: count_effects(c, OLD, new, NOW))


def test_the_last_of_two_ends_counts(ledger: Database) -> None:
    """Two years after joining, or six months after the stay: it changes where joining decides."""
    assert counted(
        ledger,
        policy("P2Y", "P2Y", "P6Y", "next"),
        joined("e1", "2025-06-01T12:00:00Z"),
        joined("e2", "2025-06-01T12:00:00Z", stay="S2"),
        event("x2", "club.checked-out", "2027-12-01T12:00:00Z", stay_id="S2"),
        joined("e3", "2023-06-01T12:00:00Z", stay="S3"),
    ) == [EffectCount("last", "app", "later", 1)]


def test_a_date_and_a_clock_that_is_open(ledger: Database) -> None:
    """The first end counts: what has no date is open under both."""
    assert counted(
        ledger,
        policy("P1Y", "P1Y", "P6Y", "next"),
        joined("e1", "2025-06-01T12:00:00Z", "2024-06-01"),
        joined("e2", "2025-06-01T12:00:00Z", "2025-06-01", stay="S2"),
        joined("e3", "2025-06-01T12:00:00Z", stay="S3"),
        joined("e4", "2025-06-01T12:00:00Z", "2025-06-01", stay="S4"),
        event("x4", "club.left", "2024-12-31T12:00:00Z", client_id="CS4"),
    ) == [
        EffectCount("first", "app", "at once", 1),
        EffectCount("first", "app", "earlier", 1),
        EffectCount("first", "app", "open", 1),
    ]


def test_a_term_by_outcome_changes_what_ended_with_it(ledger: Database) -> None:
    """What is open may still end with it."""
    assert counted(
        ledger,
        policy("P1Y", "P2Y", "P7Y", "next"),
        joined("e1", "2025-06-01T12:00:00Z"),
        event("x1", "club.taken", "2025-07-01T12:00:00Z", stay_id="S1"),
        joined("e2", "2025-06-01T12:00:00Z", stay="S2"),
        event("x2", "club.checked-out", "2025-07-01T12:00:00Z", stay_id="S2"),
        joined("e3", "2025-06-01T12:00:00Z", stay="S3"),
    ) == [
        EffectCount("outcome", "app", "later", 1),
        EffectCount("outcome", "app", "open", 1),
    ]


def test_more_combinations_than_the_bound_are_not_counted(
    ledger: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stated, and not guessed."""
    limited = partial(several_anchors.count_several, limit=2)
    monkeypatch.setattr(policy_effects, "count_several", limited)
    joins = [joined(f"e{n}", f"2025-06-0{n}T12:00:00Z", stay=f"S{n}") for n in (1, 2, 3)]
    assert counted(ledger, policy("P2Y", "P2Y", "P6Y", "next"), *joins) == [
        EffectCount("last", "app", "not counted", 3)
    ]


TIMES = st.datetimes(datetime(2023, 1, 1), datetime(2025, 12, 30)).map(
    lambda at: at.replace(microsecond=0, minute=0, second=0).isoformat() + "Z"
)
TERMS = st.sampled_from(("P6M", "P1Y", "P2Y", "P3Y"))


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Joins with and without a date, in few stays, and ends of both clocks."""
    events: list[Event] = []
    for number in range(draw(st.integers(1, 6))):
        day = draw(st.none() | st.dates(datetime(2023, 1, 1).date(), datetime(2026, 1, 1).date()))
        stay = draw(st.sampled_from(("S1", "S2", "S3")))
        events.append(joined(f"e{number}", draw(TIMES), day.isoformat() if day else None, stay))
    for number in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(("left", "returned", "checked-out", "taken")))
        stay = draw(st.sampled_from(("S1", "S2", "S3")))
        key = {"client_id": f"C{stay}"} if kind in ("left", "returned") else {"stay_id": stay}
        events.append(event(f"x{number}", f"club.{kind}", draw(TIMES), **key))
    return events


@settings(max_examples=examples(25), deadline=None, suppress_health_check=SLOW)
@given(histories(), TERMS, TERMS, TERMS)
def test_sql_counts_what_each_holding_gives(
    shared_ledger: Database, events: list[Event], last: str, first: str, outcome: str
) -> None:
    """Every holding of the events is explained under both policies, one by one."""
    new = policy(last, first, outcome, "next")
    ledger = empty_database(shared_ledger)
    before, after = (
        explain_events([tagged for _, tagged in tag_distinct(events, each)], each, NOW)
        for each in (OLD, new)
    )
    expected: Counter[tuple[str, str]] = Counter()
    for old_holding, new_holding in zip(before, after, strict=True):
        rule = old_holding.holding.rule
        if OLD.rules[rule] == new.rules[rule]:
            continue
        ends = (old_holding.window.due_at["app"], new_holding.window.due_at["app"])
        effect = "open" if ends == (None, None) else change_of_ends(*ends, NOW)
        if effect != "unchanged":
            expected[rule, effect] += 1
    assert counted(ledger, new, *events) == sorted(
        EffectCount(rule, "app", effect, count)  # type: ignore[arg-type]  # a text of those
        for (rule, effect), count in expected.items()
    )
