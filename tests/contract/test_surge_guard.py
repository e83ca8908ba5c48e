"""The surge guard: a policy, a clock or a publisher that is wrong cannot erase a company."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest

from services.deleter import activation, surge_guard
from services.deleter.deleter import Deleter, DeleterLimits
from services.deleter.due_work import has_due_work
from services.deleter.flow_forecast import expect_released, make_daily_forecast
from services.deleter.surge import Expectation, Surge
from services.ledger import active_policy, backfills, forecasts, tables
from services.ledger.forecasts import Flow, FlowDay
from services.policy.loader import load
from services.policy.model import Policy
from services.storage import pause
from services.storage.database import Database, database_now
from tests.contract.concurrency import worker_threads
from tests.contract.event_builders import Event, event, feedback
from tests.contract.ledgers import (
    FakeBus,
    acting_as,
    record_events,
    run_as_role,
    select_rows,
)
from tests.contract.null_observer import NullObserver

SHIPPED = load()
FLOW = Flow("D5", "website")
MANY = 1_200


def keeping_feedback(term: str) -> Policy:
    """The shipped policy with another term for feedback, which is held in one system."""
    rules = {**SHIPPED.rules, "D5": replace(SHIPPED.rules["D5"], term=term)}
    return replace(SHIPPED, version=term, rules=rules)


SEVEN_YEARS, SEVEN_DAYS = keeping_feedback("P7Y"), keeping_feedback("P7D")


class Watched(NullObserver):
    """Notes what the surge guard reports."""

    def __init__(self) -> None:
        self.surges: list[Surge] = []
        self.not_compared = 0

    def surge_found(self, surges: Sequence[Surge]) -> None:
        self.surges += surges

    def surge_not_compared(self) -> None:
        self.not_compared += 1


def ago(**by: float) -> str:
    """Return an instant so long ago, as an event writes it."""
    return (datetime.now(UTC) - timedelta(**by)).isoformat()


def feedbacks(number: int, at: str, prefix: str = "f") -> list[Event]:
    """Feedback of so many visitors."""
    return [feedback(f"{prefix}{n}", at, f"{prefix}{n}") for n in range(number)]


def activate(ledger: Database, policy: Policy) -> None:
    """Activate a policy as an operator who was shown nothing about the ledger."""
    run_as_role(
        ledger,
        "operators",
        lambda c: activation.activate(c, policy, database_now(c), operator="officer"),
    )


def run(
    ledger: Database,
    policy: Policy,
    *,
    forecast: bool = True,
    factor: float = 3,
    runs: int = 6,
) -> tuple[FakeBus, Watched]:
    """Run a deleter several times, as its process does: it forecasts first."""
    bus, watched = FakeBus(), Watched()
    with acting_as(ledger, "deleter"):
        deleter = build_deleter(ledger, policy, bus, watched, factor)
        for _ in range(runs):
            if forecast:
                make_daily_forecast(ledger, policy)
            deleter.run_once()
    return bus, watched


def build_deleter(
    ledger: Database, policy: Policy, bus: FakeBus, watched: Watched, factor: float = 3
) -> Deleter:
    return Deleter(
        ledger=ledger,
        publisher=bus,
        catch_up_check=watched,
        policy=policy,
        observer=watched,
        now=lambda: datetime.now(UTC),
        limits=DeleterLimits(records_per_claim=400, surge_factor=factor),
    )


def resume(ledger: Database) -> Sequence[forecasts.OpenSurge]:
    """Let the deleters go on as `termijn resume deleter` does."""

    def work(connection: Any) -> Sequence[forecasts.OpenSurge]:
        now = database_now(connection)
        pause.set_pause_state(
            connection, "deleter", "running", operator="officer", reason="it is right", now=now
        )
        return surge_guard.release(connection, "officer", now)

    return run_as_role(ledger, "operators", work)


def pause_row(ledger: Database) -> tuple[str, str, str] | None:
    """Return state, operator and reason of the deleter's pause."""
    rows = select_rows(ledger, tables.control, scope="deleter")
    return (rows[0].state, rows[0].operator, rows[0].reason) if rows else None


