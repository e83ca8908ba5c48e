"""Proving: what a system says it has erased is read again, and what is left is commanded again.

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

from services.deleter.deleter import Deleter
from services.deleter.dispatch import SentCommand
from services.deleter.rate_cap import first_sent_since
from services.deleter.settlement import close_command
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
from tests.contract.arrivals import (
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
    Bus,
    answer,
    command,
    commands,
    emptied,
    instant,
    later,
    post,
    rows,
    sweep,
    take,
)
from tests.contract.silent import Silent
from tests.effort import examples

JOINED = "2020-01-01T12:00:00Z"
ENDED = "2020-06-01T12:00:00Z"
BACK = "2022-06-10T12:00:00Z"
FAR = "2060-01-01T00:00:00Z"
DUE = "2022-05-31T12:00:00Z"


def proved(
    ledger: Database, now: str = FAR, policy: Policy = POLICY, limit: int = 100
) -> VerificationResult:
    """What one look comes to."""
    return ledger.run_in_transaction(
        lambda connection: verify_commands(connection, policy, instant(now), limit=limit)
    )


def changed(system: str, **values: object) -> Policy:
    """The shipped policy with a system that is otherwise."""
    systems = {**POLICY.systems, system: replace(POLICY.systems[system], **values)}  # type: ignore[arg-type]
    return replace(POLICY, systems=systems)


def of(ledger: Database, identity: UUID) -> tuple[str, str, str]:
    """System, action and state of a command."""
    ((system, action, found),) = commands(ledger, command_id=identity)
    return system, action, found


def state(ledger: Database, identity: UUID) -> str:
    """Where a command stands."""
    (row,) = rows(ledger, tables.command, command_id=identity)
    return str(row.state)


def live(ledger: Database) -> set[UUID]:
    """The commands that their records belong to."""
    return {row.command_id for row in rows(ledger, tables.member, live=True)}


def carried_out(ledger: Database, bus: Bus) -> UUID:
    """An erasure of one record of the website that is said to be done."""
    take(ledger, [feedback("e1", JOINED)], JOINED)
    (identity,) = sweep(ledger, FAR)
    post(ledger, bus, FAR)
    answer(ledger, identity, "done", FAR, counts={"rows": 1})
    return identity


def checked(ledger: Database, bus: Bus) -> tuple[UUID, UUID]:
    """The same, with its check out."""
    erasure = carried_out(ledger, bus)
    (check,) = proved(ledger).verifies
    post(ledger, bus, FAR)
    return erasure, check


class TestChecks:
    """A check follows each erasure that a system says it has carried out."""

    def test_it_names_the_records_of_what_it_checks(self, ledger: Database) -> None:
        """The check names the erasure's id; it erases nothing."""
        bus = Bus()
        erasure, check = checked(ledger, bus)
        first, second = (one.value for one in bus.sent)
        assert (second["action"], second["verifies"]) == ("verify", "erase")
        assert (second["command_id"], second["supersedes"]) == (str(check), str(erasure))
        assert second["records"] == first["records"]
        assert second["subject"] == first["subject"]
        assert (second["erase_by"], second["not_before"]) == (None, None)
        assert second["article"] == "GDPR 5(2), 24(1)"
        assert second["seq"] > first["seq"]
        assert rows(ledger, tables.member, command_id=check) == []

    def test_there_is_one_however_often_is_looked(self, ledger: Database) -> None:
        """A repeated acknowledgement adds no second check."""
        bus = Bus()
        erasure, _ = checked(ledger, bus)
        answer(ledger, erasure, "done", FAR)
        assert proved(ledger) == NO_RESULT

    @pytest.mark.parametrize("status", ["done", "nothing_held", "already_done"])
    def test_it_follows_whichever_way_the_system_was_done(
        self, ledger: Database, status: str
    ) -> None:
        """`nothing_held` is suspicious, and checked all the same."""
        take(ledger, [feedback("e1", JOINED)], JOINED)
        (identity,) = sweep(ledger, FAR)
        post(ledger, Bus(), FAR)
        assert answer(ledger, identity, status, FAR).suspicious is (status == "nothing_held")  # type: ignore[arg-type]
        assert len(proved(ledger).verifies) == 1

    @pytest.mark.parametrize("status", ["partial", "failed", "refused"])
    def test_nothing_follows_what_was_not_carried_out(self, ledger: Database, status: str) -> None:
        """It is told again, or somebody's business."""
        take(ledger, [feedback("e1", JOINED)], JOINED)
        (identity,) = sweep(ledger, FAR)
        post(ledger, Bus(), FAR)
        answer(ledger, identity, status, FAR)  # type: ignore[arg-type]
        assert proved(ledger) == NO_RESULT

    def test_it_waits_as_long_as_the_policy_says(self, ledger: Database) -> None:
        """A replica or a backup of the system may need a while."""
        policy = changed("website", verify_after="PT2H")
        take(ledger, [feedback("e1", JOINED)], JOINED)
        (identity,) = sweep(ledger, FAR)
        post(ledger, Bus(), FAR)
        answer(ledger, identity, "done", FAR, policy=policy)
        assert proved(ledger, "2060-01-01T01:59:59Z", policy) == NO_RESULT
        assert len(proved(ledger, "2060-01-01T02:00:00Z", policy).verifies) == 1

    def test_a_system_that_cannot_be_read_again_attests(self, ledger: Database) -> None:
        """Its word is all there is, and shown as no more."""
        policy = changed("website", reread="attested")
        take(ledger, [feedback("e1", JOINED)], JOINED)
        (identity,) = sweep(ledger, FAR)
        post(ledger, Bus(), FAR)
        assert answer(ledger, identity, "done", FAR, policy=policy).state == "attested"
        assert state(ledger, identity) == "attested"
        assert proved(ledger, policy=policy) == NO_RESULT
        assert sweep(ledger, FAR) == []

    def test_a_controller_is_not_checked(self, ledger: Database) -> None:
        """It was given notice (GDPR 17(2), 19); what it keeps is its own business."""
        take(ledger, [order("e1", JOINED)], JOINED)
        identities = sweep(ledger, DUE)
        post(ledger, Bus(), DUE)
        [psp] = rows(ledger, tables.command, system="psp", action="erase")
        assert psp.command_id in identities
        answer(ledger, psp.command_id, "done", DUE)
        assert (state(ledger, psp.command_id), proved(ledger)) == ("acknowledged", NO_RESULT)

    def test_restricting_is_not_checked(self, ledger: Database) -> None:
        """Nothing was to be gone."""
        take(ledger, [ticket("e1", "2000-03-01T12:00:00Z", shared_with="research")], JOINED)
        (identity,) = sweep(ledger, "2020-02-29T12:00:00Z")
        assert commands(ledger) == [("research", "restrict", "unsent")]
        post(ledger, Bus(), DUE)
        answer(ledger, identity, "done", DUE)
        assert (state(ledger, identity), proved(ledger)) == ("acknowledged", NO_RESULT)

    def test_pseudonymising_is_checked(self, ledger: Database) -> None:
        """What was pseudonymised may no longer be tied to the person."""
        bus = Bus()
        take(ledger, [order("e1", JOINED)], JOINED)
        sweep(ledger, DUE)
        post(ledger, bus, DUE)
        told = {row.command_id: row.action for row in rows(ledger, tables.command)}
        assert set(told.values()) == {"erase", "pseudonymise"}
        for identity in told:
            answer(ledger, identity, "done", DUE)
        checks = proved(ledger, DUE).verifies
        about = {row.supersedes for row in rows(ledger, tables.command, action="verify")}
        assert {told[one] for one in about} == {"erase", "pseudonymise"}
        post(ledger, bus, DUE)
        verifies = {one.value["verifies"] for one in bus.sent if one.value["action"] == "verify"}
        assert verifies == {"erase", "pseudonymise"}
        assert len(checks) == len(about)

    def test_a_pseudonymised_records_check_names_no_person(self, ledger: Database) -> None:
        """The repeated erasure names no person either, as the first did not (ruling 11 of the design)."""
        bus, first = Bus(), "2021-12-31T12:00:00Z"
        take(ledger, [order("o1", JOINED)], JOINED)
        sweep(ledger, first)
        post(ledger, Bus(), first)
        for row in rows(ledger, tables.command):
            answer(ledger, row.command_id, "done", first)
        sweep(ledger, FAR)
        post(ledger, Bus(), FAR)
        erasure = command(ledger, system="research", action="erase")
        answer(ledger, erasure, "done", FAR)
        proved(ledger)
        post(ledger, bus, FAR)
        answer(ledger, command(ledger, supersedes=erasure), "done", FAR, counts={"rows": 1})
        proved(ledger)
        post(ledger, bus, FAR)
        about = [one for one in bus.sent if one.value["supersedes"] == str(erasure)]
        assert [one.value["action"] for one in about] == ["verify", "erase"]
        assert [(one.key, one.value["subject"]) for one in about] == [("o1", None)] * 2

    def test_it_is_told_again_until_answered(self, ledger: Database) -> None:
        """As every command is."""
        bus = Bus()
        _, check = checked(ledger, bus)
        post(ledger, bus, later(FAR, days=1))
        assert [one.value["attempt"] for one in bus.sent] == [1, 1, 2]
        assert bus.sent[-1].value["command_id"] == str(check)

    def test_checks_do_not_count_towards_the_cap(self, ledger: Database) -> None:
        """They destroy nothing."""
        checked(ledger, Bus())
        with ledger.transaction() as connection:
            assert first_sent_since(connection, instant(JOINED)) == 1

    def test_many_are_written_at_once_and_no_more_than_asked(self, ledger: Database) -> None:
        """The oldest first; the rest at the next look."""
        take(
            ledger,
            [feedback(f"e{n}", later(JOINED, hours=n).isoformat()) for n in range(5)],
            JOINED,
        )
        identities = sweep(ledger, FAR)
        post(ledger, Bus(), FAR)
        for identity in identities:
            answer(ledger, identity, "done", FAR)
        looks = [proved(ledger, limit=2) for _ in range(4)]
        assert [one.looked_at for one in looks] == [2, 2, 1, 0]
        assert len({check for one in looks for check in one.verifies}) == 5


