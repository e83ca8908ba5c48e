"""Emission decides: a command leaves only if facts and active policy still ask for it, whatever came

Each on SQLite and on PostgreSQL. The wrong policy of these tests keeps financial records (R5) for one year
instead of seven: an invoice of 15 March 2024 may then leave from 1 January 2026 on, and by the right one
not before 1 January 2032.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from services.deleter import activation
from services.deleter.deleter import Deleter, DeleterLimits
from services.deleter.dispatch import (
    CommandMessage,
    PausedSystems,
    RetryPolicy,
    dispatch,
    lease,
)
from services.deleter.emission import withdraw
from services.deleter.settlement import close_command
from services.ledger import active_policy, tables
from services.ledger.active_policy import PolicyMismatch
from services.ledger.recording import record
from services.policy.model import Policy
from services.storage import pause
from services.storage.database import Database
from tests.contract.arrivals import Event, arrival, event, feedback, invoice, reinstated, terminated
from tests.contract.ledgers import (
    POLICY,
    Bus,
    answer,
    command,
    commands,
    instant,
    later,
    post,
    rows,
    sweep,
    take,
)
from tests.contract.silent import Silent

INVOICED = "2024-03-15T13:00:00Z"
RIGHT = POLICY
WRONG = replace(
    POLICY,
    version="a wrong one",
    rules={**POLICY.rules, "R5": replace(POLICY.rules["R5"], term="P1Y")},
)
FAR = "2060-01-01T00:00:00Z"


def old_order() -> Event:
    """An order of consumer 7 of which the term has run out."""
    return event(
        *("o1", "orders.order-placed", "2020-03-15T13:00:00Z"),
        order_id="o1",
        customer_id="1",
        consumer_id="7",
    )


def objection() -> Event:
    """What consumer 7 objects to: it rests on legitimate interest, and is restricted until decided."""
    return event(
        *("x1", "privacy.objection-raised", "2026-01-15T13:00:00Z"),
        subject="consumer:7",
        purpose="service_delivery",
        objection_id="x1",
    )


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Stage(Silent):
    """A ledger with a deleter whose sight can be taken, and what that has sent."""

    ledger: Database
    bus: Bus = field(default_factory=Bus)
    spots: list[str] = field(default_factory=list)
    deleter: Deleter = field(init=False)

    def __post_init__(self) -> None:
        self.restart(RIGHT)

    def restart(self, policy: Policy, cap: int = 100_000) -> None:
        """A deleter with this policy takes over."""
        self.deleter = Deleter(
            ledger=self.ledger,
            outlet=self.bus,
            sight=self,
            policy=policy,
            observer=self,
            now=utc_now,
            limits=DeleterLimits(commands_per_hour=cap, protect_every=timedelta()),
            patience=RetryPolicy(base=timedelta(), cap=timedelta()),
        )

    def take(self, events: Sequence[Event], policy: Policy = RIGHT) -> None:
        """Let the recorder record."""
        arrivals = [arrival(one, policy) for one in events]

        def work(connection):  # type: ignore[no-untyped-def]
            active_policy.require_active(connection, policy, utc_now())
            return record(connection, arrivals, policy, utc_now())

        self.ledger.run_in_transaction(work)

    def activate(self, policy: Policy) -> None:
        """An operator activates a policy, and the deleter is started with it."""
        self.ledger.run_in_transaction(lambda c: activation.activate(c, policy, utc_now()))
        self.restart(policy)

    def put(self, scope: str, state: pause.State) -> None:
        """An operator pauses, drains or resumes."""
        with self.ledger.transaction() as connection:
            pause.set_pause_state(connection, scope, state, operator="o", reason="r", now=utc_now())

    def rounds(self, count: int = 3) -> list[tuple[str, str]]:
        """What these rounds send: system and action, sorted."""
        before = len(self.bus.sent)
        for _ in range(count):
            self.deleter.run_once()
        return sorted((one.system, one.value["action"]) for one in self.bus.sent[before:])

    def lagging_partitions(self) -> Sequence[str]:
        return self.spots


@pytest.fixture
def stage(ledger: Database) -> Stage:
    return Stage(ledger)


def hold(id_: str, time: str, customer: str = "customer:1") -> Event:
    return event(
        id_, "privacy.hold-placed", time, subject=customer, hold_id=id_, ground="legal_claim"
    )


def released(id_: str, time: str, hold_id: str, customer: str = "customer:1") -> Event:
    return event(id_, "privacy.hold-released", time, subject=customer, hold_id=hold_id)


class TestACorrectedPolicy:
    """What only the wrong policy wrote does not leave, and what has left is taken back."""

    def test_what_lies_in_the_outbox_is_cancelled(self, stage: Stage) -> None:
        stage.restart(WRONG)
        stage.put("system:accounting", "paused")
        stage.take([invoice("i1", INVOICED)], WRONG)
        assert stage.rounds() == []
        assert commands(stage.ledger) == [("accounting", "erase", "unsent")]
        stage.activate(RIGHT)
        stage.put("system:accounting", "running")
        assert stage.rounds() == []
        assert commands(stage.ledger) == [("accounting", "erase", "cancelled")]

    def test_what_is_out_is_recalled_and_not_repeated(self, stage: Stage) -> None:
        stage.restart(WRONG)
        stage.take([invoice("i1", INVOICED)], WRONG)
        assert ("accounting", "erase") in stage.rounds(1)
        stage.activate(RIGHT)
        assert set(stage.rounds()) == {("accounting", "recall")}

    @pytest.mark.parametrize("left", ["unsent", "sent"])
    def test_emission_itself_asks_the_policy(self, stage: Stage, left: str) -> None:
        """Also where activation has taken nothing back."""
        stage.restart(WRONG)
        stage.put("system:accounting", "paused" if left == "unsent" else "running")
        stage.take([invoice("i1", INVOICED)], WRONG)
        stage.rounds(1)
        with stage.ledger.transaction() as connection:
            active_policy.activate(connection, RIGHT, utc_now())
            connection.execute(update(tables.record).values(next_due=None))
        stage.put("system:accounting", "running")
        stage.restart(RIGHT)
        assert ("accounting", "erase") not in stage.rounds()
        assert rows(stage.ledger, tables.command, action="erase")[0].state in (
            "cancelled",
            "recalling",
        )

    def test_a_deleter_with_the_old_policy_sends_nothing_more(self, stage: Stage) -> None:
        """It has leased the command already."""
        stage.restart(WRONG)
        stage.put("system:accounting", "paused")
        stage.take([invoice("i1", INVOICED)], WRONG)
        stage.rounds()
        stage.put("system:accounting", "running")
        old = stage.deleter
        leased = old._lease(PausedSystems(), None)
        assert len(leased) == 1
        stage.activate(RIGHT)
        with pytest.raises(PolicyMismatch):
            old._send(leased)
        with pytest.raises(PolicyMismatch):
            old._lease(PausedSystems(), None)
        assert stage.bus.sent == []

    def test_what_the_old_policy_asked_for_can_be_asked_for_again(self, stage: Stage) -> None:
        """Under another id: the first one was cancelled."""
        stage.restart(WRONG)
        stage.put("system:accounting", "paused")
        stage.take([invoice("i1", INVOICED)], WRONG)
        stage.rounds()
        stage.activate(RIGHT)
        stage.activate(replace(WRONG, version="wrong once more"))
        stage.put("system:accounting", "running")
        assert set(stage.rounds(1)) == {("accounting", "erase")}
        assert commands(stage.ledger) == [
            ("accounting", "erase", "cancelled"),
            ("accounting", "erase", "sent"),
        ]

    def test_what_both_policies_ask_for_stays(self, stage: Stage) -> None:
        stage.restart(WRONG)
        stage.put("system:website", "paused")
        stage.take([feedback("f1", INVOICED)], WRONG)
        stage.rounds()
        stage.activate(RIGHT)
        stage.put("system:website", "running")
        assert set(stage.rounds(1)) == {("website", "erase")}
        assert commands(stage.ledger) == [("website", "erase", "sent")]


class TestBlindness:
    """While something may lie unread, only what breaks no promise leaves."""

    @pytest.mark.parametrize("scope", ["system:website", "deleter"])
    def test_what_was_stopped_waits_until_the_hold_is_read(self, stage: Stage, scope: str) -> None:
        stage.put("system:website", "paused")
        stage.take([feedback("f1", INVOICED)])
        stage.rounds()
        stage.put(scope, "paused")
        stage.spots = ["privacy.hold-placed.v1[0]"]
        stage.put(scope, "running")
        stage.put("system:website", "running")
        assert stage.rounds() == []
        stage.take([hold("h1", INVOICED, "visitor:1")])
        stage.spots = []
        assert stage.rounds() == []
        assert commands(stage.ledger) == [("website", "erase", "cancelled")]

    @pytest.mark.parametrize("state", ["running", "drained"])
    def test_a_repetition_waits_too(self, stage: Stage, state: pause.State) -> None:
        stage.take([feedback("f1", INVOICED)])
        assert set(stage.rounds()) == {("website", "erase")}
        stage.put("deleter", state)
        stage.spots = ["privacy.hold-placed.v1[0]"]
        assert stage.rounds() == []
        stage.spots = []
        assert set(stage.rounds()) == {("website", "erase")}

    @pytest.mark.parametrize(
        ("action", "leaves"),
        [
            ("erase", False),
            ("pseudonymise", False),
            ("lift", False),
            ("restrict", True),
            ("verify", True),
            ("disclose", True),
            ("rectify", True),
            ("recall", True),
        ],
    )
    def test_what_may_leave(self, stage: Stage, action: str, leaves: bool) -> None:
        """Of each action one command lies in the outbox."""
        stage.take([feedback("f1", INVOICED)])
        assert set(stage.rounds(1)) == {("website", "erase")}
        (first,) = rows(stage.ledger, tables.command)
        stage.spots = ["privacy.hold-placed.v1[0]"]
        with stage.ledger.transaction() as connection:
            connection.execute(
                update(tables.command).values(action=action, supersedes=first.command_id)
            )
            connection.execute(update(tables.member).values(step="erase"))
        assert bool(stage.rounds()) is leaves


class TestWhatProtects:
    """Recalls and restrictions leave, whatever holds up the rest."""

    @pytest.mark.parametrize("stop", ["paused", "drained", "system", "blind", "cap"])
    def test_a_hold_recalls_what_is_out(self, stage: Stage, stop: str) -> None:
        """Also where the look that finds it has to be taken while nothing is claimed."""
        stage.take([feedback("f1", INVOICED)])
        assert set(stage.rounds(1)) == {("website", "erase")}
        self.stop(stage, stop)
        stage.take([hold("h1", INVOICED, "visitor:1")])
        assert set(stage.rounds()) == {("website", "recall")}

    @pytest.mark.parametrize("stop", ["paused", "drained", "system", "blind", "cap"])
    def test_an_objection_restricts(self, stage: Stage, stop: str) -> None:
        """A purpose that rests on legitimate interest is restricted until it is decided."""
        recently = (utc_now() - timedelta(days=30)).isoformat()
        order = event(
            *("o1", "orders.order-placed", recently),
            order_id="o1",
            customer_id="1",
            consumer_id="7",
        )
        stage.take([order])
        assert stage.rounds() == []
        self.stop(stage, stop, system="psp")
        objection = event(
            *("x1", "privacy.objection-raised", recently),
            subject="consumer:7",
            purpose="service_delivery",
            objection_id="x1",
        )
        stage.take([objection])
        assert ("psp", "restrict") in stage.rounds()

    @pytest.mark.parametrize("stop", ["paused", "drained", "system", "blind"])
    def test_an_objection_restricts_while_an_erasure_lies_in_the_outbox(
        self, stage: Stage, stop: str
    ) -> None:
        """It would make that needless once it leaves; here it does not leave."""
        stage.put("system:psp", "paused")
        stage.take([old_order()])
        assert ("psp", "erase") not in stage.rounds()
        assert ("psp", "erase", "unsent") in commands(stage.ledger)
        self.stop(stage, stop, system="psp")
        stage.take([objection()])
        assert ("psp", "restrict") in stage.rounds()
        stage.put("system:psp", "running")
        stage.put("deleter", "running")
        stage.spots = []
        assert ("psp", "erase") in stage.rounds()

    def test_what_is_restricted_and_due_at_once_is_looked_at_again(self, stage: Stage) -> None:
        """The erasure that makes it needless has not left a minute later."""
        stage.put("system:psp", "paused")
        stage.take([old_order(), objection()])
        assert "restrict" not in {action for _, action in stage.rounds()}
        sweep(stage.ledger, later(utc_now().isoformat(), seconds=61))
        told = [one for one in commands(stage.ledger) if one[1] == "restrict"]
        assert told == [("psp", "restrict", "unsent")]

    def stop(self, stage: Stage, stop: str, system: str = "website") -> None:
        if stop == "blind":
            stage.spots = ["website.feedback-given.v1[0]"]
        elif stop == "cap":
            stage.restart(RIGHT, cap=1)
            stage.take([feedback(f"f{day}", f"2024-02-0{day}T00:00:00Z") for day in (2, 3, 4)])
            stage.rounds(3)
            with stage.ledger.transaction() as connection:
                assert pause.pause_state(connection, "deleter") == "paused"
            stage.bus.sent.clear()
        elif stop == "system":
            stage.put(f"system:{system}", "paused")
        else:
            stage.put("deleter", stop)  # type: ignore[arg-type]

    def test_a_pause_keeps_what_destroys(self, stage: Stage) -> None:
        """An erasure that is due because of what was said is not claimed meanwhile."""
        stage.put("deleter", "paused")
        stage.take([feedback("f1", INVOICED)])
        withdrawal = event(
            *("w1", "privacy.consent-withdrawn", INVOICED),
            subject="visitor:1",
            purpose="website_experience",
        )
        stage.take([withdrawal])
        assert stage.rounds() == []
        assert commands(stage.ledger) == []


class TestWhatIsDropped:
    """A command that may not leave any more is taken back, and its records are looked at again."""

    def test_a_repetition_of_an_epoch_that_is_over_blocks_nothing(self, ledger: Database) -> None:
        """The clock moved between the look at its epoch and the repetition."""
        bus = Bus()
        joined, ended = "2020-01-01T12:00:00Z", "2020-06-01T12:00:00Z"
        take(ledger, [invoice("i1", joined), terminated("t1", ended)], FAR)
        sweep(ledger, FAR)
        post(ledger, bus, FAR)
        crm = command(ledger, system="crm")
        answer(ledger, crm, "done", FAR)
        take(ledger, [reinstated("r1", "2021-01-01T12:00:00Z")], FAR)
        take(ledger, [terminated("t2", "2021-06-01T12:00:00Z")], FAR)
        # What the race leaves: a repetition under the epoch before, with live records.
        with ledger.transaction() as connection:
            connection.execute(
                update(tables.command)
                .where(tables.command.c.command_id == crm)
                .values(state="unsent", next_attempt_at=instant(FAR), settled_at=None)
            )
        bus.sent.clear()
        post(ledger, bus, later(FAR, hours=1))
        assert ("crm", "erase") not in {(one.system, one.value["action"]) for one in bus.sent}
        post(ledger, bus, later(FAR, hours=1))
        recall = command(ledger, system="crm", action="recall", state="sent")
        answer(ledger, recall, "recalled", later(FAR, hours=1))
        sweep(ledger, later(FAR, hours=1))
        found = commands(ledger, system="crm", action="erase")
        assert found == [("crm", "erase", "recalled"), ("crm", "erase", "unsent")]

    def test_what_is_cancelled_is_looked_at_again(self, ledger: Database) -> None:
        """It was written under an epoch that is over; what is still due is commanded anew."""
        joined, ended = "2020-01-01T12:00:00Z", "2020-06-01T12:00:00Z"
        take(ledger, [invoice("i1", joined), terminated("t1", ended)], FAR)
        sweep(ledger, FAR)
        crm = command(ledger, system="crm")
        with ledger.transaction() as connection:
            connection.execute(update(tables.command_clock).values(epoch=0))
        ledger.run_in_transaction(
            lambda connection: withdraw(connection, [crm], POLICY, instant(FAR))
        )
        sweep(ledger, FAR)
        assert commands(ledger, system="crm") == [
            ("crm", "erase", "cancelled"),
            ("crm", "erase", "unsent"),
        ]

    def test_what_is_closed_is_free_for_another_command(self, ledger: Database) -> None:
        """Once something makes the record due again, it is commanded again."""
        take(ledger, [feedback("f1", INVOICED)], INVOICED)
        sweep(ledger, FAR)
        post(ledger, Bus(), FAR)
        erasure = command(ledger)
        ledger.run_in_transaction(lambda c: close_command(c, erasure, instant(FAR)))
        assert sweep(ledger, later(FAR, days=1)) == []
        take(ledger, [hold("h1", INVOICED, "visitor:1")], FAR)
        take(ledger, [released("h2", "2024-03-16T00:00:00Z", "h1", "visitor:1")], FAR)
        sweep(ledger, later(FAR, days=1))
        assert commands(ledger) == [("website", "erase", "closed"), ("website", "erase", "unsent")]

    def test_a_hold_placed_and_released_ahead_of_time(self, ledger: Database) -> None:
        """Each time the command comes back it has an id of its own."""
        due, placed, freed = "2024-06-01T00:00:00Z", "2025-07-01T00:00:00Z", "2025-08-01T00:00:00Z"
        take(ledger, [feedback("f1", due)], due)
        take(
            ledger,
            [hold("h1", placed, "visitor:1"), released("h2", freed, "h1", "visitor:1")],
            due,
        )
        bus = Bus()
        for at in ("2025-06-15T00:00:00Z", "2025-07-02T00:00:00Z", "2025-08-02T00:00:00Z"):
            sweep(ledger, at)
            post(ledger, bus, at)
            for recall in rows(ledger, tables.command, action="recall", state="sent"):
                answer(ledger, recall.command_id, "recalled", at)
        sweep(ledger, "2025-08-03T00:00:00Z")
        post(ledger, bus, "2025-08-03T00:00:00Z")
        erasures = rows(ledger, tables.command, action="erase")
        assert sorted(row.state for row in erasures) == ["recalled", "sent"]
        sent = {one.value["command_id"] for one in bus.sent if one.value["action"] == "erase"}
        assert sent == {str(row.command_id) for row in erasures}

    def test_a_record_of_an_unreleased_import_is_asked_for_by_nobody(
        self, ledger: Database
    ) -> None:
        take(ledger, [feedback("f1", INVOICED)], INVOICED)
        sweep(ledger, FAR)
        with ledger.transaction() as connection:
            connection.execute(update(tables.record).values(backfill="history"))
        sent: list[CommandMessage] = []
        bus = Bus()
        leased = ledger.run_in_transaction(
            lambda c: lease(c, instant(FAR), PausedSystems(), limit=9)
        )
        ledger.run_in_transaction(
            lambda c: dispatch(c, leased, bus, POLICY, instant(FAR), RetryPolicy())
        )
        assert bus.sent == sent