def store_daily(ledger: Database, days_ago: int, expected: Mapping[int, int]) -> None:
    """Store a forecast of so many days ago; `expected` is by days from now."""
    now = datetime.now(UTC)
    lines = {
        FlowDay(now.date() + timedelta(days=number), FLOW): count
        for number, count in expected.items()
    }
    made_at = now - timedelta(days=days_ago)
    run_as_role(ledger, "deleter", lambda c: forecasts.store_forecast(c, "daily", made_at, lines))


@pytest.fixture
def seven_years(ledger: Database) -> Database:
    """A ledger with feedback of last year under a policy that keeps it for seven, and a forecast."""
    return record_seven_years(ledger)


def record_seven_years(ledger: Database) -> Database:
    ledger.run_in_transaction(
        lambda c: active_policy.require_active(c, SEVEN_YEARS, datetime(2026, 1, 1, tzinfo=UTC))
    )
    record_events(ledger, feedbacks(MANY, ago(days=300)), ago(days=300), policy=SEVEN_YEARS)
    with acting_as(ledger, "deleter"):
        assert make_daily_forecast(ledger, SEVEN_YEARS)
    return ledger


def test_a_policy_whose_seven_years_became_seven_days_is_stopped(seven_years: Database) -> None:
    """Fewer than a thousand are erased; the pause names rule, system and change of the policy."""
    activate(seven_years, SEVEN_DAYS)
    bus, watched = run(seven_years, SEVEN_DAYS)
    assert 0 < len(bus.sent) < 1_000
    [surge] = watched.surges
    assert (surge.flow, surge.expectation.obligations) == (FLOW, 0)
    assert surge.claimed >= 1_000
    stopped = pause_row(seven_years)
    assert stopped is not None
    assert stopped[:2] == ("paused", "termijn")
    assert re.fullmatch(
        r"a surge: rule D5 in website: at least 1\d\d\d due today, 0 forecast on 20[\d-]{8};"
        r" policy optimum-pos P7D is active since 20[\d: -]{14} UTC by officer,"
        r" with other keys than optimum-pos P7Y: rule D5: term is P7D, was P7Y",
        stopped[2],
    )
    actions = [row.action for row in select_rows(seven_years, tables.operator_action)]
    assert actions == ["pause"]


def test_a_surge_goes_on_when_a_person_resumes_and_does_not_stop_again(
    seven_years: Database,
) -> None:
    """What comes due on the next days was forecast after the release."""
    record_events(seven_years, feedbacks(MANY, ago(days=5.5), "g"), ago(days=5), policy=SEVEN_YEARS)
    activate(seven_years, SEVEN_DAYS)
    before, _ = run(seven_years, SEVEN_DAYS)
    [released] = resume(seven_years)
    assert (released.rule, released.system) == ("D5", "website")
    bus, watched = run(seven_years, SEVEN_DAYS)
    assert (len(before.sent) + len(bus.sent), watched.surges) == (MANY, [])
    assert select_rows(seven_years, tables.surge)[0].operator == "officer"
    [header] = select_rows(seven_years, tables.forecast)[-1:]
    lines = select_rows(seven_years, tables.forecast_line, forecast=header.number)
    forecast = sum(line.obligations for line in lines) - len(before.sent)
    assert forecast == pytest.approx(MANY, rel=0.1)


def test_what_was_due_at_the_release_is_not_counted_any_more(seven_years: Database) -> None:
    """It goes on also where everything beyond the forecast would be a surge."""
    activate(seven_years, SEVEN_DAYS)
    before, _ = run(seven_years, SEVEN_DAYS, factor=1)
    resume(seven_years)
    bus, watched = run(seven_years, SEVEN_DAYS, factor=1)
    assert (len(before.sent) + len(bus.sent), watched.surges) == (MANY, [])