class Seeing(Silent):
    """A deleter's sight and observer: it may be made blind, and keeps what went out."""

    def __init__(self) -> None:
        self.spots: list[str] = []
        self.actions: list[str] = []

    def lagging_partitions(self) -> Sequence[str]:
        return self.spots

    def commands_sent(
        self, commands: Sequence[SentCommand], nothing_due_at: datetime | None
    ) -> None:
        self.actions += [one.action for one in commands]


class TestRounds:
    """The deleter's round does it by itself, and only while it sees."""

    def test_a_round_checks_unless_it_is_blind(self, ledger: Database) -> None:
        """A hold that lies unread must not be overtaken by a repetition, so nothing follows."""
        seeing = Seeing()
        deleter = Deleter(
            ledger=ledger,
            outlet=Bus(),
            sight=seeing,
            policy=POLICY,
            observer=seeing,
            now=lambda: datetime.now(UTC),
        )
        take(ledger, [feedback("e1", JOINED)], JOINED)
        deleter.run_once()
        assert seeing.actions == ["erase"]
        answer(ledger, command(ledger), "done", JOINED)
        seeing.spots = ["orders.order-placed.v1[0]"]
        deleter.run_once()
        assert seeing.actions == ["erase"]
        seeing.spots = []
        deleter.run_once()
        assert seeing.actions == ["erase", "verify"]


