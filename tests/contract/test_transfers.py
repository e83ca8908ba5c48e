"""Data that goes to an archive at the end: nothing is erased that was not handed over.

Each on SQLite and on PostgreSQL. R5 keeps the invoice of 2020 until 2028, also in Amsterdam; its books are
then handed over to an archive, and under one of the policies erased.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest
from sqlalchemy import select

from services.deleter import activation
from services.deleter.acknowledgement import Status
from services.deleter.forecast import forecast
from services.deleter.verification import recommand_since, verify_commands
from services.evidence.purge.eligibility import fully_erased_events
from services.ledger import tables
from services.ledger.facts import load_tagged_events
from services.operations.holding_counts import HoldingCounter
from services.policy.loader import load
from services.policy.model import Policy
from services.storage.database import Database
from tests.contract.event_builders import Event, event, feedback, invoice, reinstated, terminated
from tests.contract.ledgers import (
    FakeBus,
    acknowledge,
    claim_all,
    find_command,
    instant,
    later,
    list_commands,
    record_events,
    run_as_role,
    send_due,
)
from tests.contract.oracle_lines import simulate_events

SHIPPED = load()


def then(ending: Literal["transfer", "transfer-and-erase"], *rules: str) -> Policy:
    """Return the shipped policy in which data under these rules goes to an archive."""
    changed = {name: replace(SHIPPED.rules[name], then=ending) for name in rules or ("R5",)}
    version = f"{ending} {' '.join(changed)}"
    return replace(SHIPPED, version=version, rules={**SHIPPED.rules, **changed})


POLICY = then("transfer-and-erase")
JOINED = "2020-05-01T12:00:00Z"
DUE = "2027-12-31T23:00:00Z"
EARLY = "2027-12-31T22:59:59Z"


def run(ledger: Database, bus: FakeBus, now: str, policy: Policy = POLICY) -> None:
    """Claim and send all that is due."""
    claim_all(ledger, now, policy=policy)
    send_due(ledger, bus, now, policy=policy)


def take(ledger: Database, now: str, *events: Event, policy: Policy = POLICY) -> None:
    record_events(ledger, events, now, policy=policy)


def of_the_books(ledger: Database) -> list[tuple[str, str]]:
    """Return action and state of each command to the books."""
    return [
        (action, state) for name, action, state in list_commands(ledger) if name == "accounting"
    ]


def held(time: str) -> Event:
    fields = {"subject": "customer:1", "hold_id": "H1", "ground": "legal_claim"}
    return event("h1", "privacy.hold-placed", time, **fields)


def released(time: str) -> Event:
    return event("h2", "privacy.hold-released", time, subject="customer:1", hold_id="H1")


@pytest.fixture
def due(ledger: Database) -> tuple[Database, FakeBus]:
    """An invoice that is to be handed over, and a transfer that is sent."""
    bus = FakeBus()
    take(ledger, JOINED, invoice("i1", JOINED))
    run(ledger, bus, EARLY)
    assert of_the_books(ledger) == []
    run(ledger, bus, DUE)
    return ledger, bus


def test_what_was_handed_over_is_erased_then(due: tuple[Database, FakeBus]) -> None:
    """Not before the transfer is acknowledged, and then at once."""
    ledger, bus = due
    assert of_the_books(ledger) == [("transfer", "sent")]
    [value] = [sent.value for sent in bus.sent if sent.value["action"] == "transfer"]
    assert (list(value["rules"]), value["not_before"]) == (["R5"], instant(DUE))
    assert value["reason"] == "it is kept in an archive from now on"
    run(ledger, bus, later(DUE, days=30).isoformat())
    assert of_the_books(ledger) == [("transfer", "sent")]
    at = later(DUE, days=31).isoformat()
    acknowledge(ledger, find_command(ledger, action="transfer"), "done", at, policy=POLICY)
    run(ledger, bus, at)
    assert of_the_books(ledger) == [("erase", "sent"), ("transfer", "acknowledged")]


@pytest.mark.parametrize("status", ["refused", "failed", "partial", "nothing_held"])
def test_only_a_transfer_that_is_done_leads_to_an_erasure(
    due: tuple[Database, FakeBus], status: Status
) -> None:
    """Not one that was refused or failed, in whole or in part, nor one that found nothing."""
    ledger, bus = due
    transfer = find_command(ledger, action="transfer")
    acknowledge(ledger, transfer, status, DUE, policy=POLICY)
    for days in (0, 1, 2, 40, 400):
        run(ledger, bus, later(DUE, days=days).isoformat())
    assert [action for action, _ in of_the_books(ledger)] == ["transfer"]
    if status != "nothing_held":  # it is sent again, and is done at last
        at = later(DUE, days=500).isoformat()
        acknowledge(ledger, transfer, "done", at, policy=POLICY)
        run(ledger, bus, at)
        assert ("erase", "sent") in of_the_books(ledger)


def test_a_transfer_alone_is_the_end(ledger: Database) -> None:
    """Nothing is erased where the rule does not ask for it."""
    policy, bus = then("transfer"), FakeBus()
    take(ledger, JOINED, invoice("i1", JOINED), policy=policy)
    run(ledger, bus, DUE, policy)
    acknowledge(ledger, find_command(ledger, action="transfer"), "done", DUE, policy=policy)
    run(ledger, bus, later(DUE, days=400).isoformat(), policy)
    assert of_the_books(ledger) == [("transfer", "acknowledged")]


def test_a_hold_stops_a_transfer_and_its_release_sends_it(ledger: Database) -> None:
    """A hold that is placed after it was sent recalls it; so does one between transfer and erasure."""
    bus = FakeBus()
    take(ledger, JOINED, invoice("i1", JOINED))
    run(ledger, bus, DUE)
    placed = later(DUE, hours=1).isoformat()
    take(ledger, placed, held(placed))
    run(ledger, bus, placed)
    assert of_the_books(ledger) == [("recall", "sent"), ("transfer", "recalling")]
    recall = find_command(ledger, action="recall")
    acknowledge(ledger, recall, "recalled", placed, policy=POLICY)
    at = later(DUE, hours=2).isoformat()
    take(ledger, at, released(at))
    run(ledger, bus, at)
    assert ("transfer", "sent") in of_the_books(ledger)


def test_a_hold_between_transfer_and_erasure_keeps_the_data(
    due: tuple[Database, FakeBus],
) -> None:
    ledger, bus = due
    placed = later(DUE, hours=1).isoformat()
    acknowledge(ledger, find_command(ledger, action="transfer"), "done", placed, policy=POLICY)
    take(ledger, placed, held(placed))
    run(ledger, bus, later(DUE, days=3).isoformat())
    assert of_the_books(ledger) == [("transfer", "acknowledged")]
    at = later(DUE, days=4).isoformat()
    take(ledger, at, released(at))
    run(ledger, bus, at)
    assert of_the_books(ledger) == [("erase", "sent"), ("transfer", "acknowledged")]


def test_a_policy_that_wants_a_transfer_recalls_an_erasure_that_is_out(ledger: Database) -> None:
    """The erasure was sent, and not answered: once it is known to be recalled, a transfer follows."""
    bus = FakeBus()
    take(ledger, JOINED, invoice("i1", JOINED), policy=SHIPPED)
    run(ledger, bus, DUE, SHIPPED)
    assert of_the_books(ledger) == [("erase", "sent")]
    ledger.run_in_transaction(lambda c: activation.activate(c, POLICY, instant(DUE)))
    run(ledger, bus, DUE)
    assert of_the_books(ledger) == [("erase", "recalling"), ("recall", "sent")]
    recall = find_command(ledger, action="recall")
    acknowledge(ledger, recall, "recalled", DUE, policy=POLICY)
    run(ledger, bus, DUE)
    assert ("transfer", "sent") in of_the_books(ledger)


def test_a_restored_system_hands_over_again_before_it_erases_again(
    due: tuple[Database, FakeBus],
) -> None:
    """Its backup has what was handed over and erased since."""
    ledger, bus = due
    acknowledge(ledger, find_command(ledger, action="transfer"), "done", DUE, policy=POLICY)
    run(ledger, bus, DUE)
    erasure = find_command(ledger, action="erase", system="accounting")
    acknowledge(ledger, erasure, "done", DUE, policy=POLICY)
    at = later(DUE, days=2)
    run_as_role(
        ledger,
        "operators",
        lambda c: recommand_since(c, "accounting", instant(JOINED), at),
    )
    run_as_role(ledger, "deleter", lambda c: verify_commands(c, POLICY, at, limit=100))
    run(ledger, bus, at.isoformat())
    sent = [row for row in of_the_books(ledger) if row[1] == "sent"]
    assert sent == [("transfer", "sent")]
    run(ledger, bus, at.isoformat())
    recall = find_command(ledger, action="recall")  # of the erasure, which was about to be sent
    acknowledge(ledger, recall, "recalled", at, policy=POLICY)
    run(ledger, bus, at.isoformat())
    assert ("erase", "sent") not in of_the_books(ledger)
    command = find_command(ledger, state="sent", action="transfer")
    acknowledge(ledger, command, "done", at, policy=POLICY)
    run(ledger, bus, at.isoformat())
    assert ("erase", "sent") in of_the_books(ledger)


def test_what_a_person_may_end_is_erased_without_a_transfer(ledger: Database) -> None:
    """A granted erasure: the archive does not get what the person wants to be gone."""
    policy, bus = then("transfer-and-erase", "R1"), FakeBus()
    take(ledger, JOINED, invoice("i1", JOINED), policy=policy)
    at = "2021-02-01T12:00:00Z"
    take(ledger, at, terminated("t1", "2021-01-01T12:00:00Z"), policy=policy)
    asked = {"subject": "customer:1", "request_id": "Q1"}
    take(
        ledger,
        at,
        event("q1", "privacy.request-received", at, right="erasure", **asked),
        event("q2", "privacy.identity-verified", at, **asked),
        policy=policy,
    )
    run(ledger, bus, at, policy)
    assert {action for _, action, _ in list_commands(ledger, system="crm")} == {"erase"}


def test_what_stays_after_a_transfer_is_erased_on_request(ledger: Database) -> None:
    """Its term is over, and it is in the archive: what is left here is the person's to end."""
    policy, bus = then("transfer", "R1"), FakeBus()
    take(ledger, JOINED, invoice("i1", JOINED), policy=policy)
    take(ledger, JOINED, terminated("t1", "2020-06-01T12:00:00Z"), policy=policy)
    at = "2022-06-01T12:00:00Z"
    run(ledger, bus, at, policy)
    transfer = find_command(ledger, system="crm", action="transfer")
    acknowledge(ledger, transfer, "done", at, policy=policy)
    run(ledger, bus, at, policy)
    asked = {"subject": "customer:1", "request_id": "Q1"}
    at = "2022-07-01T12:00:00Z"
    take(
        ledger,
        at,
        event("q1", "privacy.request-received", at, right="erasure", **asked),
        event("q2", "privacy.identity-verified", at, **asked),
        policy=policy,
    )
    run(ledger, bus, at, policy)
    crm = [(action, state) for _, action, state in list_commands(ledger, system="crm")]
    assert ("erase", "sent") in crm


