"""Whatever happens in between, rights and legal holds are respected: judged by the oracle at every step.

Business and privacy events arrive in any order, late and again; claims stop half-way, leases run out,
the bus fails, crashes come before and after it has taken commands; acknowledgements of every kind come,
twice and late.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import select

from services.deleter import claim as claiming
from services.deleter.acknowledgement import Status
from services.deleter.claim import claim_due
from services.deleter.dispatch import RetryPolicy, dispatch, lease
from services.deleter.message import CommandMessage
from services.deleter.paused_systems import PausedSystems
from services.deleter.simulation import next_wakeup
from services.deleter.verification import verify_commands
from services.kafka.record_metadata import RecordMetadata
from services.ledger import tables
from services.ledger.command_state import IllegalTransition
from services.ledger.facts import load_privacy_events
from services.ledger.recording import record
from services.policy.request_cases import list_cases
from services.requests.assessment import assess_request
from services.requests.responder import PRIVACY_EVENT_PREFIXES
from services.storage.database import Database
from tests import oracle
from tests.contract.event_builders import Event, arrival
from tests.contract.ledgers import (
    POLICY,
    FakeBus,
    acknowledge,
    empty_database,
    record_events,
    roll_back,
    select_rows,
)
from tests.effort import play
from tests.oracle.commands import plan
from tests.oracle.steps import Done, Step
from tests.oracle.strategies_rights import event_sets_with_rights

END = datetime(2080, 1, 1, tzinfo=UTC)
FORWARDS = {
    "unsent": {"sending", "cancelled", "closed"},
    "sending": {"sent", "acknowledged", "refused", "recalling", "closed"},
    "sent": {"acknowledged", "refused", "recalling", "closed"},
    "recalling": {"recalled", "acknowledged", "closed"},
    "refused": {"sending", "acknowledged", "recalling", "closed"},
    "acknowledged": {"erased", "attested", "reopened"},
    "erased": set(),
    "attested": set(),
    "reopened": set(),
    "cancelled": set(),
    "recalled": set(),
    "closed": set(),
}
"""Which state may follow which, by hand."""
CARRIED_OUT = {"done", "nothing_held", "already_done"}
CARRIED_OUT_STATES = {"acknowledged", "erased", "attested"}


def reachable(state: str) -> set[str]:
    """Return all states that may follow after any number of steps; one rule may make several."""
    states = {state}
    waiting = [state]
    while waiting:
        for then in FORWARDS[waiting.pop()] - states:
            states.add(then)
            waiting.append(then)
    return states


class FailingBus(FakeBus):
    """A bus that takes what it is given, and may then fail."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = False

    def send(self, commands: Sequence[CommandMessage]) -> Sequence[RecordMetadata]:
        deliveries = super().send(commands)
        if self.fails:
            raise ConnectionError
        return deliveries


