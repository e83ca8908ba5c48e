"""A command is sent only if facts and active policy still require it, whatever happened since the claim.

Each on SQLite and on PostgreSQL. The wrong policy of these tests keeps financial records (R5) for one
year instead of seven: an invoice of 15 March 2024 may then be erased from 1 January 2026 on, and by the
right policy not before 1 January 2032.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from services.deleter import activation
from services.deleter.deleter import Deleter, DeleterLimits
from services.deleter.dispatch import RetryPolicy, dispatch, lease
from services.deleter.emission import cancel_unwanted
from services.deleter.escalation import close_command
from services.deleter.message import CommandMessage
from services.deleter.paused_systems import PausedSystems
from services.ledger import active_policy, tables
from services.ledger.active_policy import PolicyMismatch
from services.ledger.recording import record
from services.policy.model import Policy
from services.storage import pause
from services.storage.database import Database
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
    POLICY,
    FakeBus,
    acknowledge,
    claim_all,
    find_command,
    instant,
    later,
    list_commands,
    record_events,
    select_rows,
    send_due,
)
from tests.contract.null_observer import NullObserver

INVOICED = "2024-03-15T13:00:00Z"
RIGHT = POLICY
WRONG = replace(
    POLICY,
    version="a wrong one",
    rules={**POLICY.rules, "R5": replace(POLICY.rules["R5"], term="P1Y")},
)
FAR = "2060-01-01T00:00:00Z"


def old_order() -> Event:
    """Return an order of consumer 7 whose term is over."""
    return event(
        *("o1", "orders.order-placed", "2020-03-15T13:00:00Z"),
        order_id="o1",
        customer_id="1",
        consumer_id="7",
    )


def objection() -> Event:
    """Return consumer 7's objection to a legitimate interest, which is restricted until decided."""
    return event(
        *("x1", "privacy.objection-raised", "2026-01-15T13:00:00Z"),
        subject="consumer:7",
        purpose="service_delivery",
        objection_id="x1",
    )


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Environment(NullObserver):
    """A ledger with a deleter whose catch-up check can fail, and the commands that it has sent."""

    ledger: Database
    bus: FakeBus = field(default_factory=FakeBus)
    spots: list[str] = field(default_factory=list)
    deleter: Deleter = field(init=False)

    def __post_init__(self) -> None:
        self.restart(RIGHT)

    def restart(self, policy: Policy, cap: int = 100_000) -> None:
        """Start a deleter with this policy."""
        self.deleter = Deleter(
            ledger=self.ledger,
            publisher=self.bus,
            catch_up_check=self,
            policy=policy,
            observer=self,
            now=utc_now,
            limits=DeleterLimits(commands_per_hour=cap, protect_every=timedelta()),
            retry_policy=RetryPolicy(base=timedelta(), cap=timedelta()),
        )

    def record_events(self, events: Sequence[Event], policy: Policy = RIGHT) -> None:
        """Record these events."""
        arrivals = [arrival(event, policy) for event in events]

        def work(connection):  # type: ignore[no-untyped-def]
            active_policy.require_active(connection, policy, utc_now())
            return record(connection, arrivals, policy, utc_now())

        self.ledger.run_in_transaction(work)

    def activate(self, policy: Policy) -> None:
        """Activate a policy as an operator does, and start the deleter with it."""
        self.ledger.run_in_transaction(lambda c: activation.activate(c, policy, utc_now()))
        self.restart(policy)

    def set_pause(self, scope: str, state: pause.State) -> None:
        """Pause, drain or resume as an operator does."""
        with self.ledger.transaction() as connection:
            pause.set_pause_state(connection, scope, state, operator="o", reason="r", now=utc_now())

    def run_rounds(self, count: int = 3) -> list[tuple[str, str]]:
        """Run these rounds and return what they send: system and action, sorted."""
        before = len(self.bus.sent)
        for _ in range(count):
            self.deleter.run_once()
        return sorted(
            (command.system, command.value["action"]) for command in self.bus.sent[before:]
        )

    def lagging_partitions(self) -> Sequence[str]:
        return self.spots


