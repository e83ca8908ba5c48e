"""Verification: a system reads its data again after an erasure, and what is left is commanded again.

Each on SQLite and on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from services.deleter.acknowledgement import Checked
from services.deleter.deleter import Deleter
from services.deleter.dispatch import SentCommand
from services.deleter.escalation import close_command
from services.deleter.rate_cap import take_capacity
from services.deleter.verification import (
    NO_RESULT,
    VerificationResult,
    recommand_since,
    verify_commands,
)
from services.ledger import tables
from services.ledger.command_state import IllegalTransition
from services.policy.model import Policy
from services.storage.database import Database
from tests.contract.event_builders import (
    Event,
    event,
    feedback,
    invoice,
    order,
    reinstated,
    terminated,
    ticket,
)
from tests.contract.ledgers import (
    POLICY,
    FakeBus,
    acknowledge,
    claim_all,
    empty_database,
    find_command,
    instant,
    later,
    list_commands,
    record_events,
    run_as_role,
    select_rows,
    send_due,
)
from tests.contract.null_observer import NullObserver
from tests.effort import examples

JOINED = "2020-01-01T12:00:00Z"
ENDED = "2020-06-01T12:00:00Z"
BACK = "2022-06-10T12:00:00Z"
FAR = "2060-01-01T00:00:00Z"
DUE = "2022-05-31T12:00:00Z"


def verify(
    ledger: Database, now: str = FAR, policy: Policy = POLICY, limit: int = 100
) -> VerificationResult:
    """Return the result of writing verifications once."""
    return ledger.run_in_transaction(
        lambda connection: verify_commands(connection, policy, instant(now), limit=limit)
    )


def changed_policy(system: str, **values: object) -> Policy:
    """Return the shipped policy with one setting of a system changed."""
    systems = {**POLICY.systems, system: replace(POLICY.systems[system], **values)}  # type: ignore[arg-type]
    return replace(POLICY, systems=systems)


def command_summary(ledger: Database, identity: UUID) -> tuple[str, str, str]:
    """Return system, action and state of a command."""
    ((system, action, command),) = list_commands(ledger, command_id=identity)
    return system, action, command


def command_state(ledger: Database, identity: UUID) -> str:
    """Return the state of a command."""
    (row,) = select_rows(ledger, tables.command, command_id=identity)
    return str(row.state)


def active_commands(ledger: Database) -> set[UUID]:
    """Return the commands that their records belong to."""
    return {row.command_id for row in select_rows(ledger, tables.member, live=True)}


def send_and_complete(ledger: Database, bus: FakeBus) -> UUID:
    """Send an erasure of one record of the website, acknowledged as done."""
    record_events(ledger, [feedback("e1", JOINED)], JOINED)
    (identity,) = claim_all(ledger, FAR)
    send_due(ledger, bus, FAR)
    acknowledge(ledger, identity, "done", FAR, counts={"rows": 1})
    return identity


def send_check(ledger: Database, bus: FakeBus) -> tuple[UUID, UUID]:
    """Make the same erasure, and send its verification."""
    erasure = send_and_complete(ledger, bus)
    (check,) = verify(ledger).verifies
    send_due(ledger, bus, FAR)
    return erasure, check


class TestChecks:
    """A verification follows each erasure that a system reported as done."""

    def test_a_verification_has_the_records_of_its_erasure(self, ledger: Database) -> None:
        """The verification has the erasure's id and records, and erases nothing."""
        bus = FakeBus()
        erasure, check = send_check(ledger, bus)
        first, second = (command.value for command in bus.sent)
        assert (second["action"], second["verifies"]) == ("verify", "erase")
        assert (second["command_id"], second["supersedes"]) == (str(check), str(erasure))
        assert second["records"] == first["records"]
        assert second["subject"] == first["subject"]
        assert (second["erase_by"], second["not_before"]) == (None, None)
        assert second["article"] == "GDPR 5(2), 24(1)"
        assert second["seq"] > first["seq"]
        assert select_rows(ledger, tables.member, command_id=check) == []

    def test_an_erasure_has_one_verification(self, ledger: Database) -> None:
        """A repeated acknowledgement adds no second verification."""
        bus = FakeBus()
        erasure, _ = send_check(ledger, bus)
        acknowledge(ledger, erasure, "done", FAR)
        assert verify(ledger) == NO_RESULT

    @pytest.mark.parametrize("status", ["done", "nothing_held", "already_done"])
    def test_every_completed_erasure_is_verified(self, ledger: Database, status: str) -> None:
        """`nothing_held` is suspicious, and is verified all the same."""
        record_events(ledger, [feedback("e1", JOINED)], JOINED)
        (identity,) = claim_all(ledger, FAR)
        send_due(ledger, FakeBus(), FAR)
        result = acknowledge(ledger, identity, status, FAR)  # type: ignore[arg-type]
        assert result.is_unexpected is (status == "nothing_held")
        assert len(verify(ledger).verifies) == 1

    @pytest.mark.parametrize("status", ["partial", "failed", "refused"])
    def test_an_erasure_that_was_not_carried_out_is_not_verified(
        self, ledger: Database, status: str
    ) -> None:
        """Such a command is repeated, or left to an operator."""
        record_events(ledger, [feedback("e1", JOINED)], JOINED)
        (identity,) = claim_all(ledger, FAR)
        send_due(ledger, FakeBus(), FAR)
        acknowledge(ledger, identity, status, FAR)  # type: ignore[arg-type]
        assert verify(ledger) == NO_RESULT

    def test_a_verification_waits_as_long_as_the_policy_states(self, ledger: Database) -> None:
        """A replica or a backup of the system may need a while."""
        policy = changed_policy("website", verify_after="PT2H")
        record_events(ledger, [feedback("e1", JOINED)], JOINED)
        (identity,) = claim_all(ledger, FAR)
        send_due(ledger, FakeBus(), FAR)
        acknowledge(ledger, identity, "done", FAR, policy=policy)
        assert verify(ledger, "2060-01-01T01:59:59Z", policy) == NO_RESULT
        assert len(verify(ledger, "2060-01-01T02:00:00Z", policy).verifies) == 1

    def test_a_system_that_cannot_be_read_again_attests(self, ledger: Database) -> None:
        """Its acknowledgement is all there is, and is shown as attested only."""
        policy = changed_policy("website", reread="attested")
        record_events(ledger, [feedback("e1", JOINED)], JOINED)
        (identity,) = claim_all(ledger, FAR)
        send_due(ledger, FakeBus(), FAR)
        assert acknowledge(ledger, identity, "done", FAR, policy=policy).state == "attested"
        assert command_state(ledger, identity) == "attested"
        assert verify(ledger, policy=policy) == NO_RESULT
        assert claim_all(ledger, FAR) == []

    def test_a_controller_gets_no_verification(self, ledger: Database) -> None:
        """It was notified (GDPR 17(2), 19) and is itself responsible for what it keeps."""
        record_events(ledger, [order("e1", JOINED)], JOINED)
        identities = claim_all(ledger, DUE)
        send_due(ledger, FakeBus(), DUE)
        [psp] = select_rows(ledger, tables.command, system="psp", action="erase")
        assert psp.command_id in identities
        acknowledge(ledger, psp.command_id, "done", DUE)
        assert (command_state(ledger, psp.command_id), verify(ledger)) == (
            "acknowledged",
            NO_RESULT,
        )

    def test_a_restriction_is_not_verified(self, ledger: Database) -> None:
        """A restriction removes no data."""
        record_events(
            ledger, [ticket("e1", "2000-03-01T12:00:00Z", shared_with="research")], JOINED
        )
        (identity,) = claim_all(ledger, "2020-02-29T12:00:00Z")
        assert list_commands(ledger) == [("research", "restrict", "unsent")]
        send_due(ledger, FakeBus(), DUE)
        acknowledge(ledger, identity, "done", DUE)
        assert (command_state(ledger, identity), verify(ledger)) == ("acknowledged", NO_RESULT)

    def test_a_pseudonymisation_is_verified(self, ledger: Database) -> None:
        """What was pseudonymised may no longer be tied to the person."""
        bus = FakeBus()
        record_events(ledger, [order("e1", JOINED)], JOINED)
        claim_all(ledger, DUE)
        send_due(ledger, bus, DUE)
        commands = {row.command_id: row.action for row in select_rows(ledger, tables.command)}
        assert set(commands.values()) == {"erase", "pseudonymise"}
        for identity in commands:
            acknowledge(ledger, identity, "done", DUE)
        checks = verify(ledger, DUE).verifies
        about = {row.supersedes for row in select_rows(ledger, tables.command, action="verify")}
        assert {commands[command_id] for command_id in about} == {"erase", "pseudonymise"}
        send_due(ledger, bus, DUE)
        verifies = {
            command.value["verifies"] for command in bus.sent if command.value["action"] == "verify"
        }
        assert verifies == {"erase", "pseudonymise"}
        assert len(checks) == len(about)

    def test_the_verification_of_a_pseudonymised_record_names_no_person(
        self, ledger: Database
    ) -> None:
        """The repeated erasure names no person either, as the first did not (ruling 11 of the design)."""
        bus, first = FakeBus(), "2021-12-31T12:00:00Z"
        record_events(ledger, [order("o1", JOINED)], JOINED)
        claim_all(ledger, first)
        send_due(ledger, FakeBus(), first)
        for row in select_rows(ledger, tables.command):
            acknowledge(ledger, row.command_id, "done", first)
        claim_all(ledger, FAR)
        send_due(ledger, FakeBus(), FAR)
        erasure = find_command(ledger, system="research", action="erase")
        acknowledge(ledger, erasure, "done", FAR)
        verify(ledger)
        send_due(ledger, bus, FAR)
        acknowledge(
            ledger, find_command(ledger, supersedes=erasure), "done", FAR, counts={"rows": 1}
        )
        verify(ledger)
        send_due(ledger, bus, FAR)
        about = [command for command in bus.sent if command.value["supersedes"] == str(erasure)]
        assert [command.value["action"] for command in about] == ["verify", "erase"]
        assert [(command.key, command.value["subject"]) for command in about] == [("o1", None)] * 2

    def test_a_verification_is_repeated_until_it_is_acknowledged(self, ledger: Database) -> None:
        """A verification is repeated like every other command."""
        bus = FakeBus()
        _, check = send_check(ledger, bus)
        send_due(ledger, bus, later(FAR, days=1))
        assert [command.value["attempt"] for command in bus.sent] == [1, 1, 2]
        assert bus.sent[-1].value["command_id"] == str(check)

    def test_verifications_do_not_count_towards_the_cap(self, ledger: Database) -> None:
        """Verifications destroy nothing."""
        send_check(ledger, FakeBus())
        with ledger.transaction() as connection:
            assert take_capacity(connection, 10, "deleter").commands == 9

    def test_verifications_are_written_up_to_the_limit(self, ledger: Database) -> None:
        """The oldest are written first, and the rest in the next round."""
        record_events(
            ledger,
            [feedback(f"e{n}", later(JOINED, hours=n).isoformat()) for n in range(5)],
            JOINED,
        )
        identities = claim_all(ledger, FAR)
        send_due(ledger, FakeBus(), FAR)
        for identity in identities:
            acknowledge(ledger, identity, "done", FAR)
        looks = [verify(ledger, limit=2) for _ in range(4)]
        assert [result.handled for result in looks] == [2, 2, 1, 0]
        assert len({check for result in looks for check in result.verifies}) == 5