def test_simulate_shows_the_transfer_and_then_the_erasure(ledger: Database) -> None:
    lines = simulate_events(
        ledger, [invoice("i1", JOINED)], instant("2028-02-01T00:00:00Z"), POLICY
    )
    sent = [(str(line.issued_at), line.action, line.rules) for line in lines]
    assert sent == [
        ("2027-12-31 23:00:00+00:00", "transfer", ("R5",)),
        ("2027-12-31 23:00:00+00:00", "erase", ("R5",)),
    ]


def test_a_transfer_that_was_done_before_its_recall_is_done_again_at_the_new_end(
    ledger: Database,
) -> None:
    """A system that cannot recall it may have been cut short: only `done` is proof of a transfer."""
    policy, bus = then("transfer-and-erase", "R1"), FakeBus()
    take(ledger, JOINED, invoice("i1", JOINED), policy=policy)
    take(ledger, JOINED, terminated("t1", "2020-06-01T12:00:00Z"), policy=policy)
    run(ledger, bus, "2022-05-31T12:00:00Z", policy)
    back = "2022-05-31T13:00:00Z"
    take(ledger, back, reinstated("r1", back), policy=policy)
    run(ledger, bus, back, policy)
    recall = find_command(ledger, action="recall")
    acknowledge(ledger, recall, "already_done", back, policy=policy)
    take(ledger, back, terminated("t2", "2022-06-01T12:00:00Z"), policy=policy)
    run(ledger, bus, "2024-05-31T12:00:00Z", policy)
    crm = [(action, state) for _, action, state in list_commands(ledger, system="crm")]
    assert ("transfer", "sent") in crm
    assert "erase" not in {action for action, _ in crm}