@pytest.fixture
def environment(ledger: Database) -> Environment:
    return Environment(ledger)


def hold(id_: str, time: str, customer: str = "customer:1") -> Event:
    return event(
        id_, "privacy.hold-placed", time, subject=customer, hold_id=id_, ground="legal_claim"
    )


def hold_released(id_: str, time: str, hold_id: str, customer: str = "customer:1") -> Event:
    return event(id_, "privacy.hold-released", time, subject=customer, hold_id=hold_id)


class TestACorrectedPolicy:
    """What only the wrong policy required is not sent, and what was sent is recalled."""

    def test_what_lies_in_the_outbox_is_cancelled(self, environment: Environment) -> None:
        environment.restart(WRONG)
        environment.set_pause("system:accounting", "paused")
        environment.record_events([invoice("i1", INVOICED)], WRONG)
        assert environment.run_rounds() == []
        assert list_commands(environment.ledger) == [("accounting", "erase", "unsent")]
        environment.activate(RIGHT)
        environment.set_pause("system:accounting", "running")
        assert environment.run_rounds() == []
        assert list_commands(environment.ledger) == [("accounting", "erase", "cancelled")]

    def test_what_is_out_is_recalled_and_not_repeated(self, environment: Environment) -> None:
        environment.restart(WRONG)
        environment.record_events([invoice("i1", INVOICED)], WRONG)
        assert ("accounting", "erase") in environment.run_rounds(1)
        environment.activate(RIGHT)
        assert set(environment.run_rounds()) == {("accounting", "recall")}

    @pytest.mark.parametrize("dropped", ["unsent", "sent"])
    def test_emission_itself_asks_the_policy(self, environment: Environment, dropped: str) -> None:
        """This holds even where activation has cancelled nothing."""
        environment.restart(WRONG)
        environment.set_pause("system:accounting", "paused" if dropped == "unsent" else "running")
        environment.record_events([invoice("i1", INVOICED)], WRONG)
        environment.run_rounds(1)
        with environment.ledger.transaction() as connection:
            active_policy.activate(connection, RIGHT, utc_now())
            connection.execute(update(tables.record).values(next_due=None))
        environment.set_pause("system:accounting", "running")
        environment.restart(RIGHT)
        assert ("accounting", "erase") not in environment.run_rounds()
        assert select_rows(environment.ledger, tables.command, action="erase")[0].state in (
            "cancelled",
            "recalling",
        )

    def test_a_deleter_with_the_old_policy_sends_nothing_more(
        self, environment: Environment
    ) -> None:
        """It has leased the command already."""
        environment.restart(WRONG)
        environment.set_pause("system:accounting", "paused")
        environment.record_events([invoice("i1", INVOICED)], WRONG)
        environment.run_rounds()
        environment.set_pause("system:accounting", "running")
        old = environment.deleter
        leased = old.sender.lease(PausedSystems(), None)
        assert len(leased) == 1
        environment.activate(RIGHT)
        with pytest.raises(PolicyMismatch):
            old.sender.send(leased)
        with pytest.raises(PolicyMismatch):
            old.sender.lease(PausedSystems(), None)
        assert environment.bus.sent == []

    def test_what_the_old_policy_asked_for_can_be_asked_for_again(
        self, environment: Environment
    ) -> None:
        """The command has another id, since the first was cancelled."""
        environment.restart(WRONG)
        environment.set_pause("system:accounting", "paused")
        environment.record_events([invoice("i1", INVOICED)], WRONG)
        environment.run_rounds()
        environment.activate(RIGHT)
        environment.activate(replace(WRONG, version="wrong once more"))
        environment.set_pause("system:accounting", "running")
        assert set(environment.run_rounds(1)) == {("accounting", "erase")}
        assert list_commands(environment.ledger) == [
            ("accounting", "erase", "cancelled"),
            ("accounting", "erase", "sent"),
        ]

    def test_what_both_policies_ask_for_stays(self, environment: Environment) -> None:
        environment.restart(WRONG)
        environment.set_pause("system:website", "paused")
        environment.record_events([feedback("f1", INVOICED)], WRONG)
        environment.run_rounds()
        environment.activate(RIGHT)
        environment.set_pause("system:website", "running")
        assert set(environment.run_rounds(1)) == {("website", "erase")}
        assert list_commands(environment.ledger) == [("website", "erase", "sent")]