class TestProof:
    """What a check says decides: proven, or commanded again."""

    @pytest.mark.parametrize(
        ("status", "counts"),
        [("done", {"rows": 0}), ("done", {"a": 0, "b": 0}), ("nothing_held", {})],
    )
    def test_nothing_found_is_proof(
        self, ledger: Database, status: str, counts: dict[str, int]
    ) -> None:
        """The erasure is `erased`, and that is not suspicious."""
        erasure, check = checked(ledger, Bus())
        found = answer(ledger, check, status, FAR, counts=counts)  # type: ignore[arg-type]
        assert (found.state, found.suspicious, found.reopened) == ("acknowledged", False, False)
        assert found.proof == timedelta()  # commanded, carried out and checked at one instant
        assert (state(ledger, erasure), state(ledger, check)) == ("erased", "acknowledged")
        assert proved(ledger) == NO_RESULT
        assert sweep(ledger, FAR) == []

    def test_a_check_that_counted_nothing_proves_nothing(self, ledger: Database) -> None:
        """Whoever says `done` to everything has not read anything: it is asked again."""
        bus = Bus()
        erasure, check = checked(ledger, bus)
        answer(ledger, check, "done", FAR, counts={})
        assert (state(ledger, erasure), state(ledger, check)) == ("acknowledged", "sent")
        assert [one.command_id for one in post(ledger, bus, later(FAR, days=1))] == [check]

    @pytest.mark.parametrize("status", ["recalled", "already_done"])
    def test_an_answer_to_something_else_is_refused(self, ledger: Database, status: str) -> None:
        """Nobody proves an erasure by what was said of a recall."""
        erasure, check = checked(ledger, Bus())
        with pytest.raises(IllegalTransition):
            answer(ledger, check, status, FAR)  # type: ignore[arg-type]
        assert (state(ledger, erasure), state(ledger, check)) == ("acknowledged", "sent")

    def test_what_was_found_is_commanded_again(self, ledger: Database) -> None:
        """Under a new id that names what it supersedes, with the same records."""
        bus = Bus()
        erasure, check = checked(ledger, bus)
        assert answer(ledger, check, "done", FAR, counts={"rows": 1}).reopened
        assert state(ledger, erasure) == "reopened"
        assert live(ledger) == {erasure}
        (again,) = proved(ledger).repeated
        assert again not in (erasure, check)
        assert live(ledger) == {again}
        post(ledger, bus, FAR)
        value = bus.sent[-1].value
        assert (value["command_id"], value["action"]) == (str(again), "erase")
        assert (value["supersedes"], value["verifies"]) == (str(erasure), None)
        assert value["records"] == bus.sent[0].value["records"]
        assert value["reason"] == "it was still there when it was read again"
        assert value["seq"] > bus.sent[1].value["seq"]

    def test_it_goes_round_until_nothing_is_found(self, ledger: Database) -> None:
        """Each repetition is checked as the first was, and has an id of its own."""
        bus = Bus()
        erasure, check = checked(ledger, bus)
        told = [erasure]
        for _ in range(3):
            answer(ledger, check, "done", FAR, counts={"rows": 2})
            told += proved(ledger).repeated
            post(ledger, bus, FAR)
            answer(ledger, told[-1], "nothing_held", FAR)
            (check,) = proved(ledger).verifies
            post(ledger, bus, FAR)
        answer(ledger, check, "nothing_held", FAR)
        assert len(set(told)) == 4
        assert [state(ledger, one) for one in told] == [*["reopened"] * 3, "erased"]
        assert live(ledger) == {told[-1]}

    def test_a_claim_meanwhile_does_not_command_it_twice(self, ledger: Database) -> None:
        """Between the finding and the repetition the records are nobody else's."""
        _, check = checked(ledger, Bus())
        answer(ledger, check, "done", FAR, counts={"rows": 1})
        with ledger.transaction() as connection:
            connection.execute(tables.record.update().values(next_due=instant(FAR)))
        assert sweep(ledger, FAR) == []
        assert len(proved(ledger).repeated) == 1

    @pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 0)])
    def test_the_first_word_of_a_check_counts(
        self, ledger: Database, first: int, second: int
    ) -> None:
        """A second answer to it, with another finding, changes nothing."""
        erasure, check = checked(ledger, Bus())
        answer(ledger, check, "done", FAR, counts={"rows": first})
        before = state(ledger, erasure)
        assert not answer(ledger, check, "done", FAR, counts={"rows": second}).reopened
        assert state(ledger, erasure) == before

    def test_a_late_answer_to_the_erasure_changes_nothing(self, ledger: Database) -> None:
        """Proven is proven, whatever the broker delivers once more."""
        erasure, check = checked(ledger, Bus())
        answer(ledger, check, "nothing_held", FAR)
        answer(ledger, erasure, "failed", FAR)
        assert state(ledger, erasure) == "erased"
        assert proved(ledger) == NO_RESULT

    def test_a_late_check_still_proves(self, ledger: Database) -> None:
        """However long the system takes, and however often it said that it failed."""
        erasure, check = checked(ledger, Bus())
        answer(ledger, check, "failed", FAR)
        answer(ledger, check, "partial", later(FAR, days=400))
        assert state(ledger, erasure) == "acknowledged"
        answer(ledger, check, "nothing_held", later(FAR, days=500))
        assert state(ledger, erasure) == "erased"

    def test_a_refused_check_is_no_proof(self, ledger: Database) -> None:
        """It is escalated, and may still be answered."""
        erasure, check = checked(ledger, Bus())
        answer(ledger, check, "refused", FAR)
        assert (state(ledger, erasure), state(ledger, check)) == ("acknowledged", "refused")
        (row,) = rows(ledger, tables.command, command_id=check)
        assert row.escalated_at == instant(FAR)
        answer(ledger, check, "nothing_held", FAR)
        assert state(ledger, erasure) == "erased"

    def test_a_check_that_was_given_up_leaves_it_unproven(self, ledger: Database) -> None:
        """The operator answers for that, on record."""
        erasure, check = checked(ledger, Bus())
        ledger.run_in_transaction(lambda connection: close_command(connection, check, instant(FAR)))
        answer(ledger, check, "nothing_held", FAR)
        assert (state(ledger, erasure), state(ledger, check)) == ("acknowledged", "closed")