def test_a_release_is_only_for_the_policy_that_was_active(seven_years: Database) -> None:
    """Under another policy the same rule may make other data due."""
    activate(seven_years, SEVEN_DAYS)
    run(seven_years, SEVEN_DAYS)
    resume(seven_years)
    six_days = keeping_feedback("P6D")
    activate(seven_years, six_days)
    record_events(seven_years, feedbacks(MANY, ago(days=300), "h"), ago(days=1), policy=six_days)
    _, watched = run(seven_years, six_days, forecast=False)
    assert [surge.flow for surge in watched.surges] == [FLOW]


def test_nothing_is_stopped_without_a_forecast_and_that_is_reported(ledger: Database) -> None:
    record_events(ledger, feedbacks(MANY, ago(days=300)), ago(days=300), policy=SEVEN_DAYS)
    bus, watched = run(ledger, SEVEN_DAYS, forecast=False)
    assert (len(bus.sent), watched.surges) == (MANY, [])
    assert watched.not_compared > 0
    assert pause_row(ledger) is None


def test_nothing_is_counted_or_stopped_when_the_guard_is_off(seven_years: Database) -> None:
    activate(seven_years, SEVEN_DAYS)
    bus, watched = run(seven_years, SEVEN_DAYS, factor=0)
    assert (len(bus.sent), watched.surges, watched.not_compared) == (MANY, [], 0)
    assert select_rows(seven_years, tables.claimed_obligation) == []


def test_what_the_deleter_forecast_is_no_surge(ledger: Database) -> None:
    """All of it was due when the first forecast was made: it expects it."""
    record_events(ledger, feedbacks(MANY, ago(days=300)), ago(days=300), policy=SEVEN_DAYS)
    bus, watched = run(ledger, SEVEN_DAYS)
    assert (len(bus.sent), watched.surges) == (MANY, [])


def test_the_forecast_of_a_week_ago_counts_and_not_a_later_one(seven_years: Database) -> None:
    """The later one was made after the mistake."""
    store_daily(seven_years, 8, {0: 10})
    store_daily(seven_years, 2, {0: 5_000})
    activate(seven_years, SEVEN_DAYS)
    _, watched = run(seven_years, SEVEN_DAYS, forecast=False)
    assert [surge.expectation.obligations for surge in watched.surges] == [10]


def test_a_first_policy_with_a_wrong_term_is_stopped(ledger: Database) -> None:
    """No person accepted it: the ledger was empty when it became active, and so was the forecast."""
    with acting_as(ledger, "deleter"):
        make_daily_forecast(ledger, SEVEN_DAYS)
    record_events(ledger, feedbacks(MANY, ago(days=8)), ago(days=8), policy=SEVEN_DAYS)
    bus, watched = run(ledger, SEVEN_DAYS)
    assert 0 < len(bus.sent) < 1_000
    assert [surge.flow for surge in watched.surges] == [FLOW]


def test_clocks_that_end_by_mistake_are_stopped(ledger: Database) -> None:
    """A publisher maps its events wrongly: every customer has ended, long ago."""
    with acting_as(ledger, "deleter"):
        make_daily_forecast(ledger, SHIPPED)
    joined, ended = ago(days=3_000), ago(days=2_900)
    events = []
    for n in range(MANY):
        events += [
            event(f"s{n}", "customers.customer-signed-up", joined, customer_id=str(n)),
            event(f"t{n}", "customers.customer-terminated", ended, customer_id=str(n)),
        ]
    record_events(ledger, events, ended)
    _, watched = run(ledger, SHIPPED)
    assert watched.surges
    assert pause_row(ledger) is not None


def show(ledger: Database, digest: str, holdings: int) -> None:
    """Show an operator that so many holdings end at once, as `termijn policy activate` does."""

    def work(connection: Any) -> None:
        now = database_now(connection)
        forecasts.replace_shown(connection, digest, now.date(), {FLOW: holdings}, now)

    run_as_role(ledger, "operators", work)


def accept(ledger: Database, digest: str, policy: Policy) -> None:
    """Activate a policy whose differences an operator has accepted by their digest."""

    def work(connection: Any) -> None:
        now = database_now(connection)
        forecasts.accept_shown(connection, digest, now)
        activation.activate(connection, policy, now, operator="officer")

    run_as_role(ledger, "operators", work)


