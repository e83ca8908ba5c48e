"""Whatever happens in between, only required commands are sent: a machine over two deleters.

Events lie unread and are recorded later; policies are activated; deleters are paused, drained, stopped
for one system, blocked by a gap; they crash before and after the broker has a command; what was leased
is sent much later, after something new; systems acknowledge, refuse or are silent; operators close
commands and have them repeated; holds are placed and released, also ahead of their time; unread events
are parked, for any reason or because their id is hostile, and replayed or discarded. The world is small
enough to be judged by hand-written rules (`emission_oracle`), which know nothing of the code.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import select

from schemas import limits
from services.crypto.tombstones import TombstoneCipher
from services.deleter import activation, claim, command_sender, deleter, transactions
from services.deleter.acknowledgement import Status
from services.deleter.deleter import Deleter, DeleterLimits
from services.deleter.dispatch import RetryPolicy
from services.deleter.escalation import close_command
from services.deleter.manual_retry import CommandNotRetryable, retry
from services.deleter.message import CommandMessage
from services.deleter.paused_systems import PausedSystems
from services.kafka.record_metadata import RecordMetadata
from services.ledger import active_policy, tables
from services.ledger import blind_spots as ledger_blindness
from services.ledger.active_policy import PolicyMismatch
from services.ledger.blind_spots import NO_BLIND_SPOTS, ParkedEvent
from services.ledger.command_state import IllegalTransition
from services.ledger.recording import record
from services.policy.model import Policy
from services.policy.tagging_error import TaggingFailed
from services.policy.untaggable_events import read_visible_parts
from services.storage import dead_letters, pause
from services.storage.database import Database
from services.storage.dead_letters import DeadLetter
from tests.contract.emission_oracle import (
    CUSTOMER,
    DAY,
    ONE,
    POLICIES,
    SEVEN,
    VISITOR,
    Oracle,
    years_after,
)
from tests.contract.event_builders import (
    Event,
    arrival,
    event,
    feedback,
    invoice,
    reinstated,
    terminated,
)
from tests.contract.ledgers import (
    Backup,
    FakeBus,
    acknowledge,
    back_up,
    empty_database,
    restore,
    select_rows,
)
from tests.contract.null_observer import NullObserver
from tests.effort import play

START = datetime(2020, 1, 10, 12, tzinfo=UTC)
END = datetime(2060, 1, 10, 12, tzinfo=UTC)
YEAR = timedelta(days=365)
DESTROYS = ("erase", "pseudonymise", "lift")
SYSTEMS = ("website", "accounting", "crm")
REMAINS = TombstoneCipher(bytes(32))


class Crash(BaseException):
    """The process ends, before the broker has the commands or after."""


class Snapshot(NamedTuple):
    """A backup of the ledger, with what was true then."""

    ledger: Backup
    events: list[Event]
    policy: Policy
    parked: list[tuple[DeadLetter, Event, bool]]
    state: pause.State
    stopped: set[str]


class EmissionMachine(RuleBasedStateMachine, NullObserver):
    """One ledger, a bus with unread events, two deleters, systems, operators, a clock that advances."""

    clock = START

    def __init__(self, ledger: Database) -> None:
        super().__init__()
        self.ledger = empty_database(ledger)
        type(self).clock = START
        self.oracle = Oracle()
        self.unread: list[Event] = []
        self.parked: list[tuple[DeadLetter, Event, bool]] = []
        self.gap = False
        self.number = 0
        self.crash: str | None = None
        self.bus = FakeBus()
        self.allowed: frozenset[str] | None = None
        """What may leave to systems now; None: everything that the oracle asks for."""
        self.stopped: set[str] = set()
        self.state: pause.State = "running"
        with ledger.transaction() as connection:
            active_policy.require_active(connection, SEVEN, START)
        self.deleters = [self.started(), self.started()]
        self.leased: list[tuple[Deleter, Sequence[UUID]]] = []
        self.wrong: list[str] = []
        """What left and should not have."""
        self.backup: Snapshot | None = None

    def started(self) -> Deleter:
        return Deleter(
            ledger=self.ledger,
            publisher=self,
            catch_up_check=self,
            command_topics=self.bus,
            policy=self.oracle.policy,
            observer=self,
            now=lambda: self.clock,
            limits=DeleterLimits(
                records_per_claim=8, commands_per_dispatch=8, protect_every=timedelta()
            ),
            retry_policy=RetryPolicy(base=timedelta(hours=1), cap=timedelta(days=1)),
            tombstone_cipher=REMAINS,
        )

    # What the deleter is given.

    def lagging_partitions(self) -> Sequence[str]:
        return ["unread"] if self.unread or self.gap else []

    def command_undeliverable(self, system: str, command: UUID, why: str) -> None:
        """Fail: the bus accepts all commands of these tests."""
        self.wrong.append(f"{system}: {why}")

    def send(self, commands: Sequence[CommandMessage]) -> Sequence[RecordMetadata]:
        """Judge every message that the broker gets."""
        if self.crash == "before":
            raise Crash
        # Not raised here: the deleter would take it for the bus's, and set the command aside.
        self.wrong += [
            f"{command.system}: {why}"
            for command in commands
            if command.value["action"] in DESTROYS
            for why in self.judged(command)
        ]
        metadatas = self.bus.send(commands)
        if self.crash == "after":
            raise Crash
        return metadatas

    def judged(self, command: CommandMessage) -> Iterator[str]:
        """Return why it should not have been sent."""
        if command.value["action"] != "erase":
            yield "nothing in this world is to be pseudonymised or lifted"
        for named in command.value["records"]:
            [event] = [m for m, _ in self.oracle.records if m["id"] == named["id"]][:1]
            if not self.oracle.must_erase(event, command.system, self.clock):
                yield f"nobody asks for {event}"
        if self.could_forbid(command):
            yield f"{self.parked} could forbid it"
        if self.state == "paused" or command.system in self.stopped:
            yield "it is paused"
        if self.allowed is not None and command.value["action"] not in self.allowed:
            yield "the deleter is blind"

    # What happens.

    @initialize(years=st.lists(st.integers(2, 9), min_size=2, max_size=4))
    def history(self, years: list[int]) -> None:
        """Record events of which some are due at once, and some under one policy only."""
        for number, back in enumerate(years):
            at = years_after(START, -back).isoformat()
            make = feedback if number % 2 else invoice
            self.unread.append(make(f"h{number}", at))
        self.unread.append(terminated("h-end", years_after(START, -3).isoformat()))
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
        """Publish events, also not in the order of their times; holds also ahead of their time."""
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
            events = [*self.oracle.events, *self.unread]
            holds = [event["data"] for event in events if event["type"] == "privacy.hold-placed"]
            if holds:
                hold = data.draw(st.sampled_from(holds), label="hold")
                fields = {"subject": hold["subject"], "hold_id": hold["hold_id"]}
                self.unread.append(event(id_, "privacy.hold-released", time, **fields))

    @rule(subject=st.sampled_from([VISITOR, CUSTOMER]))
    def hold_at_once(self, subject: str) -> None:
        """Publish a hold, and record it before anything else happens."""
        self.number += 1
        fields = {"subject": subject, "hold_id": f"e{self.number}", "ground": "legal_claim"}
        hold_event = event(
            f"e{self.number}", "privacy.hold-placed", self.clock.isoformat(), **fields
        )
        self.unread.append(hold_event)
        self.recorded([hold_event])

    @precondition(lambda self: self.unread)
    @rule(data=st.data())
    def record(self, data: st.DataObject) -> None:
        some = data.draw(
            st.lists(st.sampled_from(self.unread), unique_by=lambda event: event["id"])
        )
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
        arrivals = [arrival(event, self.oracle.policy) for event in some]
        policy = self.oracle.policy
        self.ledger.run_in_transaction(
            lambda connection: record(connection, arrivals, policy, self.clock)
        )
        self.unread = [event for event in self.unread if event not in some]
        self.oracle.events += [event for event in some if event not in self.oracle.events]

    @rule(
        what=st.sampled_from(["feedback", "invoice", "hold"]),
        text=st.sampled_from(["x", "\N{GRINNING FACE}", "\0"]),
        size=st.sampled_from([limits.MAX_IDENTIFIER, limits.MAX_IDENTIFIER + 1]),
    )
    def publish_hostile(self, what: str, text: str, size: int) -> None:
        """Publish an id of the greatest length, or a byte longer, or that no database stores."""
        self.number += 1
        name = f"e{self.number}:"
        name += "." * ((size - len(name)) % len(text.encode()))
        name += text * ((size - len(name)) // len(text.encode()))
        time = self.clock.isoformat()
        if what == "feedback":
            hostile = feedback(f"e{self.number}", time)
            hostile["data"]["feedback_id"] = name
        elif what == "invoice":
            hostile = invoice(f"e{self.number}", time)
            hostile["data"]["invoice_id"] = name
        else:
            fields = {"subject": VISITOR, "hold_id": name, "ground": "legal_claim"}
            hostile = event(f"e{self.number}", "privacy.hold-placed", time, **fields)
        self.unread.append(hostile)
        if size > limits.MAX_IDENTIFIER or text == "\0":
            with pytest.raises(TaggingFailed):
                arrival(hostile, self.oracle.policy)
            self.parks(hostile, readable=True)

    @precondition(lambda self: self.unread)
    @rule(data=st.data(), readable=st.booleans())
    def park(self, data: st.DataObject, readable: bool) -> None:
        """Park an unread event instead; its subject can be read, or cannot."""
        self.parks(data.draw(st.sampled_from(self.unread), label="parked"), readable)

    def parks(self, event: Event, readable: bool) -> None:
        """Park as the tagger does."""
        self.number += 1
        letter = DeadLetter(
            role="tagger",
            reason="x",
            detail="",
            topic=f"{event['type']}.v1",
            partition=0,
            offset=self.number,
            timestamp=self.clock,
            at=self.clock,
            key_id="k",
            sealed=b"x",
        )
        seen = ParkedEvent(
            dead_letter_id=letter.dead_letter_id,
            topic=letter.topic,
            partition=0,
            offset=self.number,
            visible_parts=read_visible_parts(
                event["type"], event["data"] if readable else {}, self.oracle.policy
            ),
        )
        with self.ledger.transaction() as connection:
            dead_letters.store(connection, [letter])
            ledger_blindness.store_parked_events(connection, [seen], REMAINS)
        self.unread.remove(event)
        self.parked.append((letter, event, readable))

    @precondition(lambda self: self.parked)
    @rule(replayed=st.booleans())
    def settle(self, replayed: bool) -> None:
        self.settles(replayed)

    def settles(self, replayed: bool) -> None:
        """Replay it, so that it is unread again; or discard it, or publish a corrected event."""
        letter, event, _ = self.parked.pop()
        replayed = replayed and is_sound(event)
        with self.ledger.transaction() as connection:
            state = "replayed" if replayed else "discarded"
            dead_letters.close(connection, letter, state, operator="o", reason="r", now=self.clock)
        if replayed:
            self.unread.append(event)

    def could_forbid(self, command: CommandMessage) -> bool:
        """Return whether a parked event could forbid it: a subject's holds, the relationship's changes."""
        for _, parked_event, readable in self.parked:
            if parked_event["type"] in ("privacy.hold-placed", "privacy.hold-released"):
                if not readable or parked_event["data"]["subject"] == command.value["subject"]:
                    return True
            elif parked_event["type"].startswith("customers.") and command.system == "crm":
                return True
        return False

    @rule(by=st.sampled_from([timedelta(minutes=2), DAY, 200 * DAY, 3 * YEAR]))
    def wait(self, by: timedelta) -> None:
        self.passes(by)

    def passes(self, by: timedelta) -> None:
        """Advance the time, within limits."""
        if self.clock < END - 10 * YEAR:
            type(self).clock += by

    @rule(version=st.sampled_from(sorted(POLICIES)))
    def activate(self, version: str) -> None:
        """Activate a policy; the deleters restart when they notice it."""
        self.activates(version)

    def activates(self, version: str) -> None:
        policy = POLICIES[version]
        self.ledger.run_in_transaction(lambda c: activation.activate(c, policy, self.clock))
        self.oracle.policy = policy

    @rule()
    def back_up(self) -> None:
        self.backup = Snapshot(
            back_up(self.ledger), list(self.oracle.events), self.oracle.policy, list(self.parked),
            self.state, set(self.stopped),
        )  # fmt: skip

    @precondition(lambda self: self.backup and self.backup.policy is self.oracle.policy)
    @rule()
    def restore(self) -> None:
        self.restores()

    @rule(which=st.integers(0, 1), hold=st.booleans(), subject=st.sampled_from([VISITOR, CUSTOMER]))
    def forgotten(self, which: int, hold: bool, subject: str) -> None:
        """Restore the ledger from a backup of before something was sent."""
        self.calms()
        self.deleters[which] = self.started()
        self.back_up()
        self.passes(DAY)
        self.some_rounds(which)
        self.restores()
        if hold:
            self.hold_at_once(subject)
        self.recorded(list(self.unread))
        self.some_rounds(which)

    def restores(self) -> None:
        """Put back the backup; the events since are unread again."""
        assert self.backup
        restore(self.ledger, self.backup.ledger)
        known = self.backup.events
        self.unread += [event for event in self.oracle.events if event not in known]
        unread = [event for _, event, _ in self.parked if event not in self.unread]
        self.unread += [event for event in unread if is_sound(event)]  # others are parked again
        self.oracle.events = list(known)
        self.parked = list(self.backup.parked)
        parked = [event for _, event, _ in self.parked]
        self.unread = [event for event in self.unread if event not in parked]
        self.state, self.stopped = self.backup.state, set(self.backup.stopped)
        self.deleters = [self.started(), self.started()]
        self.leased = []

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
            pause.set_pause_state(
                connection, scope, state, operator="o", reason="r", now=self.clock
            )

    @rule(which=st.integers(0, 1), crash=st.sampled_from([None, None, None, "before", "after"]))
    def round(self, which: int, crash: str | None) -> None:
        self.one_round(which, crash)

    def one_round(self, which: int, crash: str | None = None) -> int:
        """Return how many records, clocks and commands a round handled."""
        self.crash = crash
        self.allowed = frozenset() if self.lagging_partitions() else None
        handled = 0
        try:
            handled = self.deleters[which].run_once()
        except (PolicyMismatch, Crash):
            self.deleters[which] = self.started()
        self.crash = None
        return handled

    @rule(which=st.integers(0, 1))
    def some_rounds(self, which: int) -> None:
        """Run rounds until everything known is scanned, since each scans few records here."""
        for _ in range(4 + len(self.oracle.records) // 4):
            deleter = self.deleters[which]
            handled = self.one_round(which)
            looks_at_all = self.state == "running" and not self.lagging_partitions()
            if looks_at_all and not handled and deleter is self.deleters[which]:
                break
        self.nothing_is_out_under_a_hold()
        if looks_at_all:
            self.what_is_out_is_known()

    @rule(which=st.integers(0, 1))
    def lease_for_later(self, which: int) -> None:
        """Check catch-up before the lease; a stop counts for later leases."""
        self.leases(which)

    def leases(self, which: int) -> bool:
        """Return whether the deleter has leased commands, to send them later."""
        if self.state != "running" or self.lagging_partitions():
            return False
        try:
            stops = PausedSystems(paused=frozenset(self.stopped))
            claimed = self.deleters[which]._claim(stops, NO_BLIND_SPOTS).leased
            leased = [*claimed, *self.deleters[which].sender.lease(stops, None)]
        except PolicyMismatch:
            self.deleters[which] = self.started()
            return False
        if leased:
            self.leased.append((self.deleters[which], leased))
        return bool(leased)

    @precondition(lambda self: self.leased and self.state != "paused" and not self.stopped)
    @rule()
    def send_what_was_leased(self) -> None:
        self.sends_what_was_leased()

    def sends_what_was_leased(self) -> None:
        deleter, leased = self.leased.pop()
        self.allowed = None
        with contextlib.suppress(PolicyMismatch):
            deleter.sender.send(leased)

    def calms(self) -> None:
        """Remove everything that blocks commands, and make a record due."""
        while self.parked:
            self.settles(False)
        self.gap = False
        self.stop_deleters("running")
        for system in SYSTEMS:
            self.stop_system(system, "running")
        self.passes(timedelta(minutes=2))
        time = self.clock.isoformat()
        for recorded in list(self.oracle.events):
            if recorded["type"] == "privacy.hold-placed" and self.oracle.is_placed(
                recorded, self.clock
            ):
                self.number += 1
                fields = {name: recorded["data"][name] for name in ("subject", "hold_id")}
                id_ = f"e{self.number}"
                self.unread.append(event(id_, "privacy.hold-released", time, **fields))
        self.number += 1
        for make, years in ((feedback, 2), (invoice, 3), (invoice, 9)):
            at = self.clock - years * YEAR
            self.unread.append(make(f"e{self.number}-{years}", at.isoformat()))
        self.recorded(list(self.unread))

    @rule(
        which=st.integers(0, 1),
        after=st.sampled_from([timedelta(), DAY, YEAR]),
        overtaken_by=st.sampled_from(["hold", "reinstatement", "correction", "letter"]),
        subject=st.sampled_from([VISITOR, CUSTOMER]),
    )
    def overtaken(self, which: int, after: timedelta, overtaken_by: str, subject: str) -> None:
        """Record an event that forbids what was leased, between the lease and the send."""
        self.calms()
        self.passes(after)
        self.deleters[which] = self.started()
        if not self.leases(which):
            return
        if overtaken_by == "hold":
            self.hold_at_once(subject)
        elif overtaken_by == "reinstatement":
            self.number += 1
            self.unread.append(reinstated(f"e{self.number}", self.clock.isoformat()))
            self.recorded(self.unread[-1:])
        elif overtaken_by == "correction":
            self.activates(SEVEN.version)
        else:
            self.number += 1
            fields = {"subject": subject, "hold_id": f"e{self.number}", "ground": "legal_claim"}
            time = self.clock.isoformat()
            self.unread.append(event(f"e{self.number}", "privacy.hold-placed", time, **fields))
            self.parks(self.unread[-1], readable=True)
        self.sends_what_was_leased()

    @rule(
        which=st.integers(0, 1),
        done=st.sampled_from(["nothing", "leased", "sent"]),
        state=st.sampled_from(["running", "drained"]),
    )
    def corrected(self, which: int, done: str, state: pause.State) -> None:
        """Correct a wrong policy whose commands are in the outbox, or sent."""
        self.activates(ONE.version)
        self.calms()
        self.deleters[which] = self.started()
        if done != "nothing" and self.leases(which) and done == "sent":
            self.sends_what_was_leased()
        self.activates(SEVEN.version)
        self.stop_deleters(state)
        self.passes(DAY)
        self.some_rounds(which)
        self.nothing_is_out_that_is_not_asked_for()

    @rule(which=st.integers(0, 1), after=st.sampled_from([DAY, YEAR]))
    def goes_blind(self, which: int, after: timedelta) -> None:
        """Leased and unacknowledged commands wait while an event is unread."""
        self.calms()
        self.leases(which)
        self.gap = True
        self.passes(after)
        self.some_rounds(which)

    @rule(data=st.data())
    def reply(self, data: st.DataObject) -> None:
        rows = [row for row in select_rows(self.ledger, tables.command) if row.attempt]
        if not rows:
            return
        row = data.draw(st.sampled_from(rows), label="command")
        statuses: list[Status] = ["done", "failed", "partial", "refused"]
        if row.action == "recall":
            statuses = ["recalled", "already_done", "failed", "refused"]
        status = data.draw(st.sampled_from(statuses), label="status")
        counts = {"rows": data.draw(st.integers(0, 1))} if row.action == "verify" else {}
        with contextlib.suppress(IllegalTransition):  # it contradicts an earlier acknowledgement
            acknowledge(self.ledger, row.command_id, status, self.clock, counts=counts)

    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        commands = [row.command_id for row in select_rows(self.ledger, tables.command)]
        if not commands:
            return
        command = data.draw(st.sampled_from(commands))
        with contextlib.suppress(IllegalTransition):
            self.ledger.run_in_transaction(
                lambda connection: close_command(connection, command, self.clock)
            )

    @rule(data=st.data())
    def tell_again(self, data: st.DataObject) -> None:
        """Have an operator repeat it at once."""
        commands = [row.command_id for row in select_rows(self.ledger, tables.command)]
        if not commands:
            return
        command = data.draw(st.sampled_from(commands))
        policy = self.oracle.policy
        with contextlib.suppress(CommandNotRetryable):  # no system of these has the last word
            self.ledger.run_in_transaction(
                lambda connection: retry(connection, command, policy, self.clock)
            )

    # What always holds.

    def nothing_is_out_that_is_not_asked_for(self) -> None:
        """Commands of a corrected policy are all cancelled or being recalled."""
        events_by_id = {event["id"]: event for event, _ in self.oracle.records}
        command, event_ = tables.command.c, tables.event.c
        query = (
            select(command.system, event_.id)
            .join(tables.member, tables.member.c.command_id == command.command_id)
            .join(tables.record, tables.record.c.record_id == tables.member.c.record_id)
            .join(tables.event, event_.event_id == tables.record.c.event_id)
            .where(command.action == "erase", command.state.in_(("unsent", "sending", "sent")))
        )
        with self.ledger.transaction() as connection:
            out = list(connection.execute(query))
        for row in out:
            assert self.oracle.is_due(events_by_id[row.id], row.system, self.clock), (
                row.system,
                row.id,
            )

    def nothing_is_out_under_a_hold(self) -> None:
        """What a recorded hold forbids is being recalled, whatever stops the deleter."""
        for row in select_rows(self.ledger, tables.command, action="erase"):
            if row.state in ("sending", "sent"):
                assert not self.oracle.is_held(row.subject, self.clock)

    def what_is_out_is_known(self) -> None:
        """Whatever was restored: the ledger knows each command on the bus of which it has the record."""
        recorded = {event["id"] for event in self.oracle.events}
        states = {
            str(row.command_id): row.state for row in select_rows(self.ledger, tables.command)
        }
        for message in self.bus.sent:
            if message.value["action"] == "erase" and message.value["records"][0]["id"] in recorded:
                state = states.get(message.value["command_id"])
                assert state not in (None, "unsent", "cancelled"), message

    @invariant()
    def nothing_has_left_that_should_not(self) -> None:
        assert self.wrong == []

    @invariant()
    def nothing_is_told_twice(self) -> None:
        live = Counter(
            (row.record_id, row.system, row.step)
            for row in select_rows(self.ledger, tables.member, live=True)
        )
        assert max(live.values(), default=1) == 1

    @invariant()
    def what_is_over_blocks_nothing(self) -> None:
        over = {
            row.command_id
            for row in select_rows(self.ledger, tables.command)
            if row.state in ("cancelled", "recalled", "closed")
        }
        assert not over & {
            row.command_id for row in select_rows(self.ledger, tables.member, live=True)
        }

    def teardown(self) -> None:
        """In the end all is read, resumed and acknowledged, and everything due is done."""
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
            self.stop_deleters("running")  # it stops itself where a restored ledger lost a policy
            handled = self.one_round(0)
            waiting = [
                row
                for row in select_rows(self.ledger, tables.command)
                if row.state in ("sent", "recalling", "refused")
            ]
            for row in waiting:
                if row.state == "sent":
                    status: Status = "recalled" if row.action == "recall" else "done"
                    counts = {"rows": 0} if row.action == "verify" else {}
                    acknowledge(self.ledger, row.command_id, status, self.clock, counts=counts)
            if not waiting and not handled:
                break
        assert self.wrong == []
        missing = [
            (event["id"], system)
            for event, system in self.oracle.records
            if self.oracle.must_erase(event, system, self.clock)
            and (event["id"], system) not in self.erased()
        ]
        assert missing == []
        states = {row.state for row in select_rows(self.ledger, tables.command)}
        assert states <= {"acknowledged", "erased", "cancelled", "recalled", "closed", "reopened"}

    def erased(self) -> set[tuple[str, str]]:
        """Return event and system of what was carried out, or closed by an operator."""
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


def is_sound(event: Event) -> bool:
    """Return whether none of its ids is hostile."""
    texts = [text for text in event["data"].values() if isinstance(text, str)]
    return all(len(text.encode()) <= limits.MAX_IDENTIFIER and "\0" not in text for text in texts)


def test_what_leaves_is_asked_for_whatever_happens(
    shared_ledger: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rules written by hand judge every send, the rounds and the end."""
    monkeypatch.setattr(claim, "MAX_RECORDS_PER_COMMAND", 2)
    for module in (command_sender, deleter, transactions):
        monkeypatch.setattr(module, "database_now", lambda connection: EmissionMachine.clock)
    few = 14 if shared_ledger.is_sqlite else 5
    play(lambda: EmissionMachine(shared_ledger), few=few, steps=30)