def ended(ledger: Database, bus: Bus) -> UUID:
    """The erasure of an ended customer by the crm, carried out."""
    take(ledger, [invoice("i1", JOINED), terminated("t1", ENDED)], DUE)
    sweep(ledger, DUE)
    post(ledger, bus, DUE)
    erasure = command(ledger, action="erase", system="crm")
    answer(ledger, erasure, "done", DUE)
    return erasure


class TestClocks:
    """A clock that moves after an erasure leaves what was carried out, and commands nothing more."""

    def test_a_customer_who_comes_back_leaves_what_is_done(self, ledger: Database) -> None:
        """The check goes on, and proves."""
        bus = Bus()
        erasure = ended(ledger, bus)
        take(ledger, [reinstated("r1", BACK)], BACK)
        assert state(ledger, erasure) == "acknowledged"
        (check,) = proved(ledger, BACK).verifies
        assert check in [one.command_id for one in post(ledger, bus, BACK)]
        answer(ledger, check, "nothing_held", BACK)
        assert state(ledger, erasure) == "erased"

    def test_what_is_found_of_a_customer_who_came_back_stays(self, ledger: Database) -> None:
        """It is kept again; when the customer ends again, it is commanded by the new end."""
        bus = Bus()
        erasure = ended(ledger, bus)
        (check,) = proved(ledger, DUE).verifies
        post(ledger, bus, DUE)
        take(ledger, [reinstated("r1", BACK)], BACK)
        answer(ledger, check, "done", BACK, counts={"rows": 1})
        assert proved(ledger, BACK).repeated == ()
        assert sweep(ledger, BACK) == []
        assert erasure not in live(ledger)
        take(ledger, [terminated("t2", "2022-07-01T12:00:00Z")], "2022-07-01T12:00:00Z")
        sweep(ledger, FAR)
        assert commands(ledger).count(("crm", "erase", "unsent")) == 1

    def test_what_is_found_after_an_end_was_corrected_is_commanded_by_the_new_end(
        self, ledger: Database
    ) -> None:
        """It is due under the new end as well: the facts decide anew, and they say erase."""
        bus = Bus()
        erasure = ended(ledger, bus)
        (check,) = proved(ledger, DUE).verifies
        post(ledger, bus, DUE)
        take(ledger, [terminated("t2", "2020-06-02T12:00:00Z")], BACK)
        sweep(ledger, BACK)
        answer(ledger, check, "done", BACK, counts={"rows": 1})
        assert proved(ledger, BACK).repeated == ()
        (again,) = sweep(ledger, BACK)
        assert again != erasure
        assert of(ledger, again) == ("crm", "erase", "unsent")

    def test_a_repetition_is_cancelled_by_a_clock_as_any_erasure_is(self, ledger: Database) -> None:
        """It depends on the same clocks as what it supersedes."""
        bus = Bus()
        ended(ledger, bus)
        (check,) = proved(ledger, DUE).verifies
        post(ledger, bus, DUE)
        answer(ledger, check, "done", DUE, counts={"rows": 1})
        (again,) = proved(ledger, DUE).repeated
        take(ledger, [reinstated("r1", BACK)], BACK)
        assert state(ledger, again) == "cancelled"