class RecordingObserver(NullObserver):
    """An observer that can fail the catch-up check, and keeps what was sent."""

    def __init__(self) -> None:
        self.spots: list[str] = []
        self.actions: list[str] = []

    def lagging_partitions(self) -> Sequence[str]:
        return self.spots

    def commands_sent(
        self, commands: Sequence[SentCommand], nothing_due_at: datetime | None
    ) -> None:
        self.actions += [command.action for command in commands]


class TestRounds:
    """The deleter's round writes verifications, and only while it has caught up."""

    def test_a_run_verifies_unless_it_waits_for_catch_up(self, ledger: Database) -> None:
        """A repeated erasure must not overtake an unread hold, so no verification is written."""
        seeing = RecordingObserver()
        deleter = Deleter(
            ledger=ledger,
            publisher=FakeBus(),
            catch_up_check=seeing,
            policy=POLICY,
            observer=seeing,
            now=lambda: datetime.now(UTC),
        )
        record_events(ledger, [feedback("e1", JOINED)], JOINED)
        deleter.run_once()
        assert seeing.actions == ["erase"]
        acknowledge(ledger, find_command(ledger), "done", JOINED)
        seeing.spots = ["orders.order-placed.v1[0]"]
        deleter.run_once()
        assert seeing.actions == ["erase"]
        seeing.spots = []
        deleter.run_once()
        assert seeing.actions == ["erase", "verify"]


