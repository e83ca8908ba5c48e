"""Whatever happens in between, the outbox keeps its invariants: nothing early, missing or twice.

Batches, late and in any order, imports of history and live events that are too old among them; sweeps
that stop half-way; crashes; acknowledgements of every kind; clocks that end and open again; chunks of
two records, so that a small set of events makes long scans.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from services.deleter import claim as claiming
from services.deleter.acknowledgement import Checked, ReusedAcknowledgement, Status
from services.deleter.claim import claim_due
from services.deleter.dispatch import lease
from services.deleter.manual_retry import FinalRefusal, retry
from services.deleter.paused_systems import PausedSystems
from services.deleter.settlement import AcknowledgementResult
from services.deleter.simulation import next_wakeup
from services.events.history import numbered_group
from services.ledger import backfills, tables
from services.ledger.command_state import IllegalTransition
from services.ledger.recording import record
from services.storage.database import Database
from tests.contract.deleter_invariants import find_missing, find_too_early, find_unlogged
from tests.contract.event_builders import Event, arrival
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
from tests.oracle.strategies import event_sets

SHARED = ("repair", "research")
END = datetime(2100, 1, 1, tzinfo=UTC)
GROUP = "live-history/2012-01-01/any"
READINGS = st.builds(
    Checked,
    records=st.integers(0, 2),
    found=st.sampled_from([{}, {"rows": 0}, {"rows": 0, "copies": 1}]),
)
STORIES = ("relationship", "helpdesk", "contact", "supplier", "application", "acquisition", "shop")


class OutboxMachine(RuleBasedStateMachine):
    """One ledger, the published events, and a clock that only advances."""

    def __init__(self, ledger: Database) -> None:
        super().__init__()
        self.ledger = empty_database(ledger)
        self.bus = FakeBus()
        self.coming: list[Event] = []
        self.known: list[Event] = []
        self.now = datetime(2012, 1, 1, tzinfo=UTC)
        self.did: set[UUID] = set()
        """Commands that a system has acknowledged as done."""
        self.read_again: dict[UUID, bool] = {}
        """Commands whose system read all records again as it was done, and whether rows were left."""
        self.stopped: set[UUID] = set()
        """Commands that a system has acknowledged as recalled."""
        self.used_ids: dict[tuple[str, str], UUID] = {}
        """Ids that a system has given to a message, with the command that the message acknowledged."""
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
            arrivals = [arrival(event, POLICY) for event in batch]
            roll_back(
                self.ledger, lambda connection: record(connection, arrivals, POLICY, self.now)
            )
        backfill = data.draw(st.sampled_from([None, None, None, "one", "two"]), label="import")
        old = data.draw(st.booleans(), label="too old")
        record_events(self.ledger, batch, self.now, backfill, history=GROUP if old else None)
        self.known += batch
        with self.ledger.transaction() as connection:
            waiting = {pending.backfill for pending in backfills.pending_backfills(connection)}
        self.imports += sorted(waiting.difference(self.imports))
        group = numbered_group(GROUP, self.released + 1)
        if backfill in waiting:
            self.held[str(backfill)] += batch
        elif old and group in waiting:
            self.held[group] += batch

    @precondition(lambda self: self.imports)
    @rule()
    def release(self) -> None:
        backfill = self.imports.pop()
        self.ledger.run_in_transaction(
            lambda connection: backfills.release(connection, backfill, "operator", self.now)
        )
        self.held.pop(backfill, None)
        self.released += backfill.startswith(GROUP)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def repeated(self, data: st.DataObject) -> None:
        result = record_events(self.ledger, [data.draw(st.sampled_from(self.known))], self.now)
        assert (result.new, result.duplicates) == (0, 1)

    @rule()
    def wait_for_what_is_due(self) -> None:
        with self.ledger.transaction() as connection:
            due = next_wakeup(connection)
        if due:
            self.now = max(self.now, due)

    @rule(by=st.sampled_from([timedelta(minutes=2), timedelta(days=1), timedelta(days=500)]))
    def wait(self, by: timedelta) -> None:
        self.now += by

    @rule(limit=st.integers(1, 5))
    def one_claim(self, limit: int) -> None:
        self.ledger.run_in_transaction(
            lambda connection: claim_due(connection, POLICY, self.now, limit=limit)
        )

    @rule()
    def claim_that_crashes(self) -> None:
        roll_back(self.ledger, lambda connection: claim_due(connection, POLICY, self.now, limit=3))

    @precondition(lambda self: self.held)
    @rule()
    def years_pass_and_nobody_releases(self) -> None:
        """What is held back is long due, and still nothing of it is commanded."""
        with self.ledger.transaction() as connection:
            due = next_wakeup(connection)
        self.now = max(self.now, due or self.now, datetime(2050, 1, 1, tzinfo=UTC))
        claim_all(self.ledger, self.now)

    @rule(limit=st.integers(1, 5))
    def sweep_all(self, limit: int) -> None:
        claim_all(self.ledger, self.now, limit)
        if not self.imports:
            assert find_missing(self.ledger, self.known, self.now) == []

    @rule()
    def lease_and_crash(self) -> None:
        self.ledger.run_in_transaction(
            lambda connection: lease(connection, self.now, PausedSystems(), limit=2)
        )

    @rule()
    def send(self) -> None:
        before = len(self.bus.sent)
        send_due(self.ledger, self.bus, self.now)
        for command in self.bus.sent[before:]:
            assert command.value["not_before"] is None or command.value["not_before"] <= self.now

    @rule(data=st.data())
    def reply(self, data: st.DataObject) -> None:
        """Acknowledge with any status that does not contradict the system's earlier one."""
        rows = [row for row in select_rows(self.ledger, tables.command) if row.attempt]
        if not rows:
            return
        command = data.draw(st.sampled_from(rows))
        status = data.draw(st.sampled_from(get_args(Status)))
        with suppress(IllegalTransition):
            self._answered(command, status)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), checked=READINGS)
    def the_next_are_erased_and_read_again(self, data: st.DataObject, checked: Checked) -> None:
        """All is released, and what is due next is commanded: else hardly any command would be out."""
        while self.imports:
            self.release()
        self.wait_for_what_is_due()
        self.sweep_all(5)
        self.send()
        rows = [
            row
            for row in select_rows(self.ledger, tables.command, state="sent")
            if row.action in ("erase", "pseudonymise")
        ]
        if rows:
            self._answered(data.draw(st.sampled_from(rows)), "done", checked=checked)

    @rule(data=st.data())
    def reply_by_a_used_id(self, data: st.DataObject) -> None:
        """Reuse an id: another system's is accepted; one of its own is refused for another command."""
        rows = [row for row in select_rows(self.ledger, tables.command) if row.attempt]
        if not rows or not self.used_ids:
            return
        command = data.draw(st.sampled_from(rows))
        system, name = data.draw(st.sampled_from(sorted(self.used_ids)))
        if (command.system, name) not in self.used_ids:
            with suppress(IllegalTransition):
                assert not self._answered(command, "failed", name).repeated
        elif system == command.system and self.used_ids[system, name] != command.command_id:
            with pytest.raises(ReusedAcknowledgement):
                self._answered(command, "failed", name)

    @rule(data=st.data())
    def retry_what_was_refused(self, data: st.DataObject) -> None:
        refused = select_rows(self.ledger, tables.command, state="refused")
        if not refused:
            return
        command = data.draw(st.sampled_from(refused))
        final = POLICY.systems[command.system].role == "controller"
        with pytest.raises(FinalRefusal) if final else nullcontext():
            self.ledger.run_in_transaction(lambda c: retry(c, command.command_id, POLICY, self.now))

    def _answered(
        self,
        command: Any,
        status: Status,
        name: str | None = None,
        checked: Checked | None = None,
    ) -> AcknowledgementResult:
        name = name or f"m{len(self.used_ids)}"
        result = acknowledge(
            self.ledger, command.command_id, status, self.now, name, checked=checked
        )
        self.used_ids[command.system, name] = command.command_id
        members = select_rows(self.ledger, tables.member, command_id=command.command_id)
        if (
            status == "done"
            and command.action in ("erase", "pseudonymise")
            and command.state in ("sending", "sent", "recalling", "refused")
            and POLICY.systems[command.system].role != "controller"
            and checked is not None
            and checked.records == len(members)
            and checked.found
        ):
            self.read_again[command.command_id] = any(checked.found.values())
        if status in ("done", "already_done"):
            recall = command.action == "recall"
            if not recall:
                self.did.add(command.command_id)
            elif status == "already_done":
                self.did.add(command.supersedes)
        if command.action == "recall" and status in ("recalled", "done"):
            self.stopped.add(command.supersedes)
        return result

    @invariant()
    def nothing_is_said_to_be_recalled_that_was_not(self) -> None:
        for row in select_rows(self.ledger, tables.command, state="recalled"):
            assert row.command_id not in self.did
            assert row.command_id in self.stopped or row.outcome == "recalled"

    @invariant()
    def only_what_was_read_again_is_proven(self) -> None:
        """No verification is written here; one in a hundred waits for its own."""
        for row in select_rows(self.ledger, tables.command):
            rows_left = self.read_again.get(row.command_id)
            if rows_left is None:
                assert row.state not in ("erased", "reopened")
            else:
                assert row.state in (("reopened",) if rows_left else ("erased", "acknowledged"))

    @invariant()
    def nothing_is_blocked_for_ever(self) -> None:
        """What is not done is repeated, or its recall is; only a controller's refusal is final."""
        commands = select_rows(self.ledger, tables.command)
        recalls = {row.supersedes for row in commands if row.action == "recall" and _goes_on(row)}
        for row in commands:
            if row.state == "recalling":
                assert row.command_id in recalls
            elif row.state in ("unsent", "sending", "sent"):
                assert _goes_on(row)
            elif row.state == "refused":
                assert _goes_on(row) == (POLICY.systems[row.system].role != "controller")

    @invariant()
    def nothing_is_commanded_too_early(self) -> None:
        waiting_events = [event for batch in self.held.values() for event in batch]
        believed = [event for event in self.known if event not in waiting_events]
        assert find_too_early(self.ledger, believed, self.now) == []

    @invariant()
    def nothing_is_told_twice(self) -> None:
        live = Counter(
            (row.record_id, row.system, row.step)
            for row in select_rows(self.ledger, tables.member, live=True)
        )
        assert max(live.values(), default=1) == 1
        numbers = Counter(
            (row.system, row.subject, row.seq) for row in select_rows(self.ledger, tables.command)
        )
        assert max(numbers.values(), default=1) == 1

    def teardown(self) -> None:
        """In the end all events are recorded, all commands acknowledged and nothing due is missing."""
        if self.coming:
            record_events(self.ledger, self.coming, self.now)
            self.known += self.coming
        while self.imports:
            self.release()
        self.now = END
        for _ in range(4):
            claim_all(self.ledger, self.now)
            self.now += timedelta(days=1)
            send_due(self.ledger, self.bus, self.now)
            for identity in self._recalls():
                acknowledge(self.ledger, identity, "recalled", self.now)
        assert find_missing(self.ledger, self.known, self.now) == []
        assert [
            row.action
            for row in select_rows(self.ledger, tables.command)
            if row.state == "recalling"
        ] == []
        assert find_unlogged(self.ledger) == []

    def _recalls(self) -> list[UUID]:
        return [
            row.command_id
            for row in select_rows(self.ledger, tables.command, action="recall")
            if row.state == "sent"
        ]


def _goes_on(row: Any) -> bool:
    return row.state in ("unsent", "sending", "sent", "refused") and row.next_attempt_at is not None


def test_the_deleter_agrees_with_the_oracle_whatever_happens(
    shared_ledger: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oracle judges the ledger after every step."""
    monkeypatch.setattr(claiming, "MAX_RECORDS_PER_COMMAND", 2)
    play(lambda: OutboxMachine(shared_ledger), few=30 if shared_ledger.is_sqlite else 10, steps=25)
