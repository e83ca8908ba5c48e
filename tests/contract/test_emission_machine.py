"""Whatever comes between, emission keeps its ruling: a state machine over two deleters and their operators.

Events lie unread and are recorded later; policies are activated; deleters are paused, drained, stopped for
one system, blinded by a gap; they crash before and after the broker has a command; what was leased is sent
much later; systems answer, refuse or are silent; operators close commands; holds come and go, also ahead of
their time; what lies unread is parked, and replayed or discarded. The world is small enough to be judged by
hand-written rules, which know nothing of the code.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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
from sqlalchemy import select

from services.crypto.tombstones import Remains
from services.deleter import activation, claim, deleter
from services.deleter.deleter import Deleter, Limits
from services.deleter.dispatch import Delivery, Outgoing, Patience, Sent, Stops
from services.deleter.settlement import Status, close
from services.ledger import active_policy, tables
from services.ledger import blind_spots as ledger_blindness
from services.ledger.active_policy import OtherPolicy
from services.ledger.blind_spots import CLEAR, Parked
from services.ledger.command_state import IllegalTransition
from services.ledger.recording import record
from services.policy.model import Policy
from services.policy.untaggable_events import glimpse
from services.storage import dead_letters, pause
from services.storage.database import Ledger
from services.storage.dead_letters import DeadLetter
from tests.contract.arrivals import Event, arrival, event, feedback, invoice, reinstated, terminated
from tests.contract.ledgers import POLICY, Bus, answer, emptied, rows

START = datetime(2020, 1, 10, 12, tzinfo=UTC)
END = datetime(2060, 1, 10, 12, tzinfo=UTC)
DAY, YEAR = timedelta(days=1), timedelta(days=365)
SEVEN = POLICY
ONE = replace(
    POLICY,
    version="one year",
    rules={**POLICY.rules, "R5": replace(POLICY.rules["R5"], term="P1Y")},
)
POLICIES = {one.version: one for one in (SEVEN, ONE)}
YEARS = {SEVEN.version: 7, ONE.version: 1}
VISITOR, CUSTOMER = "visitor:1", "customer:1"
DESTROYS = ("erase", "pseudonymise", "lift")
SYSTEMS = ("website", "accounting", "crm")
REMAINS = Remains(bytes(32))


class Crash(BaseException):
    """The process ends: before the broker has the commands, or after."""


@dataclass
class Oracle:
    """What may and must be erased, by hand: from the recorded events, the active policy and the time."""

    events: list[Event] = field(default_factory=list)
    policy: Policy = SEVEN

    def held(self, subject: str, now: datetime) -> bool:
        """A release ends what was placed before it; one dated before the placing ends nothing."""
        ended = [
            (one["data"]["hold_id"], _rank(one))
            for one in self._of("privacy.hold-released", subject)
            if _time(one) <= now
        ]
        return any(
            _time(one) <= now
            and not any(id_ == one["data"]["hold_id"] and at > _rank(one) for id_, at in ended)
            for one in self._of("privacy.hold-placed", subject)
        )

    def due(self, made: Event, system: str, now: datetime) -> bool:
        """Whether a record is to be erased from a system by now, holds left aside."""
        at = _time(made)
        if made["type"] == "website.feedback-given":
            said = [_time(one) for one in self._of("privacy.consent-withdrawn", VISITOR)]
            ends = [one for one in said if one >= at]
            return now >= min([_years_after(at, 1) - DAY, *ends])
        if system == "accounting":
            last = at.year + YEARS[self.policy.version]
            return now >= datetime(last, 12, 31, 23, tzinfo=UTC)  # midnight in Amsterdam
        moves = [one for one in self.events if one["type"].startswith("customers.")]
        if not moves:
            return False
        last_move = max(moves, key=_rank)
        ended = last_move["type"] == "customers.customer-terminated"
        return ended and now >= _years_after(_time(last_move), 2) - DAY

    def asks(self, made: Event, system: str, now: datetime) -> bool:
        return self.due(made, system, now) and not self.held(_subject(made), now)

    @property
    def records(self) -> list[tuple[Event, str]]:
        """Each record with each system that has it."""
        of = {
            "website.feedback-given": ["website"],
            "billing.invoice-issued": ["accounting", "crm"],
        }
        return [(one, system) for one in self.events for system in of.get(one["type"], ())]

    def _of(self, type_: str, subject: str) -> list[Event]:
        found = [one for one in self.events if one["type"] == type_]
        return [one for one in found if one["data"]["subject"] == subject]


def _time(one: Event) -> datetime:
    return datetime.fromisoformat(one["time"])


def _rank(one: Event) -> tuple[datetime, str, str]:
    return _time(one), one["source"], one["id"]


def _years_after(at: datetime, years: int) -> datetime:
    return at.replace(year=at.year + years)


def _subject(made: Event) -> str:
    return VISITOR if made["type"] == "website.feedback-given" else CUSTOMER


class Emitting(RuleBasedStateMachine):
    """One ledger, a bus with unread events, two deleters, systems, operators, a clock that goes on."""

    clock = START

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.ledger = emptied(ledger)
        type(self).clock = START
        self.oracle = Oracle()
        self.unread: list[Event] = []
        self.parked: list[tuple[DeadLetter, Event, bool]] = []
        self.gap = False
        self.number = 0
        self.crash: str | None = None
        self.bus = Bus()
        self.allowed: frozenset[str] | None = None
        """What may leave to systems now; None: everything that the oracle asks for."""
        self.stopped: set[str] = set()
        self.state: pause.State = "running"
        with ledger.transaction() as connection:
            active_policy.ensure(connection, SEVEN, START)
        self.deleters = [self.started(), self.started()]
        self.leased: list[tuple[Deleter, Sequence[UUID]]] = []
        self.closed: set[UUID] = set()

    def started(self) -> Deleter:
        return Deleter(
            ledger=self.ledger,
            outlet=self,
            sight=self,
            policy=self.oracle.policy,
            observer=self,
            now=lambda: self.clock,
            limits=Limits(claim=8, relay=3, protect_every=timedelta()),
            patience=Patience(base=timedelta(hours=1), cap=timedelta(days=1)),
            remains=REMAINS,
        )

    # What the deleter is given.

    def blind_spots(self) -> Sequence[str]:
        return ["unread"] if self.unread or self.gap else []

    def blind(self, spots: Sequence[str]) -> None:
        """Told whether it sees."""

    def sent(self, commands: Sequence[Sent], nothing_due_at: datetime | None) -> None:
        """Told what it sent."""

    def escalated(self, commands: Sequence[tuple[str, UUID]]) -> None:
        """Told of silence."""

    def undeliverable(self, system: str, command: UUID, why: str) -> None:
        """The bus does not take it."""

    def capped(self, cap: int) -> None:
        """Told of the cap."""

    def send(self, commands: Sequence[Outgoing]) -> Sequence[Delivery]:
        """The broker: it judges whatever it is given."""
        if self.crash == "before":
            raise Crash
        for one in commands:
            if one.value["action"] in DESTROYS:
                self.judge(one)
        found = self.bus.send(commands)
        if self.crash == "after":
            raise Crash
        return found

    def judge(self, one: Outgoing) -> None:
        assert one.value["action"] == "erase"
        for named in one.value["records"]:
            [made] = [m for m, _ in self.oracle.records if m["id"] == named["id"]][:1]
            assert self.oracle.asks(made, one.system, self.clock), (one.system, made)
        assert not self.could_forbid(one), (one.system, self.parked)
        assert self.state != "paused"
        assert one.system not in self.stopped
        assert self.allowed is None or one.value["action"] in self.allowed

    # What happens.

    @initialize(years=st.lists(st.integers(2, 9), min_size=2, max_size=4))
    def history(self, years: list[int]) -> None:
        """Some of it is due at once, some under one policy only."""
        for number, back in enumerate(years):
            at = _years_after(START, -back).isoformat()
            make = feedback if number % 2 else invoice
            self.unread.append(make(f"h{number}", at))
        self.unread.append(terminated("h-end", _years_after(START, -3).isoformat()))
        self.recorded(list(self.unread))

    @rule(
        what=st.sampled_from(
            ["feedback", "invoice", "end", "back", "withdrawal", "hold", "release"]
        ),
        days=st.integers(-400, 400),
        subject=st.sampled_from([VISITOR, CUSTOMER]),
        data=st.data(),
    )
    def publish(self, what: str, days: int, subject: str, data: st.DataObject) -> None:
        """Not always in the order of their times; holds and releases also ahead of their time."""
        if what not in ("hold", "release"):
            days = min(days, 0)
        self.number += 1
        id_ = f"e{self.number}"
        at = self.clock + timedelta(days=days)
        time = (at + timedelta(days=1) if (at.month, at.day) == (2, 29) else at).isoformat()
        if what == "feedback":
            self.unread.append(feedback(id_, time))
        elif what == "invoice":
            self.unread.append(invoice(id_, time))
        elif what == "end":
            self.unread.append(terminated(id_, time))
        elif what == "back":
            self.unread.append(reinstated(id_, time))
        elif what == "withdrawal":
            purpose = "website_experience"
            self.unread.append(
                event(id_, "privacy.consent-withdrawn", time, subject=VISITOR, purpose=purpose)
            )
        elif what == "hold":
            fields = {"subject": subject, "hold_id": id_, "ground": "legal_claim"}
            self.unread.append(event(id_, "privacy.hold-placed", time, **fields))
        else:
            known = [*self.oracle.events, *self.unread]
            holds = [one["data"] for one in known if one["type"] == "privacy.hold-placed"]
            if holds:
                hold = data.draw(st.sampled_from(holds), label="hold")
                fields = {"subject": hold["subject"], "hold_id": hold["hold_id"]}
                self.unread.append(event(id_, "privacy.hold-released", time, **fields))

    @rule(subject=st.sampled_from([VISITOR, CUSTOMER]))
    def hold_at_once(self, subject: str) -> None:
        """Published, and recorded before anything else happens."""
        self.number += 1
        fields = {"subject": subject, "hold_id": f"e{self.number}", "ground": "legal_claim"}
        one = event(f"e{self.number}", "privacy.hold-placed", self.clock.isoformat(), **fields)
        self.unread.append(one)
        self.recorded([one])

    @precondition(lambda self: self.unread)
    @rule(data=st.data())
    def record(self, data: st.DataObject) -> None:
        some = data.draw(st.lists(st.sampled_from(self.unread), unique_by=lambda one: one["id"]))
        self.recorded(some)

    @precondition(lambda self: self.unread)
    @rule()
    def record_all(self) -> None:
        self.recorded(list(self.unread))

    @precondition(lambda self: self.oracle.events)
    @rule(data=st.data())
    def record_again(self, data: st.DataObject) -> None:
        self.recorded([data.draw(st.sampled_from(self.oracle.events))])

    def recorded(self, some: Sequence[Event]) -> None:
        arrivals = [arrival(one, self.oracle.policy) for one in some]
        policy = self.oracle.policy
        self.ledger.write(lambda connection: record(connection, arrivals, policy, self.clock))
        self.unread = [one for one in self.unread if one not in some]
        self.oracle.events += [one for one in some if one not in self.oracle.events]

    @precondition(lambda self: self.unread)
    @rule(data=st.data(), readable=st.booleans())
    def park(self, data: st.DataObject, readable: bool) -> None:
        """What lies unread is parked instead; whom it is about can be seen, or cannot."""
        one = data.draw(st.sampled_from(self.unread), label="parked")
        self.number += 1
        letter = DeadLetter(
            role="tagger",
            reason="x",
            detail="",
            topic=f"{one['type']}.v1",
            partition=0,
            offset=self.number,
            timestamp=self.clock,
            at=self.clock,
            key_id="k",
            sealed=b"x",
        )
        seen = Parked(
            dead_letter_id=letter.dead_letter_id,
            topic=letter.topic,
            partition=0,
            offset=self.number,
            glimpse=glimpse(one["type"], one["data"] if readable else {}, self.oracle.policy),
        )
        with self.ledger.transaction() as connection:
            dead_letters.park(connection, [letter])
            ledger_blindness.note(connection, [seen], REMAINS)
        self.unread.remove(one)
        self.parked.append((letter, one, readable))

    @precondition(lambda self: self.parked)
    @rule(replayed=st.booleans())
    def settle(self, replayed: bool) -> None:
        """Replayed it lies unread once more; discarded it never was."""
        letter, one, _ = self.parked.pop()
        with self.ledger.transaction() as connection:
            state = "replayed" if replayed else "discarded"
            dead_letters.settle(connection, letter, state, operator="o", reason="r", now=self.clock)
        if replayed:
            self.unread.append(one)

    def could_forbid(self, command: Outgoing) -> bool:
        """Whether what is parked could, by hand: holds of a subject, moves of the one relationship."""
        for _, one, readable in self.parked:
            if one["type"] in ("privacy.hold-placed", "privacy.hold-released"):
                if not readable or one["data"]["subject"] == command.value["subject"]:
                    return True
            elif one["type"].startswith("customers.") and command.system == "crm":
                return True
        return False

    @rule(by=st.sampled_from([timedelta(minutes=2), DAY, 200 * DAY, 3 * YEAR]))
    def wait(self, by: timedelta) -> None:
        if self.clock < END - 10 * YEAR:
            type(self).clock += by

    @rule(version=st.sampled_from(sorted(POLICIES)))
    def activate(self, version: str) -> None:
        """The deleters are started anew as they find out."""
        policy = POLICIES[version]
        self.ledger.write(lambda c: activation.activate(c, policy, self.clock))
        self.oracle.policy = policy

    @rule(gap=st.booleans())
    def blindness(self, gap: bool) -> None:
        self.gap = gap

    @rule(state=st.sampled_from(["running", "paused", "drained"]))
    def stop_deleters(self, state: pause.State) -> None:
        self.put("deleter", state)
        self.state = state

    @rule(system=st.sampled_from(SYSTEMS), state=st.sampled_from(["running", "paused"]))
    def stop_system(self, system: str, state: pause.State) -> None:
        self.put(f"system:{system}", state)
        (self.stopped.add if state == "paused" else self.stopped.discard)(system)

    def put(self, scope: str, state: pause.State) -> None:
        with self.ledger.transaction() as connection:
            pause.put(connection, scope, state, operator="o", reason="r", now=self.clock)

    @rule(which=st.integers(0, 1), crash=st.sampled_from([None, None, None, "before", "after"]))
    def round(self, which: int, crash: str | None) -> None:
        self.one_round(which, crash)

    def one_round(self, which: int, crash: str | None = None) -> int:
        """How many records, clocks and commands it handled."""
        self.crash = crash
        self.allowed = frozenset() if self.blind_spots() else None
        handled = 0
        try:
            handled = self.deleters[which].round()
        except (OtherPolicy, Crash):
            self.deleters[which] = self.started()
        self.crash = None
        return handled

    @rule(which=st.integers(0, 1))
    def some_rounds(self, which: int) -> None:
        """A round looks at few records here: after some, all that is known has been looked at."""
        for _ in range(8):
            self.one_round(which)
        self.nothing_is_out_under_a_hold()

    @rule(which=st.integers(0, 1))
    def lease_for_later(self, which: int) -> None:
        """Sight is looked at before the lease; a stop counts for who leases after it."""
        if self.state != "running" or self.blind_spots():
            return
        try:
            stops = Stops(paused=frozenset(self.stopped))
            claimed = self.deleters[which]._claim(stops, CLEAR).leased
            leased = [*claimed, *self.deleters[which]._lease(stops, None)]
        except OtherPolicy:
            self.deleters[which] = self.started()
        else:
            self.leased.append((self.deleters[which], leased))

    @precondition(lambda self: self.leased and self.state != "paused" and not self.stopped)
    @rule()
    def send_what_was_leased(self) -> None:
        deleter, leased = self.leased.pop(0)
        self.allowed = None
        with contextlib.suppress(OtherPolicy):
            deleter._send(leased)

    @rule(data=st.data())
    def reply(self, data: st.DataObject) -> None:
        out = [row for row in rows(self.ledger, tables.command) if row.attempt]
        if not out:
            return
        row = data.draw(st.sampled_from(out), label="command")
        statuses: list[Status] = ["done", "failed"]
        if row.action == "recall":
            statuses = ["recalled", "already_done", "failed"]
        status = data.draw(st.sampled_from(statuses), label="status")
        counts = {"rows": data.draw(st.integers(0, 1))} if row.action == "verify" else {}
        with contextlib.suppress(IllegalTransition):  # it contradicts what it said before
            answer(self.ledger, row.command_id, status, self.clock, counts=counts)

    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        found = [row.command_id for row in rows(self.ledger, tables.command)]
        if not found:
            return
        one = data.draw(st.sampled_from(found))
        try:
            self.ledger.write(lambda connection: close(connection, one, self.clock))
        except IllegalTransition:
            return
        self.closed.add(one)

    # What always holds.

    def nothing_is_out_under_a_hold(self) -> None:
        """Whatever stops the deleter: what a recorded hold forbids is being taken back."""
        for row in rows(self.ledger, tables.command, action="erase"):
            if row.state in ("sending", "sent"):
                assert not self.oracle.held(row.subject, self.clock)

    @invariant()
    def nothing_is_told_twice(self) -> None:
        live = Counter(
            (row.record_id, row.system, row.step)
            for row in rows(self.ledger, tables.member, live=True)
        )
        assert max(live.values(), default=1) == 1

    @invariant()
    def what_is_over_blocks_nothing(self) -> None:
        over = {
            row.command_id
            for row in rows(self.ledger, tables.command)
            if row.state in ("cancelled", "recalled", "closed")
        }
        assert not over & {row.command_id for row in rows(self.ledger, tables.member, live=True)}

    def teardown(self) -> None:
        """In the end all is read, resumed and answered, and everything that is due is done."""
        while self.parked:
            self.settle(True)
        if self.unread:
            self.recorded(list(self.unread))
        self.gap = False
        self.stop_deleters("running")
        for system in SYSTEMS:
            self.stop_system(system, "running")
        self.deleters = [self.started(), self.started()]
        type(self).clock = END
        for _ in range(60):
            type(self).clock += DAY
            handled = self.one_round(0)
            waiting = [
                row
                for row in rows(self.ledger, tables.command)
                if row.state in ("sent", "recalling")
            ]
            for row in waiting:
                if row.state == "sent":
                    status: Status = "recalled" if row.action == "recall" else "done"
                    counts = {"rows": 0} if row.action == "verify" else {}
                    answer(self.ledger, row.command_id, status, self.clock, counts=counts)
            if not waiting and not handled:
                break
        missing = [
            (made["id"], system)
            for made, system in self.oracle.records
            if self.oracle.asks(made, system, self.clock)
            and (made["id"], system) not in self.erased()
        ]
        assert missing == []
        states = {row.state for row in rows(self.ledger, tables.command)}
        assert states <= {"acknowledged", "erased", "cancelled", "recalled", "closed", "reopened"}

    def erased(self) -> set[tuple[str, str]]:
        """What was carried out, or given up by an operator who answers for it: event and system."""
        member, command = tables.member.c, tables.command.c
        query = (
            select(tables.event.c.id, member.system, member.command_id)
            .join(tables.command, command.command_id == member.command_id)
            .join(tables.record, tables.record.c.record_id == member.record_id)
            .join(tables.event, tables.event.c.event_id == tables.record.c.event_id)
            .where(command.state.in_(("acknowledged", "erased", "closed")))
        )
        with self.ledger.transaction() as connection:
            return {(row.id, row.system) for row in connection.execute(query)}


@pytest.mark.timeout(300)
def test_what_leaves_is_asked_for_whatever_happens(
    shared_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Judged by hand at every send, after some rounds and in the end."""
    monkeypatch.setattr(claim, "MOST_RECORDS", 2)
    monkeypatch.setattr(deleter, "database_now", lambda connection: Emitting.clock)
    run_state_machine_as_test(
        lambda: Emitting(shared_ledger),  # type: ignore[arg-type]  # a factory is as good as a class
        settings=settings(
            max_examples=50 if shared_ledger.is_sqlite else 12,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