class TestProof:
    """The result of a verification decides: the erasure is proven, or commanded again."""

    @pytest.mark.parametrize(
        ("status", "counts"),
        [("done", {"rows": 0}), ("done", {"a": 0, "b": 0}), ("nothing_held", {})],
    )
    def test_a_verification_that_finds_nothing_proves_the_erasure(
        self, ledger: Database, status: str, counts: dict[str, int]
    ) -> None:
        """The erasure is `erased`, and is not suspicious."""
        erasure, check = send_check(ledger, FakeBus())
        result = acknowledge(ledger, check, status, FAR, counts=counts)  # type: ignore[arg-type]
        assert (result.state, result.is_unexpected, result.reopened) == (
            "acknowledged",
            False,
            False,
        )
        assert (
            result.verified_after == timedelta()
        )  # commanded, carried out and checked at one instant
        assert (command_state(ledger, erasure), command_state(ledger, check)) == (
            "erased",
            "acknowledged",
        )
        assert verify(ledger) == NO_RESULT
        assert claim_all(ledger, FAR) == []

    def test_a_verification_without_counts_proves_nothing(self, ledger: Database) -> None:
        """A system that reports `done` to everything has not read its data, so it is asked again."""
        bus = FakeBus()
        erasure, check = send_check(ledger, bus)
        acknowledge(ledger, check, "done", FAR, counts={})
        assert (command_state(ledger, erasure), command_state(ledger, check)) == (
            "acknowledged",
            "sent",
        )
        assert [command.command_id for command in send_due(ledger, bus, later(FAR, days=1))] == [
            check
        ]

    @pytest.mark.parametrize("status", ["recalled", "already_done"])
    def test_an_acknowledgement_of_another_command_proves_nothing(
        self, ledger: Database, status: str
    ) -> None:
        """The acknowledgement of a recall does not prove an erasure."""
        erasure, check = send_check(ledger, FakeBus())
        with pytest.raises(IllegalTransition):
            acknowledge(ledger, check, status, FAR)  # type: ignore[arg-type]
        assert (command_state(ledger, erasure), command_state(ledger, check)) == (
            "acknowledged",
            "sent",
        )

    def test_data_that_is_still_there_is_commanded_again(self, ledger: Database) -> None:
        """The repetition has the same records, and a new id that names what it supersedes."""
        bus = FakeBus()
        erasure, check = send_check(ledger, bus)
        assert acknowledge(ledger, check, "done", FAR, counts={"rows": 1}).reopened
        assert command_state(ledger, erasure) == "reopened"
        assert active_commands(ledger) == {erasure}
        (again,) = verify(ledger).repeated
        assert again not in (erasure, check)
        assert active_commands(ledger) == {again}
        send_due(ledger, bus, FAR)
        value = bus.sent[-1].value
        assert (value["command_id"], value["action"]) == (str(again), "erase")
        assert (value["supersedes"], value["verifies"]) == (str(erasure), None)
        assert value["records"] == bus.sent[0].value["records"]
        assert value["reason"] == "it was still there when it was read again"
        assert value["seq"] > bus.sent[1].value["seq"]

    def test_erasure_and_verification_repeat_until_nothing_is_found(self, ledger: Database) -> None:
        """Each repetition is verified as the first erasure was, and has an id of its own."""
        bus = FakeBus()
        erasure, check = send_check(ledger, bus)
        command_ids = [erasure]
        for _ in range(3):
            acknowledge(ledger, check, "done", FAR, counts={"rows": 2})
            command_ids += verify(ledger).repeated
            send_due(ledger, bus, FAR)
            acknowledge(ledger, command_ids[-1], "nothing_held", FAR)
            (check,) = verify(ledger).verifies
            send_due(ledger, bus, FAR)
        acknowledge(ledger, check, "nothing_held", FAR)
        assert len(set(command_ids)) == 4
        assert [command_state(ledger, command_id) for command_id in command_ids] == [
            *["reopened"] * 3,
            "erased",
        ]
        assert active_commands(ledger) == {command_ids[-1]}

    def test_a_claim_between_finding_and_repetition_commands_nothing(
        self, ledger: Database
    ) -> None:
        """Between the finding and the repetition no other command may have the records."""
        _, check = send_check(ledger, FakeBus())
        acknowledge(ledger, check, "done", FAR, counts={"rows": 1})
        with ledger.transaction() as connection:
            connection.execute(tables.record.update().values(next_due=instant(FAR)))
        assert claim_all(ledger, FAR) == []
        assert len(verify(ledger).repeated) == 1

    @pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 0)])
    def test_the_first_result_of_a_verification_counts(
        self, ledger: Database, first: int, second: int
    ) -> None:
        """A second acknowledgement with another finding changes nothing."""
        erasure, check = send_check(ledger, FakeBus())
        acknowledge(ledger, check, "done", FAR, counts={"rows": first})
        before = command_state(ledger, erasure)
        assert not acknowledge(ledger, check, "done", FAR, counts={"rows": second}).reopened
        assert command_state(ledger, erasure) == before

    def test_a_late_answer_to_the_erasure_changes_nothing(self, ledger: Database) -> None:
        """A proven erasure stays proven, whatever the broker delivers again."""
        erasure, check = send_check(ledger, FakeBus())
        acknowledge(ledger, check, "nothing_held", FAR)
        acknowledge(ledger, erasure, "failed", FAR)
        assert command_state(ledger, erasure) == "erased"
        assert verify(ledger) == NO_RESULT

    def test_a_late_verification_still_proves_the_erasure(self, ledger: Database) -> None:
        """It counts however long the system takes, and however often it failed before."""
        erasure, check = send_check(ledger, FakeBus())
        acknowledge(ledger, check, "failed", FAR)
        acknowledge(ledger, check, "partial", later(FAR, days=400))
        assert command_state(ledger, erasure) == "acknowledged"
        acknowledge(ledger, check, "nothing_held", later(FAR, days=500))
        assert command_state(ledger, erasure) == "erased"

    def test_a_refused_verification_proves_nothing(self, ledger: Database) -> None:
        """It is escalated, and may still be acknowledged."""
        erasure, check = send_check(ledger, FakeBus())
        acknowledge(ledger, check, "refused", FAR)
        assert (command_state(ledger, erasure), command_state(ledger, check)) == (
            "acknowledged",
            "refused",
        )
        (row,) = select_rows(ledger, tables.command, command_id=check)
        assert row.escalated_at == instant(FAR)
        acknowledge(ledger, check, "nothing_held", FAR)
        assert command_state(ledger, erasure) == "erased"

    def test_a_verification_that_was_given_up_leaves_the_erasure_unproven(
        self, ledger: Database
    ) -> None:
        """The operator's decision is on record."""
        erasure, check = send_check(ledger, FakeBus())
        ledger.run_in_transaction(lambda connection: close_command(connection, check, instant(FAR)))
        acknowledge(ledger, check, "nothing_held", FAR)
        assert (command_state(ledger, erasure), command_state(ledger, check)) == (
            "acknowledged",
            "closed",
        )