def hold(kind: str, id_: str, time: str) -> Event:
    """A hold on the visitor, placed or released."""
    more = {"ground": "legal_claim"} if kind == "placed" else {}
    return event(id_, f"privacy.hold-{kind}", time, subject="visitor:1", hold_id="h", **more)


class TestHolds:
    """A hold after an erasure is too late for what is gone, and in time for what is not."""

    PLACED = "2059-12-31T00:00:00Z"
    RELEASED = "2060-02-01T00:00:00Z"

    def test_a_hold_leaves_what_was_carried_out(self, ledger: Database) -> None:
        """The check still goes out, and proves; nothing is recalled."""
        bus = Bus()
        erasure = carried_out(ledger, bus)
        take(ledger, [hold("placed", "h1", self.PLACED)], FAR)
        sweep(ledger, FAR)
        (check,) = proved(ledger).verifies
        assert [one.command_id for one in post(ledger, bus, FAR)] == [check]
        answer(ledger, check, "nothing_held", FAR)
        assert state(ledger, erasure) == "erased"
        assert {row.action for row in rows(ledger, tables.command)} == {"erase", "verify"}

    def test_what_is_found_under_a_hold_stays_until_its_release(self, ledger: Database) -> None:
        """The repetition does not leave, and is taken back; after the release the facts decide anew."""
        bus = Bus()
        _, check = checked(ledger, bus)
        take(ledger, [hold("placed", "h1", self.PLACED)], FAR)
        sweep(ledger, FAR)
        answer(ledger, check, "done", FAR, counts={"rows": 1})
        proved(ledger)
        assert post(ledger, bus, FAR) == []
        (recall,) = post(ledger, bus, FAR)
        assert recall.action == "recall"
        answer(ledger, recall.command_id, "recalled", FAR)
        assert sweep(ledger, FAR) == []
        take(ledger, [hold("released", "h2", self.RELEASED)], self.RELEASED)
        sweep(ledger, "2060-03-01T00:00:00Z")
        (again,) = post(ledger, bus, "2060-03-01T00:00:00Z")
        assert (again.action, again.system) == ("erase", "website")
        assert live(ledger) == {again.command_id}