@pytest.mark.parametrize(
    ("status", "is_over"), [("done", True), ("nothing_held", False), ("refused", False)]
)
def test_a_record_whose_end_is_a_transfer_can_be_purged_after_it(
    ledger: Database, status: Status, is_over: bool
) -> None:
    """The transfer is the end of the proof's term; one that was not done is none."""
    policy, bus, at = then("transfer", "D5"), FakeBus(), "2022-06-01T12:00:00Z"
    take(ledger, JOINED, feedback("f1", JOINED), policy=policy)
    run(ledger, bus, at, policy)
    acknowledge(ledger, find_command(ledger), status, at, policy=policy)
    claim_all(ledger, at, policy=policy)
    with ledger.transaction() as connection:
        ids = connection.execute(select(tables.event.c.event_id)).scalars().all()
        events = load_tagged_events(connection, ids, policy)
        over = fully_erased_events(connection, events, policy, later(at, hours=1))
    assert bool(over) == is_over


def test_what_was_handed_over_is_counted_as_that(due: tuple[Database, FakeBus]) -> None:
    """Until it is erased as well."""
    ledger, _ = due
    acknowledge(ledger, find_command(ledger, action="transfer"), "done", DUE, policy=POLICY)
    with ledger.transaction() as connection:
        counted = HoldingCounter(policy=POLICY).advance(connection, instant(DUE))
    assert counted.holdings["R5", "accounting", "transferred"] == 1


def test_the_forecast_of_an_import_has_the_transfer_that_comes_first(ledger: Database) -> None:
    """The erasure follows once it is done."""
    record_events(ledger, [invoice("i1", JOINED)], DUE, "old", policy=POLICY)
    with ledger.transaction() as connection:
        lines = forecast(connection, "old", POLICY, instant(DUE))
    assert [(line.system, line.rule, line.action) for line in lines] == [
        ("accounting", "R5", "transfer")
    ]
