"""Several recorders with one person's events, a deleter and activations at once, in any commit order.

Each is a transaction of its own on PostgreSQL, which stays open until the machine commits it; meanwhile
others begin, wait and commit. What is due in the end depends on what was recorded and on the active
policy alone, and is worked out here by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from sqlalchemy import Connection

from services.deleter import activation
from services.deleter.claim import claim_due
from services.ledger import active_policy, tables
from services.ledger.active_policy import PolicyMismatch
from services.ledger.recording import record
from services.policy.model import Policy
from services.storage.database import Database
from tests.contract.concurrency import ConcurrentTransaction, worker_threads
from tests.contract.event_builders import Event, arrival, event, feedback
from tests.contract.ledgers import POLICY, empty_database, instant, new_ledger, select_rows
from tests.effort import play

PLACED, ACT_TIME, NOW = (
    "2024-01-10T12:00:00Z",
    "2024-02-10T12:00:00Z",
    instant("2024-02-11T12:00:00Z"),
)
A_MONTH = replace(
    POLICY, version="a month", rules={**POLICY.rules, "D5": replace(POLICY.rules["D5"], term="P1M")}
)
"""Feedback of a month ago is due under it; under the shipped one it has a year."""
POLICIES = [POLICY, A_MONTH]
slots = st.integers(0, 2)


@pytest.fixture(scope="module")
def shared_ledger(postgres: Callable[[], str]) -> Iterator[Database]:
    with closing(new_ledger(postgres())) as ledger:
        yield ledger


class RecorderMachine(RuleBasedStateMachine):
    """One person's events, recorded by several recorders."""

    def __init__(self, ledger: Database, pool: ThreadPoolExecutor) -> None:
        super().__init__()
        self.ledger = empty_database(ledger)
        self.pool = pool
        self.number = 0
        self.active = POLICY
        self.activated = False
        """An activation has everything rescanned, so one is enough."""
        self.made: list[Event] = []
        self.recorders: dict[int, tuple[ConcurrentTransaction, Event]] = {}
        self.beside: list[ConcurrentTransaction] = []
        """Claims and activations that wait for a recorder."""
        ledger.run_in_transaction(
            lambda connection: active_policy.require_active(connection, POLICY, NOW)
        )

    @rule(slot=slots, what=st.sampled_from([*["feedback", "withdrawal"] * 3, "hold"]))
    def begin(self, slot: int, what: str) -> None:
        """Begin a recorder's transaction, which records its events or waits for another."""
        if slot in self.recorders:
            return
        self.number += 1
        id_ = f"e{self.number}"
        if what == "feedback":
            placed = feedback(id_, PLACED)
        elif what == "withdrawal":
            fields = {"subject": "visitor:1", "purpose": "website_experience"}
            placed = event(id_, "privacy.consent-withdrawn", ACT_TIME, **fields)
        else:
            fields = {"subject": "visitor:1", "hold_id": id_, "ground": "legal_claim"}
            placed = event(id_, "privacy.hold-placed", ACT_TIME, **fields)
        self.made.append(placed)
        recorder = ConcurrentTransaction(
            self.ledger, partial(record_one, event=placed, policy=self.active), self.pool
        )
        recorder.begin()
        self.recorders[slot] = (recorder, placed)

    @rule(slot=slots)
    def commit(self, slot: int) -> None:
        """Commit any of them; a transaction that waits for another's lock commits later."""
        if slot in self.recorders and self.recorders[slot][0].is_done.is_set():
            self.ends(slot)

    def ends(self, slot: int) -> None:
        """Commit one; a role whose policy is no longer active starts again with the active one."""
        recorder, event = self.recorders.pop(slot)
        recorder.may_commit.set()
        try:
            recorder.end()
        except PolicyMismatch:
            self.ledger.run_in_transaction(partial(record_one, event=event, policy=self.active))
        self.beside = [task for task in self.beside if not wait_until_over(task)]

    @rule(first=slots, second=slots, whats=st.permutations(["feedback", "withdrawal"]))
    def overtakes(self, first: int, second: int, whats: list[str]) -> None:
        """Commit and scan the second of two before the first."""
        self.commit(first)
        self.begin(first, whats[0])
        self.commit(second)
        self.begin(second, whats[1])
        self.commit(second)
        self.looks()
        self.commit(first)

    @rule()
    def looks(self) -> None:
        """Run a deleter on all that is due by now; it does not see what is not committed."""
        policy = self.active
        self.runs(lambda connection: claim_all(connection, policy))

    @rule(policy=st.sampled_from(POLICIES))
    def activates(self, policy: Policy) -> None:
        if self.beside or self.activated:
            return  # of two that wait, the order would not be known
        self.active, self.activated = policy, True
        self.runs(lambda connection: activation.activate(connection, policy, NOW))

    def runs(self, work: Callable[[Connection], object]) -> None:
        """Run the work beside the recorders, and wait as long as a recorder's lock requires."""
        task = ConcurrentTransaction(self.ledger, work, self.pool)
        task.may_commit.set()
        task.begin()
        if not wait_until_over(task):
            self.beside.append(task)

    def teardown(self) -> None:
        """In the end all is committed and scanned: what is due is commanded, and nothing else."""
        for recorder, _ in self.recorders.values():
            recorder.may_commit.set()
        for slot in list(self.recorders):
            self.ends(slot)
        for task in self.beside:
            assert wait_until_over(task, wait=True)
        while self.ledger.run_in_transaction(lambda connection: claim_all(connection, self.active)):
            pass
        types = {event["type"] for event in self.made}
        is_due = self.active is A_MONTH or "privacy.consent-withdrawn" in types
        if "privacy.hold-placed" in types:
            is_due = False
        feedback_ids = {
            event["id"] for event in self.made if event["type"] == "website.feedback-given"
        }
        ids = {row.event_id: row.id for row in select_rows(self.ledger, tables.event)}
        records = {
            row.record_id: ids[row.event_id] for row in select_rows(self.ledger, tables.record)
        }
        live = [
            records[row.record_id] for row in select_rows(self.ledger, tables.member, live=True)
        ]
        assert sorted(live) == sorted(feedback_ids if is_due else ())


def record_one(connection: Connection, event: Event, policy: Policy) -> None:
    """Record as the role does."""
    active_policy.require_active(connection, policy, NOW)
    record(connection, [arrival(event, policy)], policy, NOW)


def claim_all(connection: Connection, policy: Policy) -> int:
    """Claim as the role does, and return how much there was to scan."""
    active_policy.require_active(connection, policy, NOW)
    return claim_due(connection, policy, NOW, limit=100).scanned


def wait_until_over(task: ConcurrentTransaction, *, wait: bool = False) -> bool:
    """Return whether it is over; it may also end because another policy was active."""
    assert task.task is not None
    if not (wait or task.is_done.is_set() or task.task.done()):
        return False
    with suppress(PolicyMismatch):
        task.end()
    return True


def test_all_that_concurrent_recorders_record_is_scanned(shared_ledger: Database) -> None:
    """The order of begins, commits and waits must not matter."""
    with worker_threads(8) as pool:
        play(lambda: RecorderMachine(shared_ledger, pool), few=25, steps=10)
