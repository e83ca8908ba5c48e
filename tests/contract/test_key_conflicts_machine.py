"""Whatever happens in between, no command uses a key that is, or may be, another person's.

A few numbers for a few people; batches in any order, crashes, claims, sends, acknowledgements, and
operators who decide and revoke decisions. Who claims a key is counted here by hand.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from services.deleter.claim import claim_due
from services.deleter.dispatch import lease
from services.deleter.paused_systems import PausedSystems
from services.ledger import key_conflicts, tables
from services.ledger.recording import record
from services.storage.database import Database
from tests.contract.event_builders import Event, arrival, event
from tests.contract.ledgers import (
    POLICY,
    FakeBus,
    acknowledge,
    claim_all,
    empty_database,
    record_events,
    roll_back,
    select_rows,
    send_due,
)
from tests.effort import play

NUMBERS, PEOPLE = ("o1", "o2"), ("1", "2", "3")
LONG_AGO = "2005-01-01T00:00:00Z"
START = datetime(2024, 3, 1, tzinfo=UTC)


class KeyConflictMachine(RuleBasedStateMachine):
    """One ledger, the events recorded in it, and the decisions made."""

    def __init__(self, ledger: Database) -> None:
        super().__init__()
        self.ledger = empty_database(ledger)
        self.bus = FakeBus()
        self.now = START
        self.count = 0
        self.claims: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """By number, how many events of each consumer have it."""
        self.events: dict[str, tuple[str, str]] = {}
        """Number and consumer of each event."""
        self.owners: dict[str, str] = {}

    def is_blocked(self, number: str) -> bool:
        return len(self.claims[number]) > 1 and number not in self.owners

    @rule(
        orders=st.lists(
            st.tuples(st.sampled_from(NUMBERS), st.sampled_from(PEOPLE)), min_size=1, max_size=4
        ),
        backfill=st.sampled_from([None, None, "import"]),
        crashes=st.booleans(),
    )
    def batch(self, orders: list[tuple[str, str]], backfill: str | None, crashes: bool) -> None:
        events: list[Event] = []
        for number, person in orders:
            self.count += 1
            placed = event(
                f"e{self.count}",
                "orders.order-placed",
                LONG_AGO,
                order_id=number,
                customer_id="1",
                consumer_id=person,
            )
            events.append(placed)
        if crashes:
            arrivals = [arrival(event, POLICY) for event in events]
            roll_back(self.ledger, lambda c: record(c, arrivals, POLICY, self.now))
        record_events(self.ledger, events, self.now, backfill)
        for placed, (number, person) in zip(events, orders, strict=True):
            self.claims[number][person] += 1
            self.events[placed["id"]] = (number, person)

    @rule(limit=st.integers(1, 3))
    def one_claim(self, limit: int) -> None:
        self.ledger.run_in_transaction(lambda c: claim_due(c, POLICY, self.now, limit=limit))

    @rule()
    def sweep_all(self) -> None:
        claim_all(self.ledger, self.now)

    @rule(by=st.sampled_from([timedelta(minutes=2), timedelta(days=1)]))
    def wait(self, by: timedelta) -> None:
        self.now += by

    @rule()
    def lease_and_crash(self) -> None:
        self.ledger.run_in_transaction(lambda c: lease(c, self.now, PausedSystems(), limit=2))

    @rule(limit=st.integers(1, 50))
    def send(self, limit: int) -> None:
        before = len(self.bus.sent)
        send_due(self.ledger, self.bus, self.now, limit)
        for command in self.bus.sent[before:]:
            if command.value["action"] == "recall":
                continue
            for entry in command.value["records"]:
                number, person = self.events[entry["id"]]
                assert not self.is_blocked(number), "nobody has decided whose it is"
                owner = self.owners.get(number, person)
                assert entry["keys"].get("order_id") == (number if owner == person else None)

    @precondition(lambda self: self.bus.sent)
    @rule(data=st.data(), status=st.sampled_from(["done", "recalled", "failed"]))
    def answered(self, data: st.DataObject, status: str) -> None:
        command = data.draw(st.sampled_from(self.bus.sent))
        is_recall = command.value["action"] == "recall"
        if command.value["action"] == "verify" or is_recall != (status == "recalled"):
            return
        identity = command.value["command_id"]
        [row] = [
            command_row
            for command_row in select_rows(self.ledger, tables.command)
            if str(command_row.command_id) == identity
        ]
        if row.state in ("sent", "recalling"):
            acknowledge(self.ledger, row.command_id, status, self.now)  # type: ignore[arg-type]

    @rule(number=st.sampled_from(NUMBERS), person=st.sampled_from(PEOPLE))
    def decide(self, number: str, person: str) -> None:
        if self.is_blocked(number) and self.claims[number][person]:
            self.ledger.run_in_transaction(
                lambda c: key_conflicts.decide_conflict(
                    c, "order_id", number, f"consumer:{person}", POLICY, self.now
                )
            )
            self.owners[number] = person

    @rule(number=st.sampled_from(NUMBERS))
    def reopen(self, number: str) -> None:
        if self.owners.pop(number, None):
            self.ledger.run_in_transaction(
                lambda c: key_conflicts.reopen_conflict(c, "order_id", number, POLICY, self.now)
            )

    @rule()
    def nothing_is_left_out(self) -> None:
        """What no conflict stops is commanded, whatever stopped it before."""
        if self.ledger.run_in_transaction(lambda c: c.execute(tables.backfill.select()).first()):
            return  # some of it waits for its release
        claim_all(self.ledger, self.now)
        live = Counter(row.record_id for row in select_rows(self.ledger, tables.member, live=True))
        ids = {row.event_id: row.id for row in select_rows(self.ledger, tables.event)}
        for row in select_rows(self.ledger, tables.record):
            number, _ = self.events[ids[row.event_id]]
            if not self.is_blocked(number):
                assert live[row.record_id] >= 4, "orders, psp, accounting and research"

    @invariant()
    def who_claims_a_key_follows_from_the_events(self) -> None:
        contested = {number for number, by in self.claims.items() if len(by) > 1}
        conflicts = self.ledger.run_in_transaction(
            lambda c: key_conflicts.list_conflicts(c, decided=True)
        )
        assert {conflict.value: dict(conflict.claimants) for conflict in conflicts} == {
            number: {f"consumer:{person}": count for person, count in self.claims[number].items()}
            for number in contested
        }
        alone = [by for number, by in self.claims.items() if len(by) == 1]
        assert sorted(
            (row.subject, row.events)
            for row in select_rows(self.ledger, tables.identifier)
            if row.subject is not None
        ) == sorted((f"consumer:{person}", n) for by in alone for person, n in by.items())


def test_no_command_uses_the_key_of_another_subject(shared_ledger: Database) -> None:
    """Commands by uncontested keys are all sent."""
    play(lambda: KeyConflictMachine(shared_ledger), few=40, steps=30)