ANSWERS = st.sampled_from(["clean", "found", "failed", "done"])


@hypothesis_settings(
    max_examples=examples(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(ANSWERS, max_size=12))
def test_however_checks_are_answered_one_command_has_the_record(
    shared_ledger: Database, answers: list[str]
) -> None:
    """What is `erased` was verified as clean, and no record has two outstanding commands."""
    ledger = emptied(shared_ledger)
    bus = Bus()
    take(ledger, [feedback("e1", JOINED)], JOINED)
    sweep(ledger, FAR)
    at = instant(FAR)
    for number, said in enumerate(answers):
        at += timedelta(days=1)
        post(ledger, bus, at)
        out = rows(ledger, tables.command, state="sent")
        assert len(out) <= 1
        for one in out:
            if said == "failed":
                answer(ledger, one.command_id, "failed", at, name=f"a{number}")
            elif one.action == "verify":
                counts = {"rows": int(said == "found")} if said != "done" else {}
                answer(ledger, one.command_id, "done", at, name=f"a{number}", counts=counts)
            else:
                answer(ledger, one.command_id, "done", at, name=f"a{number}")
        ledger.run_in_transaction(partial(verify_commands, policy=POLICY, now=at, limit=10))
        assert len(live(ledger)) == 1
    clean = rows(ledger, tables.command, state="erased")
    assert len(clean) <= 1
    assert not clean or rows(ledger, tables.command, state="sent") == []


class TestRestored:
    """A system that was restored from a backup does again what it has done since."""

    def test_what_was_proven_since_the_backup_is_commanded_under_another_id(
        self, ledger: Database
    ) -> None:
        """The same records, naming what it supersedes, and the reason."""
        take(ledger, [feedback("e1", JOINED)], JOINED)
        (first,) = sweep(ledger, FAR)
        post(ledger, Bus(), FAR)
        answer(ledger, first, "done", FAR)
        (check,) = proved(ledger).verifies
        post(ledger, Bus(), FAR)
        answer(ledger, check, "done", FAR, counts={"rows": 0})
        assert (
            ledger.run_in_transaction(
                lambda c: recommand_since(c, "website", instant(FAR), instant(FAR))
            )
            == 1
        )
        (again,) = proved(ledger).repeated
        (row,) = rows(ledger, tables.command, command_id=again)
        assert (row.supersedes, row.action, row.reason, row.state) == (
            first,
            "erase",
            "the system was restored from a backup",
            "unsent",
        )
        live = rows(ledger, tables.member, live=True, step="erase")
        assert [one.command_id for one in live] == [again]

    def test_what_was_done_before_the_backup_and_by_others_is_left(self, ledger: Database) -> None:
        """It is in the backup as it should be."""
        take(ledger, [feedback("e1", JOINED)], JOINED)
        (first,) = sweep(ledger, FAR)
        post(ledger, Bus(), FAR)
        answer(ledger, first, "done", FAR)
        after = later(FAR, seconds=1)
        assert ledger.run_in_transaction(lambda c: recommand_since(c, "website", after, after)) == 0
        assert (
            ledger.run_in_transaction(lambda c: recommand_since(c, "crm", instant(JOINED), after))
            == 0
        )

    def test_restrictions_and_lifts_come_in_the_order_they_had(self, ledger: Database) -> None:
        """Restricted and freed since the backup: free in the end."""
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
        take(ledger, [order("e1", JOINED), *acts], JOINED)
        (restrict,) = [
            one for one in sweep(ledger, JOINED) if the_action(ledger, one) == "restrict"
        ]
        post(ledger, Bus(), JOINED)
        answer(ledger, restrict, "done", JOINED)
        decided = event(
            "decided",
            "privacy.objection-decided",
            "2020-01-02T12:00:00Z",
            subject="consumer:1",
            purpose="internal_research",
            objection_id="O1",
            outcome="rejected",
        )
        take(ledger, [decided], "2020-01-02T12:00:00Z")
        (lift,) = sweep(ledger, "2020-01-02T12:00:00Z")
        post(ledger, Bus(), "2020-01-02T12:00:00Z")
        answer(ledger, lift, "done", "2020-01-02T12:00:00Z")
        at = instant("2020-01-03T12:00:00Z")
        assert (
            ledger.run_in_transaction(lambda c: recommand_since(c, "research", instant(JOINED), at))
            == 2
        )
        again = proved(ledger, "2020-01-03T12:00:00Z").repeated
        by_seq = sorted(
            (row.seq, row.action) for row in rows(ledger, tables.command) if row.command_id in again
        )
        assert [action for _, action in by_seq] == ["restrict", "lift"]


def the_action(ledger: Database, identity: UUID) -> str:
    (row,) = rows(ledger, tables.command, command_id=identity)
    return str(row.action)
