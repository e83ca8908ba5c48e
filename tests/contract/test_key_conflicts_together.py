"""Key conflicts with concurrent roles: two recorders, a claim, a send and a decision at one moment."""

from __future__ import annotations

import pytest

from services.deleter.dispatch import RetryPolicy, dispatch, lease
from services.deleter.paused_systems import PausedSystems
from services.ledger import key_conflicts
from services.ledger.recording import record
from services.storage.database import Database
from tests.contract.concurrency import PATIENCE_SECONDS, wait_for_lock, worker_threads
from tests.contract.event_builders import arrival
from tests.contract.ledgers import (
    POLICY,
    FakeBus,
    claim_all,
    instant,
    later,
    list_commands,
    record_events,
)
from tests.contract.test_key_conflicts import (
    FOREIGN_ORDER,
    LONG_AGO,
    NOW,
    PLACED,
    VICTIM,
    claim_and_send,
    decide,
    order,
    sent_commands,
)

SECOND = later(NOW, minutes=2).isoformat()


@pytest.mark.parametrize(("first", "second"), [(VICTIM, FOREIGN_ORDER), (FOREIGN_ORDER, VICTIM)])
def test_of_two_recorders_at_once_the_second_sees_the_first(
    postgres_ledger: Database, first: dict[str, object], second: dict[str, object]
) -> None:
    """It waits for the key's lock, and does not leave the conflict for the deleter to find."""
    ledger = postgres_ledger
    with worker_threads() as pool:
        with ledger.transaction() as recording:
            record(recording, [arrival(first, POLICY)], POLICY, instant(NOW))
            waiting = pool.submit(record_events, ledger, [second], NOW)
            wait_for_lock(ledger, waiting)
        waiting.result(PATIENCE_SECONDS)
    assert [
        conflict.key for conflict in ledger.run_in_transaction(key_conflicts.list_conflicts)
    ] == ["order_id=o1"]
    assert sent_commands(claim_and_send(ledger, NOW)) == []


def test_two_recorders_of_many_keys_do_not_deadlock(postgres_ledger: Database) -> None:
    """Each takes keys in their order, whatever the order of its events."""
    ledger = postgres_ledger
    mine = [order(f"a{n}", PLACED, "a", number=f"o{n}") for n in range(300)]
    theirs = [order(f"b{n}", PLACED, "b", number=f"o{n}") for n in reversed(range(300))]
    with worker_threads() as pool:
        both = [pool.submit(record_events, ledger, events, NOW) for events in (mine, theirs)]
        for future in both:
            future.result(PATIENCE_SECONDS)
    assert ledger.run_in_transaction(key_conflicts.count_undecided) == 300


def test_a_claim_waits_for_the_transaction_that_records_the_conflict(
    postgres_ledger: Database,
) -> None:
    """It would otherwise command what the other transaction stops."""
    ledger = postgres_ledger
    record_events(ledger, [FOREIGN_ORDER], NOW)
    with worker_threads() as pool:
        with ledger.transaction() as recording:
            record(recording, [arrival(VICTIM, POLICY)], POLICY, instant(NOW))
            claiming = pool.submit(claim_all, ledger, NOW)
            wait_for_lock(ledger, claiming)
        claiming.result(PATIENCE_SECONDS)
    assert list_commands(ledger) == []


def test_commands_dispatched_meanwhile_are_recalled(postgres_ledger: Database) -> None:
    """The recorder waits for the send, and has what was sent rescanned."""
    ledger, bus = postgres_ledger, FakeBus()
    record_events(ledger, [FOREIGN_ORDER], NOW)
    claim_all(ledger, NOW)
    leased = ledger.run_in_transaction(lambda c: lease(c, instant(NOW), PausedSystems(), limit=9))
    with worker_threads() as pool:
        with ledger.transaction() as relaying:
            dispatch(relaying, leased, bus, POLICY, instant(NOW), RetryPolicy())
            recording = pool.submit(record_events, ledger, [VICTIM], NOW)
            wait_for_lock(ledger, recording)
        recording.result(PATIENCE_SECONDS)
    assert len(bus.sent) == 4
    assert (
        sorted(command.value["action"] for command in claim_and_send(ledger, SECOND).sent)
        == ["recall"] * 4
    )


def test_a_claim_during_the_decision_is_respected(postgres_ledger: Database) -> None:
    """Whichever commits first, the newcomer's commands leave without the key."""
    ledger = postgres_ledger
    third = order("e3", LONG_AGO, "third", source="/anywhere")
    fourth = order("e4", LONG_AGO, "fourth", source="/anywhere")
    record_events(ledger, [VICTIM, FOREIGN_ORDER], NOW)
    with worker_threads() as pool:
        with ledger.transaction() as deciding:
            key_conflicts.decide_conflict(
                deciding, "order_id", "o1", "consumer:victim", POLICY, instant(NOW)
            )
            recording = pool.submit(record_events, ledger, [third], NOW)
            wait_for_lock(ledger, recording)
        recording.result(PATIENCE_SECONDS)
        ledger.run_in_transaction(
            lambda c: key_conflicts.reopen_conflict(c, "order_id", "o1", POLICY, instant(NOW))
        )
        with ledger.transaction() as recording_fourth:
            record(recording_fourth, [arrival(fourth, POLICY)], POLICY, instant(NOW))
            waiting = pool.submit(decide, ledger, "consumer:victim")
            wait_for_lock(ledger, waiting)
        waiting.result(PATIENCE_SECONDS)
    commands = sent_commands(claim_and_send(ledger, NOW))
    assert {subject for _, _, subject, _ in commands} == {
        "consumer:nobody",
        "consumer:third",
        "consumer:fourth",
    }
    assert all("order_id" not in keys for _, _, _, keys in commands)
