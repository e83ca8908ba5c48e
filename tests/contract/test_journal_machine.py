"""Whatever comes in between, the journal keeps its promises: nothing early, nothing missing, nothing twice.

Batches, late and in any order, imports of history and live events that are too old among them; sweeps
that stop half-way; crashes; answers of every kind; clocks that end and open again; chunks of two records,
so that a small set of events makes long walks.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.deleter import claiming
from services.deleter.claiming import claim
from services.deleter.relaying import Stops, lease
from services.deleter.settling import Status
from services.history import anew
from services.ledger import backfills, tables
from services.ledger.database import Ledger
from services.ledger.recording import record
from services.simulation import next_due
from tests.contract.arrivals import Event, arrival
from tests.contract.ledgers import POLICY, Bus, answer, crash, emptied, post, rows, sweep, take
from tests.contract.promises import missing, off_the_record, too_early
from tests.oracle.strategies import event_sets

SHARED = ("repair", "research")
END = datetime(2100, 1, 1, tzinfo=UTC)
GROUP = "live-history/2012-01-01/any"
STORIES = ("relationship", "helpdesk", "contact", "supplier", "application", "acquisition", "shop")


class Deleting(RuleBasedStateMachine):
    """One ledger, what has been published, and a clock that only goes on."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.ledger = emptied(ledger)
        self.bus = Bus()
        self.coming: list[Event] = []
        self.known: list[Event] = []
        self.now = datetime(2012, 1, 1, tzinfo=UTC)
        self.imports: list[str] = []
        """What waits for its release."""
        self.held: defaultdict[str, list[Event]] = defaultdict(list)
        """What it holds back: nothing may be commanded that only this makes due."""
        self.released = 0
        """How many groups of live history were let go."""

    @initialize(
        events=event_sets(max_events=14, stories=STORIES, shared_systems=SHARED, duplicates=False)
    )
    def publish(self, events: list[Event]) -> None:
        self.coming = list(events)

    @precondition(lambda self: self.coming)
    @rule(data=st.data())
    def batch(self, data: st.DataObject) -> None:
        size = data.draw(st.integers(1, len(self.coming)), label="batch")
        batch, self.coming = self.coming[:size], self.coming[size:]
        if data.draw(st.booleans(), label="crash"):
            arrivals = [arrival(one, POLICY) for one in batch]
            crash(self.ledger, lambda connection: record(connection, arrivals, POLICY, self.now))
        backfill = data.draw(st.sampled_from([None, None, None, "one", "two"]), label="import")
        old = data.draw(st.sampled_from([False, False, True]), label="too old")
        take(self.ledger, batch, self.now, backfill, history=GROUP if old else None)
        self.known += batch
        with self.ledger.transaction() as connection:
            waiting = {one.backfill for one in backfills.waiting(connection)}
        self.imports += sorted(waiting.difference(self.imports))
        group = anew(GROUP, self.released + 1)
        if backfill in waiting:
            self.held[str(backfill)] += batch
        elif old and group in waiting:
            self.held[group] += batch

    @precondition(lambda self: self.imports)
    @rule()
    def release(self) -> None:
        backfill = self.imports.pop()
        self.ledger.write(
            lambda connection: backfills.release(connection, backfill, "operator", self.now)
        )
        self.held.pop(backfill, None)
        self.released += backfill.startswith(GROUP)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def repeated(self, data: st.DataObject) -> None:
        found = take(self.ledger, [data.draw(st.sampled_from(self.known))], self.now)
        assert (found.new, found.duplicates) == (0, 1)

    @rule()
    def wait_for_what_is_due(self) -> None:
        with self.ledger.transaction() as connection:
            due = next_due(connection)
        if due:
            self.now = max(self.now, due)

    @rule(by=st.sampled_from([timedelta(minutes=2), timedelta(days=1), timedelta(days=500)]))
    def wait(self, by: timedelta) -> None:
        self.now += by

    @rule(limit=st.integers(1, 5))
    def one_claim(self, limit: int) -> None:
        self.ledger.write(lambda connection: claim(connection, POLICY, self.now, limit=limit))

    @rule()
    def claim_that_crashes(self) -> None:
        crash(self.ledger, lambda connection: claim(connection, POLICY, self.now, limit=3))

    @rule(limit=st.integers(1, 5))
    def sweep_all(self, limit: int) -> None:
        sweep(self.ledger, self.now, limit)
        if not self.imports:
            assert missing(self.ledger, self.known, self.now) == []

    @rule()
    def lease_and_crash(self) -> None:
        self.ledger.write(lambda connection: lease(connection, self.now, Stops(), limit=2))

    @rule()
    def send(self) -> None:
        before = len(self.bus.sent)
        post(self.ledger, self.bus, self.now)
        for one in self.bus.sent[before:]:
            assert one.value["not_before"] is None or one.value["not_before"] <= self.now

    @rule(data=st.data())
    def reply(self, data: st.DataObject) -> None:
        out = [row for row in rows(self.ledger, tables.command) if row.attempt]
        if not out:
            return
        command = data.draw(st.sampled_from(out))
        statuses: list[Status]
        if command.action == "recall":
            statuses = ["recalled", "already_done", "done", "nothing_held", "failed"]
        else:
            statuses = ["done", "nothing_held", "already_done", "partial", "failed", "refused"]
        status = data.draw(st.sampled_from(statuses))
        answer(self.ledger, command.command_id, status, self.now)

    @invariant()
    def nothing_is_commanded_too_early(self) -> None:
        held = [one for those in self.held.values() for one in those]
        believed = [one for one in self.known if one not in held]
        assert too_early(self.ledger, believed, self.now) == []

    @invariant()
    def nothing_is_told_twice(self) -> None:
        live = Counter(
            (row.record_id, row.system, row.step)
            for row in rows(self.ledger, tables.member, live=True)
        )
        assert max(live.values(), default=1) == 1
        numbers = Counter(
            (row.system, row.subject, row.seq) for row in rows(self.ledger, tables.command)
        )
        assert max(numbers.values(), default=1) == 1

    def teardown(self) -> None:
        """In the end everything is known, answered and long due: then nothing is missing."""
        if self.coming:
            take(self.ledger, self.coming, self.now)
            self.known += self.coming
        while self.imports:
            self.release()
        self.now = END
        for _ in range(4):
            sweep(self.ledger, self.now)
            self.now += timedelta(days=1)
            post(self.ledger, self.bus, self.now)
            for identity in self._recalls():
                answer(self.ledger, identity, "recalled", self.now)
        assert missing(self.ledger, self.known, self.now) == []
        assert [
            row.action for row in rows(self.ledger, tables.command) if row.state == "recalling"
        ] == []
        assert off_the_record(self.ledger) == []

    def _recalls(self) -> list[UUID]:
        return [
            row.command_id
            for row in rows(self.ledger, tables.command, action="recall")
            if row.state == "sent"
        ]


@pytest.mark.timeout(300)
def test_the_deleter_keeps_its_promises_whatever_happens(
    shared_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Judged by the oracle after every step."""
    monkeypatch.setattr(claiming, "MOST_RECORDS", 2)
    run_state_machine_as_test(
        lambda: Deleting(shared_ledger),  # type: ignore[arg-type]  # a factory is as good as a class
        settings=settings(
            max_examples=60 if shared_ledger.is_sqlite else 25,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
