"""The deleter's forecast: how many obligations of each rule and system become due on which day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text, update

from services.deleter import flow_forecast
from services.deleter.flow_forecast import DAYS_AHEAD, make_daily_forecast
from services.deleter.surge_guard import Exemptions
from services.ledger import active_policy, tables
from services.policy.loader import load
from services.policy.model import Policy
from services.storage import pause
from services.storage.database import Database
from tests.contract.event_builders import (
    event,
    feedback,
    invoice,
    order,
    signed_up,
    terminated,
)
from tests.contract.ledgers import acting_as, claim_all, new_ledger, record_events, select_rows
from tests.contract.test_scale import query_plans
from tests.unit.policy.small import small

POLICY = load()
TODAY = datetime.now(UTC).date()
Line = tuple[int, str, str]
"""Days from today, rule and system."""


def at(day: date, hour: int = 12) -> str:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC).isoformat()


def ending_in(days: int) -> str:
    """When feedback was given that has to be erased in so many days: it is kept for a year.

    Its command is due a day before that.
    """
    end = datetime.now(UTC).date() + timedelta(days=days + 1)
    return at(end.replace(year=end.year - 1))


def forecast(ledger: Database, policy: Policy = POLICY) -> Counter[Line]:
    """Make a forecast, and return its lines."""
    with acting_as(ledger, "deleter"):
        assert make_daily_forecast(ledger, policy)
    last = select_rows(ledger, tables.forecast)[-1]
    assert last.kind == "daily"
    lines: Counter[Line] = Counter()
    for row in select_rows(ledger, tables.forecast_line, forecast=last.number):
        lines[(row.day - TODAY).days, row.rule, row.system] += row.obligations
    return lines


def test_a_forecast_of_an_empty_ledger_expects_nothing(ledger: Database) -> None:
    """It is a forecast all the same."""
    assert forecast(ledger) == {}
    assert len(select_rows(ledger, tables.forecast)) == 1


def test_records_are_expected_on_the_day_when_their_commands_are_due(ledger: Database) -> None:
    """What is late is expected today; what comes after the horizon is not in it."""
    days = (-40, -1, 2, 2, 5, DAYS_AHEAD - 1, DAYS_AHEAD + 1)
    events = [feedback(f"f{n}", ending_in(day), str(n)) for n, day in enumerate(days)]
    record_events(ledger, events, at(TODAY - timedelta(days=300)))
    assert forecast(ledger) == {
        (0, "D5", "website"): 2,
        (2, "D5", "website"): 2,
        (5, "D5", "website"): 1,
        (DAYS_AHEAD - 1, "D5", "website"): 1,
    }


def test_what_has_a_command_is_expected_no_more(ledger: Database) -> None:
    record_events(ledger, [feedback("f1", ending_in(-3))], at(TODAY - timedelta(days=300)))
    claim_all(ledger, datetime.now(UTC))
    assert forecast(ledger) == {}


def test_what_was_claimed_on_the_day_is_part_of_it(ledger: Database) -> None:
    """Otherwise a forecast in the evening would expect less than one in the morning."""
    flow = {"rule": "D5", "system": "website"}
    with ledger.transaction() as connection:
        row = {"day": datetime.now(UTC).date(), "obligations": 7, **flow}
        connection.execute(tables.claimed_obligation.insert(), [row])
    assert forecast(ledger) == {(0, "D5", "website"): 7}


def test_the_records_of_a_clock_are_expected_once(ledger: Database) -> None:
    """Feedback has its own end, invoices wait for their customer's, and that of one has not come."""
    ended = TODAY + timedelta(days=4 + 1)
    ended = ended.replace(year=ended.year - 2)
    joined = at(ended.replace(year=ended.year - 1))
    record_events(
        ledger,
        [
            *(signed_up(f"s{n}", joined, "c1") for n in range(30)),
            signed_up("s30", joined, "c2"),
            terminated("t1", at(ended), "c1"),
            feedback("f1", ending_in(1)),
        ],
        joined,
    )
    lines = forecast(ledger)
    assert lines[1, "D5", "website"] == 1
    of_customer = {line: n for line, n in lines.items() if line[1] != "D5"}
    assert of_customer
    assert {(day, n) for (day, _, _), n in of_customer.items()} == {(4, 30)}


def test_a_record_of_several_ends_is_expected_once(ledger: Database) -> None:
    """Its own term and both of its clocks come within the horizon: the last of them erases it."""
    policy = small(
        "purpose: care, basis: contract, rule: year, systems: [app]",
        "purpose: service, basis: contract, rule: membership, systems: [app]",
        "purpose: tax, basis: contract, rule: stay, systems: [app]",
    )
    joined, left, out = (ending_in(day) for day in (2, 4, 3))
    last_month = (datetime.fromisoformat(out) + timedelta(days=330)).isoformat()
    record_events(
        ledger,
        [
            event("j1", "club.joined", joined, client_id="C1", stay_id="S1"),
            event("l1", "club.left", left, client_id="C1"),
            event("o1", "club.checked-out", last_month, stay_id="S1"),
        ],
        joined,
        policy=policy,
    )
    assert forecast(ledger, policy) == {
        (4, rule, "app"): 1 for rule in ("membership", "stay", "year")
    }


def test_an_import_and_a_legal_hold_are_not_expected(ledger: Database) -> None:
    late, recorded = ending_in(-3), at(TODAY - timedelta(days=300))
    record_events(ledger, [feedback("f1", late, "1")], recorded, "history")
    held = event("h1", "privacy.hold-placed", recorded, subject="visitor:2")
    held["data"] |= {"hold_id": "H1", "ground": "legal_claim"}
    record_events(ledger, [feedback("f2", late, "2"), held], recorded)
    assert forecast(ledger) == {}