def end_customer(ledger: Database, bus: FakeBus) -> UUID:
    """Have the crm carry out the erasure of an ended customer."""
    record_events(ledger, [invoice("i1", JOINED), terminated("t1", ENDED)], DUE)
    claim_all(ledger, DUE)
    send_due(ledger, bus, DUE)
    erasure = find_command(ledger, action="erase", system="crm")
    acknowledge(ledger, erasure, "done", DUE)
    return erasure


class TestClocks:
    """A clock change after an erasure does not undo it, and commands nothing more."""

    def test_a_customer_who_comes_back_does_not_stop_a_verification(self, ledger: Database) -> None:
        """The verification continues, and proves the erasure."""
        bus = FakeBus()
        erasure = end_customer(ledger, bus)
        record_events(ledger, [reinstated("r1", BACK)], BACK)
        assert command_state(ledger, erasure) == "acknowledged"
        (check,) = verify(ledger, BACK).verifies
        assert check in [command.command_id for command in send_due(ledger, bus, BACK)]
        acknowledge(ledger, check, "nothing_held", BACK)
        assert command_state(ledger, erasure) == "erased"

    def test_data_found_of_a_customer_who_came_back_is_kept(self, ledger: Database) -> None:
        """It is kept again, and is commanded by the customer's new end."""
        bus = FakeBus()
        erasure = end_customer(ledger, bus)
        (check,) = verify(ledger, DUE).verifies
        send_due(ledger, bus, DUE)
        record_events(ledger, [reinstated("r1", BACK)], BACK)
        acknowledge(ledger, check, "done", BACK, counts={"rows": 1})
        assert verify(ledger, BACK).repeated == ()
        assert claim_all(ledger, BACK) == []
        assert erasure not in active_commands(ledger)
        record_events(ledger, [terminated("t2", "2022-07-01T12:00:00Z")], "2022-07-01T12:00:00Z")
        claim_all(ledger, FAR)
        assert list_commands(ledger).count(("crm", "erase", "unsent")) == 1

    def test_data_found_after_a_corrected_end_is_commanded_by_the_new_end(
        self, ledger: Database
    ) -> None:
        """It is due under the new end as well: the facts decide again, and require the erasure."""
        bus = FakeBus()
        erasure = end_customer(ledger, bus)
        (check,) = verify(ledger, DUE).verifies
        send_due(ledger, bus, DUE)
        record_events(ledger, [terminated("t2", "2020-06-02T12:00:00Z")], BACK)
        claim_all(ledger, BACK)
        acknowledge(ledger, check, "done", BACK, counts={"rows": 1})
        assert verify(ledger, BACK).repeated == ()
        (again,) = claim_all(ledger, BACK)
        assert again != erasure
        assert command_summary(ledger, again) == ("crm", "erase", "unsent")

    def test_a_repeated_erasure_is_cancelled_by_a_clock_change(self, ledger: Database) -> None:
        """It depends on the same clocks as the erasure that it supersedes."""
        bus = FakeBus()
        end_customer(ledger, bus)
        (check,) = verify(ledger, DUE).verifies
        send_due(ledger, bus, DUE)
        acknowledge(ledger, check, "done", DUE, counts={"rows": 1})
        (again,) = verify(ledger, DUE).repeated
        record_events(ledger, [reinstated("r1", BACK)], BACK)
        assert command_state(ledger, again) == "cancelled"