class TestBlindness:
    """While a message may be unread, only commands that break no guarantee are sent."""

    @pytest.mark.parametrize("scope", ["system:website", "deleter"])
    def test_what_was_stopped_waits_until_the_hold_is_read(
        self, environment: Environment, scope: str
    ) -> None:
        environment.set_pause("system:website", "paused")
        environment.record_events([feedback("f1", INVOICED)])
        environment.run_rounds()
        environment.set_pause(scope, "paused")
        environment.spots = ["privacy.hold-placed.v1[0]"]
        environment.set_pause(scope, "running")
        environment.set_pause("system:website", "running")
        assert environment.run_rounds() == []
        environment.record_events([hold("h1", INVOICED, "visitor:1")])
        environment.spots = []
        assert environment.run_rounds() == []
        assert list_commands(environment.ledger) == [("website", "erase", "cancelled")]

    @pytest.mark.parametrize("state", ["running", "drained"])
    def test_a_repetition_waits_too(self, environment: Environment, state: pause.State) -> None:
        environment.record_events([feedback("f1", INVOICED)])
        assert set(environment.run_rounds()) == {("website", "erase")}
        environment.set_pause("deleter", state)
        environment.spots = ["privacy.hold-placed.v1[0]"]
        assert environment.run_rounds() == []
        environment.spots = []
        assert set(environment.run_rounds()) == {("website", "erase")}

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
    def test_what_may_leave(self, environment: Environment, action: str, leaves: bool) -> None:
        """The outbox has one command of each action."""
        environment.record_events([feedback("f1", INVOICED)])
        assert set(environment.run_rounds(1)) == {("website", "erase")}
        (first,) = select_rows(environment.ledger, tables.command)
        environment.spots = ["privacy.hold-placed.v1[0]"]
        with environment.ledger.transaction() as connection:
            connection.execute(
                update(tables.command).values(action=action, supersedes=first.command_id)
            )
        assert bool(environment.run_rounds()) is leaves