def test_a_forecast_is_made_once_a_day(ledger: Database) -> None:
    forecast(ledger)
    assert not make_daily_forecast(ledger, POLICY)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    with ledger.transaction() as connection:
        connection.execute(update(tables.forecast).values(made_at=yesterday))
    assert make_daily_forecast(ledger, POLICY)


@pytest.mark.parametrize("state", ["paused", "drained"])
def test_a_stopped_deleter_makes_no_forecast(ledger: Database, state: pause.State) -> None:
    """A policy that became active meanwhile would be expected once the stop has lasted for a week."""
    now = datetime.now(UTC)
    with ledger.transaction() as connection:
        pause.set_pause_state(connection, "deleter", state, operator="o", reason="r", now=now)
    assert not make_daily_forecast(ledger, POLICY)
    with ledger.transaction() as connection:
        pause.set_pause_state(connection, "deleter", "running", operator="o", reason="r", now=now)
    assert make_daily_forecast(ledger, POLICY)


def test_no_forecast_is_made_while_very_many_records_are_to_be_checked(
    ledger: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an activation a sample of all records would find hardly any of what is due."""
    monkeypatch.setattr(flow_forecast, "_MAX_LATE", 2)
    late = [feedback(f"f{n}", ending_in(-3), str(n)) for n in range(3)]
    record_events(ledger, late, at(TODAY - timedelta(days=300)))
    assert not make_daily_forecast(ledger, POLICY)
    claim_all(ledger, datetime.now(UTC))
    assert make_daily_forecast(ledger, POLICY)


def test_a_forecast_from_the_future_is_followed_by_one_of_today(ledger: Database) -> None:
    """A clock that was ahead was set back."""
    forecast(ledger)
    ahead = datetime.now(UTC) + timedelta(days=365)
    with ledger.transaction() as connection:
        connection.execute(update(tables.forecast).values(made_at=ahead))
    assert make_daily_forecast(ledger, POLICY)
    assert not make_daily_forecast(ledger, POLICY)


def test_old_forecasts_are_deleted_by_number_and_not_by_age(ledger: Database) -> None:
    """A clock that is ahead for a moment must not delete what the guard compares with."""
    for number in range(45):
        made_at = datetime.now(UTC) - timedelta(days=1 + number)
        with ledger.transaction() as connection:
            connection.execute(tables.forecast.insert().values(kind="daily", made_at=made_at))
    forecast(ledger)
    kept = select_rows(ledger, tables.forecast)
    assert len(kept) == 40


def test_a_forecast_under_a_policy_that_is_not_active_is_not_stored(ledger: Database) -> None:
    other = load()
    object.__setattr__(other, "version", "another")
    with ledger.transaction() as connection:
        active_policy.require_active(connection, other, datetime.now(UTC))
    with pytest.raises(active_policy.PolicyMismatch):
        make_daily_forecast(ledger, POLICY)
    assert select_rows(ledger, tables.forecast) == []


@pytest.mark.parametrize(("least", "share"), [(200, 200), (20, 10)])
def test_a_sample_speaks_for_all_of_a_day(
    ledger: Database, monkeypatch: pytest.MonkeyPatch, least: int, share: int
) -> None:
    """Of 2,000 records of a day some 200 are looked at, at least so many or one in ten."""
    monkeypatch.setattr(flow_forecast, "_DAILY_SAMPLE", least)
    monkeypatch.setattr(flow_forecast, "_RECORD_SHARE", share)
    late = ending_in(-3)
    events = [
        *(feedback(f"f{n}", late, str(n)) for n in range(400)),
        *(order(f"o{n}", at(date(2020, 5, 1)), str(n)) for n in range(1_600)),
    ]
    record_events(ledger, events, at(TODAY - timedelta(days=300)))
    lines = forecast(ledger)
    assert lines[0, "D5", "website"] == pytest.approx(400, rel=0.4)
    assert lines[0, "D4", "orders"] == pytest.approx(1_600, rel=0.2)


@pytest.fixture(scope="module")
def large(postgres: Callable[[], str]) -> Iterator[Database]:
    """Many records and clocks, of which few are due within the horizon."""
    with closing(new_ledger(postgres())) as ledger:
        ended = TODAY - timedelta(days=300)
        for start in range(0, 20_000, 5_000):
            numbers = range(start, start + 5_000)
            record_events(
                ledger, [feedback(f"f{n}", at(ended), str(n)) for n in numbers], at(ended)
            )
            record_events(
                ledger,
                [invoice(f"i{n}", at(ended), str(n)) for n in numbers if n % 5 == 0],
                at(ended),
            )
        record_events(ledger, [feedback("due", ending_in(3), "due")], at(ended))
        with ledger.transaction() as connection:
            connection.execute(text("ANALYZE"))
        yield ledger


def test_a_forecast_reads_no_table_as_a_whole(large: Database) -> None:
    """It costs as much as is due within its days, and not as much as there is."""
    plans: list[list[dict[str, object]]] = []
    now = datetime.now(UTC)
    horizon = now + timedelta(days=DAYS_AHEAD)
    for part in flow_forecast._days(now, horizon):
        plans += query_plans(
            large,
            lambda c, part=part: flow_forecast._count(  # type: ignore[misc]
                c, part, POLICY, now, horizon, Exemptions({}, 0)
            ),
        )
    scanned = {
        str(node.get("Relation Name"))
        for plan in plans
        for node in plan
        if node["Node Type"] == "Seq Scan"
    }
    assert not scanned & {"record", "clock", "event", "hanging"}