def legal_hold(kind: str, id_: str, time: str) -> Event:
    """Return a hold on the visitor, placed or released."""
    more = {"ground": "legal_claim"} if kind == "placed" else {}
    return event(id_, f"privacy.hold-{kind}", time, subject="visitor:1", hold_id="h", **more)


class TestHolds:
    """A legal hold after an erasure protects only data that is still there."""

    PLACED = "2059-12-31T00:00:00Z"
    RELEASED = "2060-02-01T00:00:00Z"

    def test_a_hold_does_not_stop_a_verification(self, ledger: Database) -> None:
        """The verification is still sent and proves the erasure; nothing is recalled."""
        bus = FakeBus()
        erasure = send_and_complete(ledger, bus)
        record_events(ledger, [legal_hold("placed", "h1", self.PLACED)], FAR)
        claim_all(ledger, FAR)
        (check,) = verify(ledger).verifies
        assert [command.command_id for command in send_due(ledger, bus, FAR)] == [check]
        acknowledge(ledger, check, "nothing_held", FAR)
        assert command_state(ledger, erasure) == "erased"
        assert {row.action for row in select_rows(ledger, tables.command)} == {"erase", "verify"}

    def test_data_found_under_a_hold_is_kept_until_its_release(self, ledger: Database) -> None:
        """The repetition is cancelled before it is sent; after the release the facts decide again."""
        bus = FakeBus()
        _, check = send_check(ledger, bus)
        record_events(ledger, [legal_hold("placed", "h1", self.PLACED)], FAR)
        claim_all(ledger, FAR)
        acknowledge(ledger, check, "done", FAR, counts={"rows": 1})
        verify(ledger)
        assert send_due(ledger, bus, FAR) == []
        (recall,) = send_due(ledger, bus, FAR)
        assert recall.action == "recall"
        acknowledge(ledger, recall.command_id, "recalled", FAR)
        assert claim_all(ledger, FAR) == []
        record_events(ledger, [legal_hold("released", "h2", self.RELEASED)], self.RELEASED)
        claim_all(ledger, "2060-03-01T00:00:00Z")
        (again,) = send_due(ledger, bus, "2060-03-01T00:00:00Z")
        assert (again.action, again.system) == ("erase", "website")
        assert active_commands(ledger) == {again.command_id}