def test_what_was_shown_and_accepted_is_no_surge(seven_years: Database) -> None:
    show(seven_years, "digest", MANY)
    accept(seven_years, "digest", SEVEN_DAYS)
    bus, watched = run(seven_years, SEVEN_DAYS)
    assert (len(bus.sent), watched.surges) == (MANY, [])


def test_an_acceptance_counts_only_as_far_as_what_was_shown(seven_years: Database) -> None:
    """It was shown when nothing was recorded yet that ends earlier."""
    show(seven_years, "digest", 0)
    accept(seven_years, "digest", SEVEN_DAYS)
    _, watched = run(seven_years, SEVEN_DAYS)
    assert [surge.flow for surge in watched.surges] == [FLOW]


def test_what_was_shown_of_other_differences_is_not_accepted(seven_years: Database) -> None:
    """Two operators compare two files, and one of them is accepted."""
    show(seven_years, "digest", 0)
    show(seven_years, "other digest", MANY)
    accept(seven_years, "digest", SEVEN_DAYS)
    _, watched = run(seven_years, SEVEN_DAYS)
    assert [surge.flow for surge in watched.surges] == [FLOW]


def test_what_was_shown_and_not_accepted_does_not_count(seven_years: Database) -> None:
    show(seven_years, "digest", MANY)
    activate(seven_years, SEVEN_DAYS)
    _, watched = run(seven_years, SEVEN_DAYS)
    assert [surge.flow for surge in watched.surges] == [FLOW]


def release_import(ledger: Database, policy: Policy, *, expected: bool = True) -> None:
    """Release the import as `termijn backfill release` does."""

    def work(connection: Any) -> None:
        now = database_now(connection)
        if expected:
            expect_released(connection, "history", policy, now)
        backfills.release(connection, "history", "officer", now)

    run_as_role(ledger, "operators", work)


def test_what_an_operator_releases_of_an_import_is_no_surge(ledger: Database) -> None:
    """Its records, and the live records that wait for the ends in it, today and on the next days."""
    with acting_as(ledger, "deleter"):
        make_daily_forecast(ledger, SEVEN_DAYS)
    history = [
        *feedbacks(MANY, ago(days=300)),
        *feedbacks(20, ago(days=4.5), "next"),
    ]
    record_events(ledger, history, ago(days=1), "history", policy=SEVEN_DAYS)
    release_import(ledger, SEVEN_DAYS)
    lines = {
        line.day: line.obligations
        for line in select_rows(ledger, tables.forecast_line, rule="D5", system="website")
    }
    assert sum(lines.values()) == MANY + 20
    assert lines[datetime.now(UTC).date()] >= MANY
    bus, watched = run(ledger, SEVEN_DAYS)
    assert (len(bus.sent), watched.surges) == (MANY, [])


def test_an_import_that_is_released_without_a_forecast_is_stopped(ledger: Database) -> None:
    """This shows that the test above proves something."""
    with acting_as(ledger, "deleter"):
        make_daily_forecast(ledger, SEVEN_DAYS)
    history = feedbacks(MANY, ago(days=300))
    record_events(ledger, history, ago(days=1), "history", policy=SEVEN_DAYS)
    release_import(ledger, SEVEN_DAYS, expected=False)
    _, watched = run(ledger, SEVEN_DAYS)
    assert [surge.flow for surge in watched.surges] == [FLOW]


def test_the_erasure_that_one_person_asks_for_is_no_surge(ledger: Database) -> None:
    """However many records it is about, it counts once in each claim."""
    with acting_as(ledger, "deleter"):
        make_daily_forecast(ledger, SEVEN_YEARS)
    at = ago(days=300)
    events = [feedback(f"f{n}", at, "V1") for n in range(MANY)]
    record_events(ledger, events, at, policy=SEVEN_YEARS)
    withdrawn = event("w1", "privacy.consent-withdrawn", ago(days=1), subject="visitor:V1")
    withdrawn["data"] |= {"purpose": "website_experience"}
    record_events(ledger, [withdrawn], ago(days=1), policy=SEVEN_YEARS)
    _, watched = run(ledger, SEVEN_YEARS)
    live = select_rows(ledger, tables.command_record)
    assert (len(live), watched.surges) == (MANY, [])


