"""Concurrency with a recorder on PostgreSQL: another recorder on the same person, and an activation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest
from sqlalchemy import Connection

from services.deleter import activation
from services.ledger import active_policy, tables
from services.ledger.active_policy import PolicyMismatch
from services.ledger.recording import record
from services.policy.model import Policy
from services.storage.database import Database
from tests.contract.concurrency import (
    PATIENCE_SECONDS,
    ConcurrentTransaction,
    wait_for_lock,
    worker_threads,
)
from tests.contract.event_builders import (
    Event,
    arrival,
    event,
    feedback,
    invoice,
    order,
    terminated,
)
from tests.contract.ledgers import (
    POLICY,
    FakeBus,
    claim_all,
    instant,
    list_commands,
    new_ledger,
    record_events,
    select_rows,
    send_due,
)

PLACED, ACT_TIME, LATER = "2024-01-10T12:00:00Z", "2024-02-10T12:00:00Z", "2024-02-11T12:00:00Z"
NOW = instant(LATER)
FAR = "2060-01-01T00:00:00Z"
LONGER = replace(
    POLICY, version="next", rules={**POLICY.rules, "D5": replace(POLICY.rules["D5"], term="P3Y")}
)
SHORTER = replace(
    POLICY, version="next", rules={**POLICY.rules, "D5": replace(POLICY.rules["D5"], term="P1M")}
)


@pytest.fixture(scope="module")
def shared_ledger(postgres: Callable[[], str]) -> Iterator[Database]:
    with closing(new_ledger(postgres())) as ledger:
        yield ledger


def record_batch(connection: Connection, events: Sequence[Event], policy: Policy = POLICY) -> None:
    """Record as the role does."""
    active_policy.require_active(connection, policy, NOW)
    record(connection, [arrival(event, policy) for event in events], policy, NOW)


@contextmanager
def record_together(
    ledger: Database, first: Sequence[Event], other: Sequence[Event]
) -> Iterator[list[ConcurrentTransaction]]:
    """Run two recorders."""
    with worker_threads(2) as pool:
        yield [
            ConcurrentTransaction(ledger, lambda connection: record_batch(connection, first), pool),
            ConcurrentTransaction(ledger, lambda connection: record_batch(connection, other), pool),
        ]


def erasure_request() -> list[Event]:
    fields = {"subject": "consumer:7", "request_id": "q1"}
    return [
        event("q1", "privacy.request-received", ACT_TIME, right="erasure", **fields),
        event("v1", "privacy.identity-verified", ACT_TIME, **fields),
    ]


def objection() -> list[Event]:
    fields = {"subject": "prospect:7", "purpose": "acquisition", "objection_id": "x1"}
    return [event("x1", "privacy.objection-raised", ACT_TIME, **fields)]


def withdrawal() -> list[Event]:
    fields = {"subject": "visitor:1", "purpose": "website_experience"}
    return [event("w1", "privacy.consent-withdrawn", ACT_TIME, **fields)]


SAYINGS = {
    "erasure": (
        order("o1", PLACED, "7"),
        erasure_request(),
        # crm and mail have the copy of the identity document, which is erased once it is checked.
        {"orders", "psp", "research", "crm", "mail"},
    ),
    "objection": (
        {
            **event("l1", "acquisition.lead-acquired", PLACED),
            "data": {"prospect_id": "7", "source": "fair"},
        },
        objection(),
        {"crm", "mail", "post"},
    ),
    "withdrawal": (feedback("f1", PLACED), withdrawal(), {"website"}),
}


@pytest.mark.parametrize(
    ("begins", "overlap", "commits"),
    [
        ("record", True, "record"),
        ("record", True, "said"),
        ("said", True, "record"),
        ("said", True, "said"),
        ("record", False, "record"),
        ("said", False, "said"),
    ],
)
@pytest.mark.parametrize("what", sorted(SAYINGS))
def test_a_privacy_event_applies_to_a_record_of_a_concurrent_recorder(
    ledger: Database, what: str, begins: str, overlap: bool, commits: str
) -> None:
    """In every order of begin, commit and scan the systems get the command to erase."""
    event, privacy_event, systems = SAYINGS[what]
    with ledger.transaction() as connection:
        active_policy.require_active(connection, POLICY, NOW)
    with record_together(ledger, [event], privacy_event) as pair:
        first, second = pair if begins == "record" else pair[::-1]
        first.begin()
        if not overlap:
            first.commit()
        second.begin()
        order_of_commits = pair if commits == "record" else pair[::-1]
        for transaction in order_of_commits:
            transaction.commit()
            claim_all(ledger, NOW)  # a scan that does not see what is uncommitted
        for transaction in pair:
            transaction.end()
    claim_all(ledger, NOW)
    erased = {system for system, action, _ in list_commands(ledger) if action == "erase"}
    assert erased == systems


@pytest.mark.parametrize("commits", ["record", "said"])
def test_a_hold_applies_to_a_record_of_a_concurrent_recorder(
    ledger: Database, commits: str
) -> None:
    """The record is long due, and nothing of it is sent."""
    fields = {"subject": "visitor:1", "hold_id": "h1", "ground": "legal_claim"}
    hold = event("h1", "privacy.hold-placed", ACT_TIME, **fields)
    with ledger.transaction() as connection:
        active_policy.require_active(connection, POLICY, NOW)
    with record_together(ledger, [feedback("f1", PLACED)], [hold]) as pair:
        for transaction in pair:
            transaction.begin()
        for transaction in pair if commits == "record" else pair[::-1]:
            transaction.commit()
        for transaction in pair:
            transaction.end()
    bus = FakeBus()
    claim_all(ledger, FAR)
    send_due(ledger, bus, FAR)
    assert bus.sent == []


def test_two_recorders_of_one_person_do_not_wait_for_each_other(ledger: Database) -> None:
    """Only a recorder of privacy events locks a person."""
    record_events(ledger, [feedback("f0", PLACED)], NOW)
    with worker_threads(1) as pool, ledger.transaction() as open_transaction:
        record(open_transaction, [arrival(feedback("f1", PLACED), POLICY)], POLICY, NOW)
        other = pool.submit(record_events, ledger, [feedback("f2", PLACED)], NOW)
        assert other.result(PATIENCE_SECONDS).new == 1


def test_an_activation_waits_for_a_batch_that_is_open(ledger: Database) -> None:
    """The batch's records get new due times with all others: the shortened term counts for them."""
    with ledger.transaction() as connection:
        active_policy.require_active(connection, POLICY, NOW)
    with worker_threads(1) as pool:
        with ledger.transaction() as open_transaction:
            record_batch(open_transaction, [feedback("f1", PLACED)])
            activating = pool.submit(
                ledger.run_in_transaction,
                lambda connection: activation.activate(connection, SHORTER, NOW),
            )
            wait_for_lock(ledger, activating)
        activating.result(PATIENCE_SECONDS)
    assert [row.next_due for row in select_rows(ledger, tables.record)] == [NOW]