ANSWERS = st.sampled_from(["clean", "found", "failed", "done"])


@hypothesis_settings(
    max_examples=examples(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(ANSWERS, max_size=12))
def test_however_verifications_are_answered_one_command_has_the_record(
    shared_ledger: Database, answers: list[str]
) -> None:
    """What is `erased` was verified as clean, and no record has two outstanding commands."""
    ledger = empty_database(shared_ledger)
    bus = FakeBus()
    record_events(ledger, [feedback("e1", JOINED)], JOINED)
    claim_all(ledger, FAR)
    at = instant(FAR)
    for number, answer in enumerate(answers):
        at += timedelta(days=1)
        send_due(ledger, bus, at)
        rows = select_rows(ledger, tables.command, state="sent")
        assert len(rows) <= 1
        for row in rows:
            if answer == "failed":
                acknowledge(ledger, row.command_id, "failed", at, id=f"a{number}")
            elif row.action == "verify":
                counts = {"rows": int(answer == "found")} if answer != "done" else {}
                acknowledge(ledger, row.command_id, "done", at, id=f"a{number}", counts=counts)
            else:
                acknowledge(ledger, row.command_id, "done", at, id=f"a{number}")
        ledger.run_in_transaction(partial(verify_commands, policy=POLICY, now=at, limit=10))
        assert len(active_commands(ledger)) == 1
    clean = select_rows(ledger, tables.command, state="erased")
    assert len(clean) <= 1
    assert not clean or select_rows(ledger, tables.command, state="sent") == []


class TestRestored:
    """A system restored from a backup repeats what it has done since the backup."""

    def test_erasures_proven_since_a_backup_are_commanded_under_another_id(
        self, ledger: Database
    ) -> None:
        """It has the same records, the id that it supersedes, and the reason."""
        record_events(ledger, [feedback("e1", JOINED)], JOINED)
        (first,) = claim_all(ledger, FAR)
        send_due(ledger, FakeBus(), FAR)
        acknowledge(ledger, first, "done", FAR)
        (check,) = verify(ledger).verifies
        send_due(ledger, FakeBus(), FAR)
        acknowledge(ledger, check, "done", FAR, counts={"rows": 0})
        assert (
            ledger.run_in_transaction(
                lambda c: recommand_since(c, "website", instant(FAR), instant(FAR))
            )
            == 1
        )
        (again,) = verify(ledger).repeated
        (row,) = select_rows(ledger, tables.command, command_id=again)
        assert (row.supersedes, row.action, row.state) == (first, "erase", "unsent")
        (wording,) = select_rows(ledger, tables.wording, wording_id=row.wording_id)
        assert wording.reason == "the system was restored from a backup"
        live = select_rows(ledger, tables.member, live=True, step="erase")
        assert [live_row.command_id for live_row in live] == [again]

    def test_erasures_from_before_the_backup_and_of_other_systems_are_not_repeated(
        self, ledger: Database
    ) -> None:
        """The backup contains its result already."""
        record_events(ledger, [feedback("e1", JOINED)], JOINED)
        (first,) = claim_all(ledger, FAR)
        send_due(ledger, FakeBus(), FAR)
        acknowledge(ledger, first, "done", FAR)
        after = later(FAR, seconds=1)
        assert ledger.run_in_transaction(lambda c: recommand_since(c, "website", after, after)) == 0
        assert (
            ledger.run_in_transaction(lambda c: recommand_since(c, "crm", instant(JOINED), after))
            == 0
        )

    def test_an_answer_under_way_at_the_restore_proves_nothing(self, ledger: Database) -> None:
        """It is about what was carried out before, and the backup has brought the data back."""
        first = self.erase_at_the_restore(ledger)
        read = Checked(records=1, found={"rows": 0})
        acknowledge(ledger, first, "done", FAR, counts={"rows": 1}, checked=read)
        assert command_state(ledger, first) == "reopened"
        (again,) = verify(ledger).repeated
        (row,) = select_rows(ledger, tables.command, command_id=again)
        assert (row.supersedes, row.state) == (first, "unsent")
        (wording,) = select_rows(ledger, tables.wording, wording_id=row.wording_id)
        assert wording.reason == "the system was restored from a backup"
        send_due(ledger, FakeBus(), FAR)
        acknowledge(ledger, again, "done", FAR, counts={"rows": 1}, checked=read)
        assert command_state(ledger, again) in ("erased", "acknowledged")

    def test_a_recall_that_came_too_late_for_a_restored_system_leaves_it_open(
        self, ledger: Database
    ) -> None:
        """The backup has brought the data back; after the hold its erasure is due again."""
        first = self.erase_at_the_restore(ledger)
        hold = {"subject": "visitor:1", "hold_id": "h"}
        placed = event("h", "privacy.hold-placed", FAR, **hold, ground="legal_claim")
        record_events(ledger, [placed], FAR)
        claim_all(ledger, FAR)
        send_due(ledger, FakeBus(), FAR)
        recall = find_command(ledger, action="recall")
        acknowledge(ledger, recall, "already_done", FAR)
        assert command_state(ledger, first) == "reopened"
        (again,) = verify(ledger).repeated
        send_due(ledger, FakeBus(), FAR)  # the hold has it recalled: it was about to be sent
        assert command_state(ledger, again) == "recalling"
        send_due(ledger, FakeBus(), FAR)
        acknowledge(
            ledger, find_command(ledger, action="recall", supersedes=again), "recalled", FAR
        )
        released = event("r", "privacy.hold-released", "2060-01-02T00:00:00Z", **hold)
        record_events(ledger, [released], "2060-01-02T00:00:00Z")
        (last,) = claim_all(ledger, "2060-01-02T00:00:00Z")
        assert command_summary(ledger, last) == ("website", "erase", "unsent")

    def test_a_command_that_was_not_sent_before_the_restore_is_believed(
        self, ledger: Database
    ) -> None:
        record_events(ledger, [feedback("e1", JOINED)], JOINED)
        (first,) = claim_all(ledger, FAR)
        ledger.run_in_transaction(
            lambda c: recommand_since(c, "website", instant(JOINED), instant(FAR))
        )
        send_due(ledger, FakeBus(), FAR)
        acknowledge(ledger, first, "done", FAR, counts={"rows": 1})
        assert command_state(ledger, first) == "acknowledged"

    def erase_at_the_restore(self, ledger: Database) -> UUID:
        """Send an erasure of one record of the website, which is restored before it has answered."""
        record_events(ledger, [feedback("e1", JOINED)], JOINED)
        (first,) = claim_all(ledger, FAR)
        send_due(ledger, FakeBus(), FAR)
        run_as_role(
            ledger,
            "operators",
            lambda c: recommand_since(c, "website", instant(JOINED), instant(FAR)),
        )
        assert command_state(ledger, first) == "sent"
        return first

    def test_restrictions_and_lifts_are_repeated_in_their_order(self, ledger: Database) -> None:
        """A record restricted and lifted since the backup must end up free."""
        acts = [
            event(
                "no",
                "privacy.objection-raised",
                JOINED,
                subject="consumer:1",
                purpose="internal_research",
                objection_id="O1",
            )
        ]
        record_events(ledger, [order("e1", JOINED), *acts], JOINED)
        (restrict,) = [
            command_id
            for command_id in claim_all(ledger, JOINED)
            if command_action(ledger, command_id) == "restrict"
        ]
        send_due(ledger, FakeBus(), JOINED)
        acknowledge(ledger, restrict, "done", JOINED)
        decided = event(
            "decided",
            "privacy.objection-decided",
            "2020-01-02T12:00:00Z",
            subject="consumer:1",
            purpose="internal_research",
            objection_id="O1",
            outcome="rejected",
        )
        record_events(ledger, [decided], "2020-01-02T12:00:00Z")
        (lift,) = claim_all(ledger, "2020-01-02T12:00:00Z")
        send_due(ledger, FakeBus(), "2020-01-02T12:00:00Z")
        acknowledge(ledger, lift, "done", "2020-01-02T12:00:00Z")
        at = instant("2020-01-03T12:00:00Z")
        assert (
            ledger.run_in_transaction(lambda c: recommand_since(c, "research", instant(JOINED), at))
            == 2
        )
        again = verify(ledger, "2020-01-03T12:00:00Z").repeated
        by_seq = sorted(
            (row.seq, row.action)
            for row in select_rows(ledger, tables.command)
            if row.command_id in again
        )
        assert [action for _, action in by_seq] == ["restrict", "lift"]


def command_action(ledger: Database, identity: UUID) -> str:
    (row,) = select_rows(ledger, tables.command, command_id=identity)
    return str(row.action)