def test_a_stopped_deleter_still_protects(seven_years: Database) -> None:
    """Erasures that were sent before the stop are recalled when a legal hold comes."""
    activate(seven_years, SEVEN_DAYS)
    bus, _ = run(seven_years, SEVEN_DAYS)
    erased = bus.sent[0].value["subject"]
    hold = event("h1", "privacy.hold-placed", ago(minutes=1), subject=erased)
    hold["data"] |= {"hold_id": "H1", "ground": "legal_claim"}
    record_events(seven_years, [hold], ago(minutes=0), policy=SEVEN_DAYS)
    recalls, _ = run(seven_years, SEVEN_DAYS)
    assert [command.value["action"] for command in recalls.sent] == ["recall"]


def test_the_commands_of_a_surge_are_not_written(seven_years: Database) -> None:
    """The claim is rolled back as a whole: its records are due as before."""
    activate(seven_years, SEVEN_DAYS)
    run(seven_years, SEVEN_DAYS)
    written = len(select_rows(seven_years, tables.command))
    assert 0 < written < 1_000
    [counted] = select_rows(seven_years, tables.claimed_obligation)
    assert (counted.rule, counted.system, counted.obligations) == ("D5", "website", written)
    with seven_years.transaction() as connection:
        assert has_due_work(connection, datetime.now(UTC))


def test_a_surge_that_was_released_meanwhile_does_not_stop(seven_years: Database) -> None:
    """Another deleter found it too, and stores it after a person has let it go on."""
    activate(seven_years, SEVEN_DAYS)
    found = surge_guard.SurgeFound(
        [Surge(flow=FLOW, claimed=MANY, expectation=no_forecast())], datetime.now(UTC)
    )
    run(seven_years, SEVEN_DAYS)
    resume(seven_years)
    stopped = run_as_role(
        seven_years,
        "deleter",
        lambda c: surge_guard.stop(c, found, SEVEN_DAYS, database_now(c)),
    )
    assert not stopped
    state = pause_row(seven_years)
    assert state is not None
    assert state[0] == "running"


def no_forecast() -> Expectation:
    return Expectation(obligations=0, forecast_at=datetime.now(UTC))


def test_deleters_together_stop_before_a_thousand(postgres_ledger: Database) -> None:
    """Four deleters count together, and none goes on after the stop."""
    record_seven_years(postgres_ledger)
    activate(postgres_ledger, SEVEN_DAYS)
    start, all_of_them = Barrier(4), [(FakeBus(), Watched()) for _ in range(4)]

    def work(bus: FakeBus, watched: Watched) -> None:
        deleter = build_deleter(postgres_ledger, SEVEN_DAYS, bus, watched)
        for _ in range(3):
            start.wait(timeout=600)
            deleter.run_once()

    with worker_threads(4) as pool:
        for future in [pool.submit(work, *pair) for pair in all_of_them]:
            future.result(timeout=600)
    assert sum(len(bus.sent) for bus, _ in all_of_them) < 1_000
    assert any(watched.surges for _, watched in all_of_them)
    assert len(select_rows(postgres_ledger, tables.surge)) == 1
    resume(postgres_ledger)
    run(postgres_ledger, SEVEN_DAYS)
    assert len(select_rows(postgres_ledger, tables.command)) == MANY


def test_an_activation_before_the_stop_is_stored_leaves_it_to_the_next_deleter(
    seven_years: Database,
) -> None:
    """The surge was one of a policy that is not active any more: nothing is stopped."""
    activate(seven_years, SEVEN_DAYS)
    watched = Watched()
    with acting_as(seven_years, "deleter"):
        deleter = build_deleter(seven_years, SEVEN_DAYS, FakeBus(), watched)
        for _ in range(2):
            deleter.run_once()
    activate(seven_years, SEVEN_YEARS)
    with pytest.raises(active_policy.PolicyMismatch), acting_as(seven_years, "deleter"):
        deleter.run_once()
    assert pause_row(seven_years) is None