class TestWhatProtects:
    """Recalls and restrictions are sent, whatever blocks the other commands."""

    @pytest.mark.parametrize("stop", ["paused", "drained", "system", "blind", "cap"])
    def test_a_hold_recalls_what_is_out(self, environment: Environment, stop: str) -> None:
        """This holds even where the scan that finds it must run while nothing is claimed."""
        environment.record_events([feedback("f1", INVOICED)])
        assert set(environment.run_rounds(1)) == {("website", "erase")}
        self.stop(environment, stop)
        environment.record_events([hold("h1", INVOICED, "visitor:1")])
        assert set(environment.run_rounds()) == {("website", "recall")}

    @pytest.mark.parametrize("stop", ["paused", "drained", "system", "blind", "cap"])
    def test_an_objection_restricts(self, environment: Environment, stop: str) -> None:
        """A purpose that rests on legitimate interest is restricted until it is decided."""
        recently = (utc_now() - timedelta(days=30)).isoformat()
        order = event(
            *("o1", "orders.order-placed", recently),
            order_id="o1",
            customer_id="1",
            consumer_id="7",
        )
        environment.record_events([order])
        assert environment.run_rounds() == []
        self.stop(environment, stop, system="psp")
        objection = event(
            *("x1", "privacy.objection-raised", recently),
            subject="consumer:7",
            purpose="service_delivery",
            objection_id="x1",
        )
        environment.record_events([objection])
        assert ("psp", "restrict") in environment.run_rounds()

    @pytest.mark.parametrize("stop", ["paused", "drained", "system", "blind"])
    def test_an_objection_restricts_while_an_erasure_lies_in_the_outbox(
        self, environment: Environment, stop: str
    ) -> None:
        """The erasure would make the restriction needless, but it is blocked here."""
        environment.set_pause("system:psp", "paused")
        environment.record_events([old_order()])
        assert ("psp", "erase") not in environment.run_rounds()
        assert ("psp", "erase", "unsent") in list_commands(environment.ledger)
        self.stop(environment, stop, system="psp")
        environment.record_events([objection()])
        assert ("psp", "restrict") in environment.run_rounds()
        environment.set_pause("system:psp", "running")
        environment.set_pause("deleter", "running")
        environment.spots = []
        assert ("psp", "erase") in environment.run_rounds()

    def test_what_is_restricted_and_due_at_once_is_looked_at_again(
        self, environment: Environment
    ) -> None:
        """The erasure that makes it needless has not been sent a minute later."""
        environment.set_pause("system:psp", "paused")
        environment.record_events([old_order(), objection()])
        assert "restrict" not in {action for _, action in environment.run_rounds()}
        claim_all(environment.ledger, later(utc_now().isoformat(), seconds=61))
        restrictions = [
            command for command in list_commands(environment.ledger) if command[1] == "restrict"
        ]
        assert restrictions == [("psp", "restrict", "unsent")]

    def stop(self, environment: Environment, stop: str, system: str = "website") -> None:
        if stop == "blind":
            environment.spots = ["website.feedback-given.v1[0]"]
        elif stop == "cap":
            environment.restart(RIGHT, cap=1)
            environment.record_events(
                [feedback(f"f{day}", f"2024-02-0{day}T00:00:00Z") for day in (2, 3, 4)]
            )
            environment.run_rounds(3)
            with environment.ledger.transaction() as connection:
                assert pause.pause_state(connection, "deleter") == "paused"
            environment.bus.sent.clear()
        elif stop == "system":
            environment.set_pause(f"system:{system}", "paused")
        else:
            environment.set_pause("deleter", stop)  # type: ignore[arg-type]

    def test_a_pause_keeps_what_destroys(self, environment: Environment) -> None:
        """An erasure that a privacy event made due is not claimed during the pause."""
        environment.set_pause("deleter", "paused")
        environment.record_events([feedback("f1", INVOICED)])
        withdrawal = event(
            *("w1", "privacy.consent-withdrawn", INVOICED),
            subject="visitor:1",
            purpose="website_experience",
        )
        environment.record_events([withdrawal])
        assert environment.run_rounds() == []
        assert list_commands(environment.ledger) == []