def test_an_activation_waits_for_a_clock_that_is_being_ended(ledger: Database) -> None:
    """The clock's scan starts again under the new policy, although it was not visible before."""
    shorter = replace(
        POLICY,
        version="next",
        rules={**POLICY.rules, "R1": replace(POLICY.rules["R1"], term="P1D")},
    )
    with ledger.transaction() as connection:
        active_policy.require_active(connection, POLICY, NOW)
    with worker_threads(1) as pool:
        with ledger.transaction() as open_transaction:
            record_batch(open_transaction, [invoice("i1", PLACED), terminated("t1", PLACED)])
            activating = pool.submit(
                ledger.run_in_transaction,
                lambda connection: activation.activate(connection, shorter, NOW),
            )
            wait_for_lock(ledger, activating)
        activating.result(PATIENCE_SECONDS)
    (clock,) = select_rows(ledger, tables.clock)
    # R1 is P1D here, and crm is commanded a lead time of a day before.
    assert clock.next_due == instant(PLACED)


def test_a_batch_that_waits_for_an_activation_is_refused(ledger: Database) -> None:
    """Its plans are of the old policy, so the role starts again with the new one."""
    with ledger.transaction() as connection:
        active_policy.require_active(connection, POLICY, NOW)
    with worker_threads(1) as pool:
        with ledger.transaction() as open_transaction:
            activation.activate(open_transaction, LONGER, NOW)
            recording = pool.submit(
                ledger.run_in_transaction,
                lambda connection: record_batch(connection, [feedback("f1", PLACED)]),
            )
            wait_for_lock(ledger, recording)
        with pytest.raises(PolicyMismatch):
            recording.result(PATIENCE_SECONDS)
    assert select_rows(ledger, tables.record) == []


def test_of_two_first_policies_one_becomes_active(ledger: Database) -> None:
    """Two roles that start on an empty ledger with different policies: the slower one is refused."""
    with worker_threads(1) as pool:
        with ledger.transaction() as open_transaction:
            active_policy.require_active(open_transaction, POLICY, NOW)
            other = pool.submit(
                ledger.run_in_transaction,
                lambda connection: active_policy.require_active(connection, LONGER, NOW),
            )
            wait_for_lock(ledger, other)
        with pytest.raises(PolicyMismatch):
            other.result(PATIENCE_SECONDS)
    assert len(select_rows(ledger, tables.active_policy)) == 1