class RightsMachine(RuleBasedStateMachine):
    """One ledger, the published events, and a clock that only advances."""

    def __init__(self, ledger: Database) -> None:
        super().__init__()
        self.ledger = empty_database(ledger)
        self.bus = FailingBus()
        self.coming: list[Event] = []
        self.known: list[Event] = []
        self.now = datetime(2012, 1, 1, tzinfo=UTC)
        self.states: dict[Any, str] = {}
        self.answered: set[Any] = set()

    @initialize(events=event_sets_with_rights(max_events=6, max_plots=4, duplicates=False))
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
        record_events(self.ledger, batch, self.now)
        self.known += batch

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

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def wait_for_what_happens(self, data: st.DataObject) -> None:
        """Advance to a known instant: mostly the next one."""
        later = sorted(
            at for event in self.known if (at := oracle.instant(event["time"])) > self.now
        )
        if later:
            self.now = data.draw(st.sampled_from([*later[:1] * 3, *later]), label="until")

    @rule(
        by=st.sampled_from(
            [timedelta(seconds=1), timedelta(minutes=2), timedelta(days=1), timedelta(days=60)]
        )
    )
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

    @rule(limit=st.integers(1, 5))
    def sweep_all(self, limit: int) -> None:
        self._sweep(limit)
        assert self._missing() == []

    @rule()
    def lease_and_crash(self) -> None:
        self.ledger.run_in_transaction(
            lambda connection: lease(connection, self.now, PausedSystems(), limit=2)
        )

    @rule(limit=st.integers(1, 5))
    def send(self, limit: int) -> None:
        self._send(limit)

    @rule()
    def send_between_lease_and_arrival(self) -> None:
        """An event that arrives after the lease is taken into account before sending."""
        leased = self.ledger.run_in_transaction(
            lambda c: lease(c, self.now, PausedSystems(), limit=5)
        )
        if self.coming:
            record_events(self.ledger, self.coming[:1], self.now)
            self.known += self.coming[:1]
            self.coming = self.coming[1:]
        self._relay(leased)

    @rule()
    def bus_fails(self) -> None:
        """The broker has the commands, but the deleter gets an error."""
        leased = self.ledger.run_in_transaction(
            lambda c: lease(c, self.now, PausedSystems(), limit=3)
        )
        self.bus.fails = True
        with pytest.raises(ConnectionError) if self._would_send(leased) else nullcontext():
            self._relay(leased)
        self.bus.fails = False

    @rule()
    def checks(self) -> None:
        """Verify what was carried out; what is found is commanded again."""
        self.ledger.run_in_transaction(
            lambda connection: verify_commands(connection, POLICY, self.now, limit=3)
        )

    @rule(data=st.data())
    def reply(self, data: st.DataObject) -> None:
        rows = [row for row in select_rows(self.ledger, tables.command) if row.attempt]
        if not rows:
            return
        command = data.draw(st.sampled_from(rows))
        statuses: list[Status]
        if command.action == "recall":
            statuses = ["recalled", "already_done", "done", "nothing_held", "failed", "refused"]
        elif command.action == "verify":
            statuses = ["done", "nothing_held", "partial", "failed", "refused"]
        else:
            statuses = ["done", "nothing_held", "already_done", "partial", "failed", "refused"]
        status = data.draw(st.sampled_from(statuses))
        remaining = data.draw(st.integers(0, 1), label="rows")
        with suppress(IllegalTransition):  # it contradicts an earlier acknowledgement
            acknowledge(
                self.ledger, command.command_id, status, self.now, counts={"rows": remaining}
            )
            self.answered.add((command.command_id, status))

    @invariant()
    def nothing_is_told_twice(self) -> None:
        live = Counter(
            (row.record_id, row.system, row.step)
            for row in select_rows(self.ledger, tables.member, live=True)
        )
        assert max(live.values(), default=1) == 1

    @invariant()
    def states_only_go_forwards(self) -> None:
        for row in select_rows(self.ledger, tables.command):
            before = self.states.get(row.command_id, "unsent")
            assert row.state in reachable(before), (before, row.state)
            self.states[row.command_id] = row.state

    @invariant()
    def nothing_is_done_that_nobody_said_was_done(self) -> None:
        carried_out = {command for command, status in self.answered if status in CARRIED_OUT}
        recalls = {
            row.supersedes: row.command_id
            for row in select_rows(self.ledger, tables.command, action="recall")
        }
        for row in select_rows(self.ledger, tables.command):
            if row.state not in CARRIED_OUT_STATES:
                continue
            by_recall = (recalls.get(row.command_id), "already_done") in self.answered
            recalled = row.action == "recall"
            assert row.command_id in carried_out or by_recall or recalled

    @invariant()
    def an_answer_names_every_system_rightly(self) -> None:
        """An answer lists as done only what was done, and leaves out no system that had data."""
        with self.ledger.transaction() as connection:
            cases = list_cases(
                load_privacy_events(connection, PRIVACY_EVENT_PREFIXES, POLICY), POLICY
            )
            weighed = [
                (case, assess_request(connection, case, POLICY, self.now))
                for case in cases
                if case.verified_at and not case.merged_into
            ]
        fulfilled = {command for command, status in self.answered if status in CARRIED_OUT}
        carried_out = {
            (row.subject, row.system)
            for row in select_rows(self.ledger, tables.command)
            if row.command_id in fulfilled or row.state in CARRIED_OUT_STATES
        }
        for case, found_out in weighed:
            for part in found_out.parts:
                if part.outcome in ("done", "nothing_held"):
                    assert (case.subject, part.system) in carried_out
            if case.right == "erasure" and case.verified_at:
                named = {system_part.system for system_part in found_out.parts}
                named |= {item.system for item in found_out.retained}
                assert named == self._holding(case.subject, case.verified_at)

    def _holding(self, subject: str, until: datetime) -> set[str]:
        """Return the systems that have data on a subject since an instant, by the oracle."""
        return {
            system
            for event in self.known
            for holding in oracle.holdings_of(event, self.known)
            if holding["subject"] == subject and holding["at"] <= until
            for system in holding["systems"]
        }

    def teardown(self) -> None:
        """In the end all events are recorded, all commands acknowledged and nothing due is missing."""
        if self.coming:
            record_events(self.ledger, self.coming, self.now)
            self.known += self.coming
        self.now = END
        for _ in range(5):
            self._sweep(500)
            self.ledger.run_in_transaction(
                lambda connection: verify_commands(connection, POLICY, self.now, limit=500)
            )
            self.now += timedelta(days=1)
            self._send(500)
            for row in select_rows(self.ledger, tables.command, action="recall"):
                if row.state == "sent":
                    acknowledge(self.ledger, row.command_id, "recalled", self.now)
        self._sweep(500)
        assert self._missing() == []
        assert select_rows(self.ledger, tables.command, state="recalling") == []

    def _sweep(self, limit: int) -> None:
        while self.ledger.run_in_transaction(
            lambda c: claim_due(c, POLICY, self.now, limit=limit)
        ).scanned:
            pass

    def _send(self, limit: int) -> None:
        self._relay(
            self.ledger.run_in_transaction(
                lambda c: lease(c, self.now, PausedSystems(), limit=limit)
            )
        )

    def _relay(self, leased: Sequence[Any]) -> None:
        before = len(self.bus.sent)
        try:
            self.ledger.run_in_transaction(
                lambda c: dispatch(c, leased, self.bus, POLICY, self.now, RetryPolicy())
            )
        finally:
            for command in self.bus.sent[before:]:
                self._check(command)

    def _would_send(self, leased: Sequence[Any]) -> bool:
        """Return whether these would be sent now: tried, and rolled back."""
        trial = FakeBus()
        roll_back(
            self.ledger, lambda c: dispatch(c, leased, trial, POLICY, self.now, RetryPolicy())
        )
        return bool(trial.sent)

    def _check(self, command: CommandMessage) -> None:
        """Check that what is sent is due by all that is known now, without a legal hold."""
        value = command.value
        if value["action"] in ("recall", "verify"):
            return
        [row] = [
            row
            for row in select_rows(self.ledger, tables.command)
            if str(row.command_id) == value["command_id"]
        ]
        own = self._marks(row.command_id)
        done = self._done() - own
        due = {_what(step) for step in plan(self.known, done, self.now) if step.due <= self.now}
        for mark in own:
            erased = mark._replace(action="erase", what="")
            # What was written in its time and lies beside an erasure that is due by now does no harm,
            # nor does a restriction whose end is due as well.
            harmless = mark.action != "erase" and (
                erased in due or erased in done or (mark.action == "restrict" and mark.what)
            )
            assert harmless or mark in due, (value["action"], mark, sorted(due))

    def _missing(self) -> list[Step]:
        """Return what is due by all that is known now, without a command."""
        return [step for step in plan(self.known, self._done(), self.now) if step.due <= self.now]

    def _done(self) -> set[Done]:
        """Return what live commands do or have done, in the oracle's form."""
        return self._marks(None)

    def _marks(self, command: Any) -> set[Done]:
        member, event, record = tables.member.c, tables.event.c, tables.record.c
        query = (
            select(member.system, member.step, event.source, event.id, record.subject)
            .join(tables.record, record.record_id == member.record_id)
            .join(tables.event, event.event_id == record.event_id)
            .where(member.live, member.step.not_in(("recall", "verify")))
        )
        if command is not None:
            query = query.where(member.command_id == command)
        with self.ledger.transaction() as connection:
            rows = connection.execute(query).all()
        return {
            Done(
                row.system, row.source, row.id, row.subject, action, self._cause(row.subject, what)
            )
            for row in rows
            for action, what in _oracle_steps(row.step)
        }

    def _cause(self, subject: str, what: str) -> str:
        """Return an objection as the oracle names it: by its event."""
        kind, _, name = what.partition(" ")
        for event in self.known if kind == "objection" else ():
            data = event["data"]
            raised = event["type"] == "privacy.objection-raised" and data["subject"] == subject
            if raised and data.get("objection_id", event["id"]) == name:
                return f"objection {event['source']} {event['id']}"
        return what


def _oracle_steps(step: str) -> list[tuple[str, str]]:
    """Convert the ledger's form of a step to the oracle's: one for each purpose that ended."""
    action, _, rest = step.partition(" ")
    if action == "restrict" and not rest.startswith(("objection ", "request ")):
        return [(action, purpose) for purpose in rest.split()]
    return [(action, rest)]


def _what(step: Step) -> Done:
    what = step.cause
    if step.action == "restrict" and not step.cause:
        what = step.purposes[0]
    return Done(step.system, step.source, step.record, step.subject, step.action, what)


def test_rights_and_holds_are_kept_whatever_happens(
    shared_ledger: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each send agrees with the oracle, none is missing after a sweep, and no state goes back."""
    monkeypatch.setattr(claiming, "MAX_RECORDS_PER_COMMAND", 2)
    play(lambda: RightsMachine(shared_ledger), few=30 if shared_ledger.is_sqlite else 8, steps=25)