class TestWhatIsDropped:
    """A command that may not be sent any longer is cancelled, and its records are rescanned."""

    def test_a_repetition_of_an_epoch_that_is_over_blocks_nothing(self, ledger: Database) -> None:
        """The clock changed between the check of its epoch and the repetition."""
        bus = FakeBus()
        joined, ended = "2020-01-01T12:00:00Z", "2020-06-01T12:00:00Z"
        record_events(ledger, [invoice("i1", joined), terminated("t1", ended)], FAR)
        claim_all(ledger, FAR)
        send_due(ledger, bus, FAR)
        crm = find_command(ledger, system="crm")
        acknowledge(ledger, crm, "done", FAR)
        record_events(ledger, [reinstated("r1", "2021-01-01T12:00:00Z")], FAR)
        record_events(ledger, [terminated("t2", "2021-06-01T12:00:00Z")], FAR)
        # What the race leaves: a repetition under the epoch before, with live records.
        with ledger.transaction() as connection:
            connection.execute(
                update(tables.command)
                .where(tables.command.c.command_id == crm)
                .values(state="unsent", next_attempt_at=instant(FAR), settled_at=None)
            )
        bus.sent.clear()
        send_due(ledger, bus, later(FAR, hours=1))
        assert ("crm", "erase") not in {
            (command.system, command.value["action"]) for command in bus.sent
        }
        send_due(ledger, bus, later(FAR, hours=1))
        recall = find_command(ledger, system="crm", action="recall", state="sent")
        acknowledge(ledger, recall, "recalled", later(FAR, hours=1))
        claim_all(ledger, later(FAR, hours=1))
        commands = list_commands(ledger, system="crm", action="erase")
        assert commands == [("crm", "erase", "recalled"), ("crm", "erase", "unsent")]

    def test_what_is_cancelled_is_looked_at_again(self, ledger: Database) -> None:
        """It was written under an old epoch, and what is still due is commanded again."""
        joined, ended = "2020-01-01T12:00:00Z", "2020-06-01T12:00:00Z"
        record_events(ledger, [invoice("i1", joined), terminated("t1", ended)], FAR)
        claim_all(ledger, FAR)
        crm = find_command(ledger, system="crm")
        with ledger.transaction() as connection:
            connection.execute(update(tables.command_clock).values(epoch=0))
        ledger.run_in_transaction(
            lambda connection: cancel_unwanted(connection, [crm], POLICY, instant(FAR))
        )
        claim_all(ledger, FAR)
        assert list_commands(ledger, system="crm") == [
            ("crm", "erase", "cancelled"),
            ("crm", "erase", "unsent"),
        ]

    def test_what_is_closed_is_free_for_another_command(self, ledger: Database) -> None:
        """When the record is due again, it is commanded again."""
        record_events(ledger, [feedback("f1", INVOICED)], INVOICED)
        claim_all(ledger, FAR)
        send_due(ledger, FakeBus(), FAR)
        erasure = find_command(ledger)
        ledger.run_in_transaction(lambda c: close_command(c, erasure, instant(FAR)))
        assert claim_all(ledger, later(FAR, days=1)) == []
        record_events(ledger, [hold("h1", INVOICED, "visitor:1")], FAR)
        record_events(ledger, [hold_released("h2", "2024-03-16T00:00:00Z", "h1", "visitor:1")], FAR)
        claim_all(ledger, later(FAR, days=1))
        assert list_commands(ledger) == [
            ("website", "erase", "closed"),
            ("website", "erase", "unsent"),
        ]

    def test_a_hold_placed_and_released_ahead_of_time(self, ledger: Database) -> None:
        """Each time the record is commanded, the command has an id of its own."""
        due, placed, freed = "2024-06-01T00:00:00Z", "2025-07-01T00:00:00Z", "2025-08-01T00:00:00Z"
        record_events(ledger, [feedback("f1", due)], due)
        record_events(
            ledger,
            [hold("h1", placed, "visitor:1"), hold_released("h2", freed, "h1", "visitor:1")],
            due,
        )
        bus = FakeBus()
        for at in ("2025-06-15T00:00:00Z", "2025-07-02T00:00:00Z", "2025-08-02T00:00:00Z"):
            claim_all(ledger, at)
            send_due(ledger, bus, at)
            for recall in select_rows(ledger, tables.command, action="recall", state="sent"):
                acknowledge(ledger, recall.command_id, "recalled", at)
        claim_all(ledger, "2025-08-03T00:00:00Z")
        send_due(ledger, bus, "2025-08-03T00:00:00Z")
        erasures = select_rows(ledger, tables.command, action="erase")
        assert sorted(row.state for row in erasures) == ["recalled", "sent"]
        command_ids = {
            command.value["command_id"]
            for command in bus.sent
            if command.value["action"] == "erase"
        }
        assert command_ids == {str(row.command_id) for row in erasures}

    def test_a_record_of_an_unreleased_import_is_asked_for_by_nobody(
        self, ledger: Database
    ) -> None:
        record_events(ledger, [feedback("f1", INVOICED)], INVOICED)
        claim_all(ledger, FAR)
        with ledger.transaction() as connection:
            connection.execute(update(tables.record).values(backfill="history"))
        sent: list[CommandMessage] = []
        bus = FakeBus()
        leased = ledger.run_in_transaction(
            lambda c: lease(c, instant(FAR), PausedSystems(), limit=9)
        )
        ledger.run_in_transaction(
            lambda c: dispatch(c, leased, bus, POLICY, instant(FAR), RetryPolicy())
        )
        assert bus.sent == sent
