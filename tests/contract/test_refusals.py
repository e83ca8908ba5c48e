"""Only a controller's refusal is final; a refusal of a recall does not show that nothing was erased.

Each on SQLite and on PostgreSQL. The customer of most tests has ended on 1 June 2020 at 12:00Z, so that
R1 is due a lead time before 1 June 2022 at 12:00Z.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from services.deleter.acknowledgement import Status
from services.deleter.dispatch import lease
from services.deleter.escalation import close_command, escalate
from services.deleter.paused_systems import PausedSystems
from services.deleter.undeliverable import set_aside
from services.deleter.verification import verify_commands
from services.ledger import tables
from services.ledger.command_state import IllegalTransition
from services.operations.status import read_status
from services.storage.database import Database
from tests.contract.deleter_invariants import find_unlogged
from tests.contract.event_builders import feedback, invoice, order, reinstated, terminated
from tests.contract.ledgers import (
    POLICY,
    FakeBus,
    acknowledge,
    claim_all,
    find_command,
    instant,
    later,
    record_events,
    select_rows,
    send_due,
)
from tests.contract.test_emission import hold, hold_released

JOINED, ENDED, BACK = "2020-01-01T12:00:00Z", "2020-06-01T12:00:00Z", "2021-01-01T12:00:00Z"
ENDED_AGAIN, DUE, DUE_AGAIN = (
    "2021-06-01T12:00:00Z",
    "2022-05-31T12:00:00Z",
    "2023-05-31T12:00:00Z",
)
FAR = "2060-01-01T00:00:00Z"
UNHELPFUL: tuple[Status, ...] = ("refused", "failed", "partial", "nothing_held")


def command_row(ledger: Database, identity: UUID) -> Any:
    (command,) = select_rows(ledger, tables.command, command_id=identity)
    return command


def count_sent(bus: FakeBus, identity: UUID) -> int:
    """Return how often a command was sent."""
    return sum(command.value["command_id"] == str(identity) for command in bus.sent)


def send_recall(ledger: Database, bus: FakeBus) -> tuple[UUID, UUID]:
    """Send an erasure of crm, reinstate its customer, and send the recall."""
    record_events(ledger, [invoice("i1", JOINED), terminated("t1", ENDED)], DUE)
    claim_all(ledger, DUE)
    send_due(ledger, bus, DUE)
    record_events(ledger, [reinstated("r1", BACK)], DUE)
    send_due(ledger, bus, DUE)
    erasure = find_command(ledger, action="erase", system="crm")
    return erasure, find_command(ledger, action="recall", system="crm")


class TestRecalls:
    """Only `recalled` and `done` confirm a recall; only `already_done` shows that it was too late."""

    @pytest.mark.parametrize("status", UNHELPFUL)
    def test_an_ambiguous_answer_to_a_recall_does_not_end_it(
        self, ledger: Database, status: Status
    ) -> None:
        """The system may have erased it, or may still: the recall is repeated, with increasing waits."""
        bus = FakeBus()
        erasure, recall = send_recall(ledger, bus)
        acknowledge(ledger, recall, status, DUE)
        assert command_row(ledger, erasure).state == "recalling"
        assert (command_row(ledger, recall).state, command_row(ledger, recall).outcome) == (
            "sent",
            status,
        )
        assert claim_all(ledger, DUE) == []
        send_due(ledger, bus, later(DUE, seconds=59))
        assert count_sent(bus, recall) == 1
        send_due(ledger, bus, later(DUE, seconds=61))
        assert (count_sent(bus, recall), count_sent(bus, erasure)) == (2, 1)
        assert find_unlogged(ledger) == []

    def test_a_refused_recall_is_escalated_at_once(self, ledger: Database) -> None:
        """Recall and erasure are escalated without waiting for `acknowledge_within`."""
        erasure, recall = send_recall(ledger, FakeBus())
        acknowledge(ledger, recall, "refused", later(DUE, hours=1))
        assert command_row(ledger, erasure).escalated_at == instant("2022-05-31T13:00:00Z")
        assert command_row(ledger, recall).escalated_at == instant("2022-05-31T13:00:00Z")
        assert ledger.run_in_transaction(lambda c: escalate(c, POLICY, later(DUE, days=9))) == []

    @pytest.mark.parametrize("status", UNHELPFUL)
    def test_the_final_answer_to_a_recall_counts(self, ledger: Database, status: Status) -> None:
        """`recalled` frees the records, which are due again; `already_done` ends the erasure as done."""
        for number, (last, state) in enumerate(
            [("recalled", "recalled"), ("done", "recalled"), ("already_done", "acknowledged")], 1
        ):
            record_events(ledger, [invoice(f"i{number}", JOINED, customer=f"{number}")], DUE)
            record_events(ledger, [terminated(f"t{number}", ENDED, customer=f"{number}")], DUE)
            [erasure] = claim_all(ledger, DUE)
            send_due(ledger, FakeBus(), DUE)
            record_events(ledger, [reinstated(f"r{number}", BACK, customer=f"{number}")], DUE)
            send_due(ledger, FakeBus(), DUE)
            recall = find_command(ledger, action="recall", supersedes=erasure)
            acknowledge(ledger, recall, status, DUE)
            acknowledge(ledger, recall, last, later(DUE, hours=1))  # type: ignore[arg-type]
            assert (command_row(ledger, erasure).state, command_row(ledger, recall).state) == (
                state,
                "acknowledged",
            )

    def test_a_refusal_of_a_recalled_command_is_about_one_attempt(self, ledger: Database) -> None:
        """Of two attempts the first was refused; the second may still be carried out."""
        bus = FakeBus()
        record_events(ledger, [invoice("i1", JOINED), terminated("t1", ENDED)], DUE)
        [erasure] = claim_all(ledger, DUE)
        send_due(ledger, bus, DUE)
        send_due(ledger, bus, later(DUE, hours=1))
        record_events(ledger, [reinstated("r1", BACK)], DUE)
        send_due(ledger, bus, later(DUE, hours=1))
        acknowledge(ledger, erasure, "refused", later(DUE, hours=1))
        assert command_row(ledger, erasure).state == "recalling"
        acknowledge(ledger, erasure, "done", later(DUE, hours=2))
        assert command_row(ledger, erasure).state == "acknowledged"
        recall = find_command(ledger, action="recall", system="crm")
        assert command_row(ledger, recall).state == "acknowledged"

    def test_a_command_that_was_recalled_and_then_done_is_a_fault(self, ledger: Database) -> None:
        """The system contradicts itself about data under a hold, so an operator has to check it."""
        erasure, recall = send_recall(ledger, FakeBus())
        acknowledge(ledger, recall, "recalled", DUE)
        for identity, status in ((erasure, "done"), (recall, "already_done")):
            with pytest.raises(IllegalTransition):
                acknowledge(ledger, identity, status, DUE)  # type: ignore[arg-type]

    def test_giving_up_a_recall_closes_its_command_too(self, ledger: Database) -> None:
        """The operator who closes a recall also closes the erasure that it was about."""
        bus = FakeBus()
        erasure, recall = send_recall(ledger, bus)
        acknowledge(ledger, recall, "refused", DUE)
        ledger.run_in_transaction(lambda c: close_command(c, recall, instant(DUE)))
        assert (command_row(ledger, erasure).state, command_row(ledger, recall).state) == (
            "closed",
            "closed",
        )
        send_due(ledger, bus, later(DUE, days=9))
        assert count_sent(bus, recall) == 1
        assert find_unlogged(ledger) == []

    def test_a_recalled_command_that_kafka_refused_is_not_sent(self, ledger: Database) -> None:
        """An event revoked it while the bus refused it, so only its recall is sent from then on."""
        erasure, _ = send_recall(ledger, FakeBus())
        again = timedelta(hours=6)
        aside = ledger.run_in_transaction(
            lambda c: set_aside(c, erasure, "too large", instant(DUE), again)
        )
        assert (aside, command_row(ledger, erasure).next_attempt_at) == (None, None)

    def test_a_record_that_became_due_during_its_recall_is_rescanned(
        self, ledger: Database
    ) -> None:
        """The hold was released while the recall was out; no other scan would find the record free."""
        record_events(ledger, [feedback("f1", JOINED)], DUE)
        [erasure] = claim_all(ledger, DUE)
        send_due(ledger, FakeBus(), DUE)
        record_events(ledger, [hold("h1", DUE, "visitor:1")], DUE)
        claim_all(ledger, DUE)
        record_events(ledger, [hold_released("h2", DUE, "h1", "visitor:1")], DUE)
        assert claim_all(ledger, DUE) == []
        recall = find_command(ledger, action="recall")
        ledger.run_in_transaction(lambda c: close_command(c, recall, instant(DUE)))
        [again] = claim_all(ledger, DUE)
        assert (command_row(ledger, erasure).state, command_row(ledger, again).action) == (
            "closed",
            "erase",
        )


class TestRefusals:
    """A refusal by an own system or a processor is retried once a day, and the alarm stays on."""

    @pytest.fixture
    def erasures(self, ledger: Database) -> dict[str, UUID]:
        """An order's erasures, sent to orders (own) and psp (a controller); research has done it."""
        record_events(ledger, [order("o1", JOINED)], JOINED)
        claim_all(ledger, "2022-01-01T12:00:00Z")
        send_due(ledger, FakeBus(), "2022-01-01T12:00:00Z")
        acknowledge(ledger, find_command(ledger, system="research"), "done", "2022-01-01T12:00:00Z")
        return {system: find_command(ledger, system=system) for system in ("orders", "psp")}

    def test_a_refused_command_is_sent_again_after_a_day(
        self, ledger: Database, erasures: dict[str, UUID]
    ) -> None:
        """It is repeated each day after that; a controller's refusal is never repeated."""
        for command_id in erasures.values():
            acknowledge(ledger, command_id, "refused", "2022-01-02T12:00:00Z")
        bus = FakeBus()
        send_due(ledger, bus, "2022-01-03T11:59:59Z")
        assert bus.sent == []
        send_due(ledger, bus, "2022-01-03T12:00:00Z")
        assert [(command.system, command.value["attempt"]) for command in bus.sent] == [
            ("orders", 2)
        ]
        assert command_row(ledger, erasures["orders"]).state == "sent"
        acknowledge(ledger, erasures["orders"], "refused", "2022-01-03T13:00:00Z")
        send_due(ledger, bus, "2022-01-04T12:59:59Z")
        assert len(bus.sent) == 1
        send_due(ledger, bus, "2022-01-04T13:00:00Z")
        assert [(command.system, command.value["attempt"]) for command in bus.sent[1:]] == [
            ("orders", 3)
        ]
        assert find_unlogged(ledger) == []

    def test_the_alarm_of_a_refused_erasure_is_on_until_it_is_done(
        self, ledger: Database, erasures: dict[str, UUID]
    ) -> None:
        """It is on while the erasure is refused and while it is repeated, and no longer."""

        def escalated(at: str) -> dict[str, int]:
            with ledger.transaction() as connection:
                return dict(read_status(connection, POLICY, instant(at)).escalated)

        acknowledge(ledger, erasures["orders"], "refused", "2022-01-02T12:00:00Z")
        assert escalated("2022-01-02T12:00:00Z") == {"orders": 1}
        send_due(ledger, FakeBus(), "2022-01-03T12:00:00Z")
        assert escalated("2022-01-03T12:00:00Z") == {"orders": 1}
        result = acknowledge(ledger, erasures["orders"], "done", "2022-01-03T13:00:00Z")
        assert escalated("2022-01-03T13:00:00Z") == {}
        assert result.duration is not None
        assert result.duration.total_seconds() == 49 * 3600

    def test_a_controllers_refusal_ends_the_alarm_of_its_silence(
        self, ledger: Database, erasures: dict[str, UUID]
    ) -> None:
        """Its silence was an alarm, which its acknowledgement with a ground ends."""
        ledger.run_in_transaction(lambda c: escalate(c, POLICY, instant("2022-01-09T12:00:00Z")))
        acknowledge(ledger, erasures["psp"], "refused", "2022-01-09T13:00:00Z")
        acknowledge(ledger, erasures["orders"], "done", "2022-01-09T13:00:00Z")
        with ledger.transaction() as connection:
            assert read_status(connection, POLICY, instant("2022-01-10T12:00:00Z")).escalated == {}
        assert command_row(ledger, erasures["psp"]).settled_at == instant("2022-01-09T13:00:00Z")

    def test_a_refusal_that_is_not_final_completes_nothing(
        self, ledger: Database, erasures: dict[str, UUID]
    ) -> None:
        """It does not count as an acknowledgement in time, and its records must not be purged."""
        took = [
            acknowledge(ledger, command_id, "refused", "2022-01-02T12:00:00Z")
            for command_id in erasures.values()
        ]
        assert [acknowledgement.duration is None for acknowledgement in took] == [True, False]
        assert command_row(ledger, erasures["orders"]).settled_at is None

    def test_a_late_refusal_does_not_delay_the_next_attempt(
        self, ledger: Database, erasures: dict[str, UUID]
    ) -> None:
        """It arrives a second time under another id, half a day later."""
        acknowledge(ledger, erasures["orders"], "refused", "2022-01-02T12:00:00Z")
        acknowledge(ledger, erasures["orders"], "refused", "2022-01-03T00:00:00Z")
        bus = FakeBus()
        send_due(ledger, bus, "2022-01-03T12:00:00Z")
        assert count_sent(bus, erasures["orders"]) == 1

    def test_a_refused_verification_is_sent_again_after_a_day(self, ledger: Database) -> None:
        """Until the verification succeeds, its erasure is not proven."""
        record_events(ledger, [feedback("e1", JOINED)], JOINED)
        (erasure,) = claim_all(ledger, FAR)
        send_due(ledger, FakeBus(), FAR)
        acknowledge(ledger, erasure, "done", FAR)
        ledger.run_in_transaction(lambda c: verify_commands(c, POLICY, instant(FAR), limit=10))
        send_due(ledger, FakeBus(), FAR)
        check = find_command(ledger, action="verify")
        acknowledge(ledger, check, "refused", FAR)
        bus = FakeBus()
        send_due(ledger, bus, later(FAR, hours=23))
        assert bus.sent == []
        send_due(ledger, bus, later(FAR, hours=24))
        assert [command.value["action"] for command in bus.sent] == ["verify"]
        acknowledge(ledger, check, "nothing_held", later(FAR, hours=25))
        assert command_row(ledger, erasure).state == "erased"

    @pytest.mark.parametrize("leased", [False, True])
    def test_a_refused_command_is_recalled_when_it_is_no_longer_required(
        self, ledger: Database, leased: bool
    ) -> None:
        """Another attempt of it may be on its way, whatever the outbox knows."""
        record_events(ledger, [invoice("i1", JOINED), terminated("t1", ENDED)], DUE)
        [erasure] = claim_all(ledger, DUE)
        send_due(ledger, FakeBus(), DUE)
        acknowledge(ledger, erasure, "refused", DUE)
        if leased:
            at = later(DUE, days=1)
            assert ledger.run_in_transaction(lambda c: lease(c, at, PausedSystems(), limit=9)) == [
                erasure
            ]
        record_events(ledger, [reinstated("r1", BACK)], later(DUE, days=1))
        bus = FakeBus()
        send_due(ledger, bus, later(DUE, days=2))
        assert [command.value["action"] for command in bus.sent] == ["recall"]
        assert command_row(ledger, erasure).state == "recalling"
        acknowledge(ledger, find_command(ledger, action="recall"), "recalled", later(DUE, days=2))
        assert command_row(ledger, erasure).state == "recalled"
        assert find_unlogged(ledger) == []
