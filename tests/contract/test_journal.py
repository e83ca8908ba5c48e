"""The journal by its rules: what is commanded, when, what is taken back, and what stands.

Each on SQLite and on PostgreSQL. The customer of most tests has ended on 1 June 2020 at 12:00Z, so that R1
is due a lead time before 1 June 2022 at 12:00Z.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import pytest

from services.deleter.claiming import claim
from services.deleter.relaying import LEASE, Delivery, Outgoing, Patience, Stops, lease, relay
from services.deleter.settling import Answer, UnknownCommand, close, escalate, settle
from services.ledger import tables
from services.ledger.database import Ledger
from services.ledger.states import IllegalTransition
from tests.contract.arrivals import (
    Event,
    contact_changed,
    engaged,
    feedback,
    invoice,
    order,
    reinstated,
    supplier_ended,
    terminated,
    ticket,
    ticket_resolved,
)
from tests.contract.ledgers import (
    POLICY,
    Bus,
    answer,
    command,
    commands,
    crash,
    emptied,
    instant,
    later,
    post,
    rows,
    sweep,
    take,
)
from tests.contract.promises import missing, too_early

JOINED, ENDED = "2020-01-01T12:00:00Z", "2020-06-01T12:00:00Z"
BACK, ENDED_AGAIN = "2021-01-01T12:00:00Z", "2021-06-01T12:00:00Z"
DUE, DUE_AGAIN = "2022-05-31T12:00:00Z", "2023-05-31T12:00:00Z"
FAR = "2060-01-01T00:00:00Z"


def many(count: int, start: int = 0) -> list[Event]:
    return [invoice(f"i{number:05}", JOINED) for number in range(start, start + count)]


def of_crm(ledger: Ledger) -> list[tuple[str, str]]:
    return [(action, state) for system, action, state in commands(ledger) if system == "crm"]


def told(ledger: Ledger, **values: object) -> int:
    """How many records the live commands cover."""
    ids = {row.command_id for row in rows(ledger, tables.command, **values)}
    return sum(row.command_id in ids for row in rows(ledger, tables.member, live=True))


def sent_and_reopened(ledger: Ledger, bus: Bus) -> tuple[UUID, UUID]:
    """An erasure that went out before its customer came back, and its recall, out as well."""
    take(ledger, [invoice("i1", JOINED), terminated("t1", ENDED)], DUE)
    sweep(ledger, DUE)
    post(ledger, bus, DUE)
    take(ledger, [reinstated("r1", BACK)], DUE)
    post(ledger, bus, DUE)
    erasure = command(ledger, action="erase", system="crm")
    return erasure, command(ledger, action="recall", system="crm")


class TestDue:
    """Not before, and no later."""

    def test_nothing_is_commanded_a_microsecond_before_it_is_due(self, ledger: Ledger) -> None:
        """And at the instant itself it is."""
        take(ledger, [invoice("i1", JOINED), terminated("t1", ENDED)], ENDED)
        assert sweep(ledger, later(DUE, microseconds=-1)) == []
        assert len(sweep(ledger, DUE)) == 1
        assert of_crm(ledger) == [("erase", "unsent")]

    def test_what_is_due_is_commanded_once(self, ledger: Ledger) -> None:
        """However often the deleter looks."""
        take(ledger, [invoice("i1", JOINED), terminated("t1", ENDED)], ENDED)
        sweep(ledger, FAR)
        assert sweep(ledger, FAR) == []
        assert commands(ledger) == [
            ("accounting", "erase", "unsent"),
            ("crm", "erase", "unsent"),
        ]

    def test_a_minimum_is_kept_to_the_microsecond(self, ledger: Ledger) -> None:
        """The invoice of 2020 is kept through 2027."""
        take(ledger, [invoice("i1", JOINED)], JOINED)
        assert sweep(ledger, "2027-12-31T22:59:59.999999Z") == []
        sweep(ledger, "2027-12-31T23:00:00Z")
        (row,) = rows(ledger, tables.command)
        assert row.not_before == instant("2027-12-31T23:00:00Z")
        assert row.system == "accounting"

    def test_a_command_with_a_minimum_does_not_leave_before_it(self, ledger: Ledger) -> None:
        """The relay looks at `not_before` again: its own clock may be behind the claim's."""
        bus = Bus()
        take(ledger, [invoice("i1", JOINED)], JOINED)
        sweep(ledger, "2027-12-31T23:00:00Z")
        early = "2027-12-31T22:59:59Z"
        at = instant(early)
        (identity,) = [row.command_id for row in rows(ledger, tables.command)]
        ledger.write(lambda c: lease(c, instant("2027-12-31T23:00:00Z"), Stops(), limit=9))
        ledger.write(lambda c: relay(c, [identity], bus, POLICY, at, Patience()))
        assert bus.sent == []
        post(ledger, bus, "2027-12-31T23:05:00Z")
        assert len(bus.sent) == 1

    def test_a_walk_that_goes_on_with_an_earlier_clock_loses_nothing(self, ledger: Ledger) -> None:
        """Two deleters read the time apart: the one that is behind may take the walk's second chunk.

        An application's clock wakes twice, at a month and at a year; the walk of both goes on at a time
        between the two.
        """
        events: list[Event] = []
        for number in range(501):
            events.append(_application(f"a{number:05}", "1"))
        events.append(_closed("c1", "1"))
        take(ledger, events, "2024-02-01T12:00:00Z")
        at_a_year, a_moment_before = "2025-01-31T12:00:00Z", "2025-01-31T11:59:59Z"
        ledger.write(lambda c: claim(c, POLICY, instant(at_a_year), limit=1))
        sweep(ledger, a_moment_before)
        sweep(ledger, later(at_a_year, days=3650))
        assert missing(ledger, events, later(at_a_year, days=3650)) == []

    def test_no_command_names_more_than_500_records(self, ledger: Ledger) -> None:
        """The rest is in the next."""
        take(ledger, [*many(1001), terminated("t1", ENDED)], ENDED)
        sweep(ledger, DUE)
        sizes = sorted(
            len(rows(ledger, tables.member, command_id=row.command_id))
            for row in rows(ledger, tables.command)
        )
        assert sizes == [1, 500, 500]

    @pytest.mark.parametrize("count", [499, 500, 501, 1000])
    def test_a_walk_ends_with_its_last_record(self, ledger: Ledger, count: int) -> None:
        """Also where the last chunk is full."""
        take(ledger, [*many(count), terminated("t1", ENDED)], ENDED)
        sweep(ledger, DUE)
        assert told(ledger) == count
        (clock,) = rows(ledger, tables.clock)
        assert (clock.cursor, clock.next_due) == (None, None)


def _application(id_: str, application: str) -> Event:
    return {
        "id": id_,
        "source": "/crm",
        "type": "recruitment.application-received",
        "time": "2024-01-01T12:00:00Z",
        "data": {"application_id": application, "applicant_id": "1", "keep_consent": True},
    }


def _closed(id_: str, application: str) -> Event:
    return {
        "id": id_,
        "source": "/crm",
        "type": "recruitment.application-closed",
        "time": "2024-02-01T12:00:00Z",
        "data": {"application_id": application, "applicant_id": "1"},
    }


class TestIds:
    """The same facts give the same commands, whoever computes them."""

    def test_ids_and_numbers_are_the_same_in_another_ledger(self, ledger: Ledger) -> None:
        """Whatever the order in which the events came."""
        events = [
            *many(7),
            ticket("e1", JOINED, ["1", "2"]),
            ticket_resolved("e2", ENDED),
            terminated("t1", ENDED),
            order("o1", JOINED),
        ]
        take(ledger, events, ENDED)
        sweep(ledger, FAR)
        first = {(row.command_id, row.cause) for row in rows(ledger, tables.command)}
        emptied(ledger)
        take(ledger, events[::-1], ENDED)
        sweep(ledger, FAR)
        assert {(row.command_id, row.cause) for row in rows(ledger, tables.command)} == first

    def test_a_retry_keeps_the_id_and_raises_the_attempt(self, ledger: Ledger) -> None:
        """Until it is answered."""
        bus = Bus()
        take(ledger, [feedback("e1", JOINED)], JOINED)
        sweep(ledger, FAR)
        for hours in (0, 24, 48):
            post(ledger, bus, later(FAR, hours=hours))
        assert len({one.value["command_id"] for one in bus.sent}) == 1
        assert [one.value["attempt"] for one in bus.sent] == [1, 2, 3]
        assert len(rows(ledger, tables.attempt)) == 3

    def test_numbers_rise_by_system_and_subject(self, ledger: Ledger) -> None:
        """From 1, without a hole."""
        take(ledger, [feedback(f"e{n}", f"2020-01-0{n}T12:00:00Z") for n in (1, 2, 3)], JOINED)
        for day in (1, 2, 3):
            sweep(ledger, f"2021-01-0{day}T12:00:00Z")
        assert sorted(row.seq for row in rows(ledger, tables.command)) == [1, 2, 3]


class TestReopening:
    """A clock that opens again takes back what was not carried out (ruling 9; rulings 4 of the design)."""

    def test_what_has_not_left_is_cancelled(self, ledger: Ledger) -> None:
        """And is commanded again when the customer has ended again."""
        bus = Bus()
        take(ledger, [invoice("i1", JOINED), terminated("t1", ENDED)], DUE)
        sweep(ledger, DUE)
        take(ledger, [reinstated("r1", BACK)], DUE)
        assert of_crm(ledger) == [("erase", "cancelled")]
        post(ledger, bus, DUE)
        assert bus.sent == []
        take(ledger, [terminated("t2", ENDED_AGAIN)], DUE)
        assert sweep(ledger, later(DUE_AGAIN, seconds=-1)) == []
        sweep(ledger, DUE_AGAIN)
        assert of_crm(ledger) == [("erase", "cancelled"), ("erase", "unsent")]

    def test_what_has_left_is_recalled(self, ledger: Ledger) -> None:
        """The recall names the same records, and goes out at once."""
        bus = Bus()
        erasure, recall = sent_and_reopened(ledger, bus)
        assert of_crm(ledger) == [("erase", "recalling"), ("recall", "sent")]
        assert [one.value["action"] for one in bus.sent] == ["erase", "recall"]
        assert bus.sent[1].value["command_id"] == str(recall)
        assert bus.sent[1].value["supersedes"] == str(erasure)
        assert bus.sent[1].value["records"] == bus.sent[0].value["records"]
        assert bus.sent[1].value["seq"] > bus.sent[0].value["seq"]

    def test_a_recalled_command_is_not_sent_again(self, ledger: Ledger) -> None:
        """Only its recall is, until that is answered."""
        bus = Bus()
        sent_and_reopened(ledger, bus)
        post(ledger, bus, later(DUE, days=1))
        post(ledger, bus, later(DUE, days=2))
        assert [one.value["action"] for one in bus.sent] == ["erase", *["recall"] * 3]

    @pytest.mark.parametrize("status", ["recalled", "done", "nothing_held"])
    def test_an_answered_recall_frees_the_records(self, ledger: Ledger, status: str) -> None:
        """They are commanded again when they are due, under another id."""
        erasure, recall = sent_and_reopened(ledger, Bus())
        answer(ledger, recall, status, DUE)  # type: ignore[arg-type]
        states = {row.command_id: row.state for row in rows(ledger, tables.command)}
        assert states[erasure] == "recalled"
        assert states[recall] in ("acknowledged", "recalled")
        assert sweep(ledger, DUE) == []
        take(ledger, [terminated("t2", ENDED_AGAIN)], DUE)
        (again,) = sweep(ledger, DUE_AGAIN)
        assert again != erasure
        assert of_crm(ledger)[:1] == [("erase", "recalled")]
        assert ("erase", "unsent") in of_crm(ledger)

    def test_an_answer_to_the_recalled_command_itself_ends_the_recall_too(
        self, ledger: Ledger
    ) -> None:
        """Nothing is left to repeat, nor to escalate."""
        bus = Bus()
        erasure, _ = sent_and_reopened(ledger, bus)
        answer(ledger, erasure, "recalled", DUE)
        post(ledger, bus, later(DUE, days=1))
        assert [one.value["action"] for one in bus.sent] == ["erase", "recall"]

    @pytest.mark.parametrize("of_recall", [True, False])
    def test_what_was_already_done_stands(self, ledger: Ledger, of_recall: bool) -> None:
        """Ruling 9: a command that was carried out stands, and is not sent again."""
        erasure, recall = sent_and_reopened(ledger, Bus())
        answer(ledger, recall if of_recall else erasure, "already_done", DUE)
        assert ("erase", "acknowledged") in of_crm(ledger)
        take(ledger, [terminated("t2", ENDED_AGAIN)], DUE)
        assert sweep(ledger, DUE_AGAIN) == []

    def test_what_was_done_before_the_recall_came_stands(self, ledger: Ledger) -> None:
        """And its outcome says what was done, whatever the recall is answered."""
        erasure, recall = sent_and_reopened(ledger, Bus())
        answer(ledger, erasure, "done", DUE)
        answer(ledger, recall, "done", later(DUE, hours=1))
        (row,) = rows(ledger, tables.command, command_id=erasure)
        assert (row.state, row.outcome, row.settled_at) == ("acknowledged", "done", instant(DUE))

    def test_a_refused_recall_loses_no_erasure(self, ledger: Ledger) -> None:
        """The command stands or is commanded again; it never hangs between the two."""
        _, recall = sent_and_reopened(ledger, Bus())
        answer(ledger, recall, "refused", DUE)
        take(ledger, [terminated("t2", ENDED_AGAIN)], DUE)
        bus = Bus()
        sweep(ledger, DUE_AGAIN)
        post(ledger, bus, DUE_AGAIN)
        assert "erase" in [one.value["action"] for one in bus.sent]

    def test_a_corrected_end_moves_what_was_commanded_under_it(self, ledger: Ledger) -> None:
        """The end was a day later: the first erasure is cancelled, the second comes a day later."""
        take(ledger, [invoice("i1", JOINED), terminated("t1", ENDED)], DUE)
        sweep(ledger, DUE)
        take(ledger, [terminated("t2", "2020-06-02T12:00:00Z")], DUE)
        assert of_crm(ledger) == [("erase", "cancelled")]
        assert sweep(ledger, later(DUE, hours=23, minutes=59)) == []
        assert len(sweep(ledger, later(DUE, days=1))) == 1

    def test_a_reopening_midway_stops_the_rest_within_a_chunk(self, ledger: Ledger) -> None:
        """Of 1,600 records 500 were claimed; they are cancelled, and the others never commanded."""
        take(ledger, [*many(1600), terminated("t1", ENDED)], ENDED)
        ledger.write(lambda c: claim(c, POLICY, instant(DUE), limit=1))
        assert told(ledger) == 500
        take(ledger, [reinstated("r1", BACK)], DUE)
        assert sweep(ledger, DUE) == []
        assert told(ledger) == 0
        assert commands(ledger) == [("crm", "erase", "cancelled")]

    def test_a_reopening_midway_recalls_what_was_sent(self, ledger: Ledger) -> None:
        """The first chunk went out, the second was claimed, the third never is."""
        bus = Bus()
        take(ledger, [*many(1600), terminated("t1", ENDED)], ENDED)
        ledger.write(lambda c: claim(c, POLICY, instant(DUE), limit=1))
        post(ledger, bus, DUE)
        ledger.write(lambda c: claim(c, POLICY, instant(DUE), limit=1))
        take(ledger, [reinstated("r1", BACK)], DUE)
        sweep(ledger, DUE)
        assert of_crm(ledger) == [
            ("erase", "cancelled"),
            ("erase", "recalling"),
            ("recall", "unsent"),
        ]

    def test_a_walk_begins_anew_when_the_end_moves_midway(self, ledger: Ledger) -> None:
        """Nothing of the first chunk is lost, nothing of the rest is told twice."""
        events = [*many(1200), terminated("t1", ENDED)]
        take(ledger, events, ENDED)
        ledger.write(lambda c: claim(c, POLICY, instant(DUE), limit=1))
        corrected = terminated("t2", "2020-06-01T13:00:00Z")
        take(ledger, [corrected], DUE)
        at = later(DUE, hours=1)
        sweep(ledger, at)
        assert told(ledger) == 1200
        known = [*events[:3], *events[-1:], corrected]
        assert too_early(ledger, [*events, corrected], at) == []
        assert missing(ledger, known, at) == []

    def test_a_suppliers_new_start_recalls_its_contacts(self, ledger: Ledger) -> None:
        """A parent's move takes back what its children's records were told."""
        bus = Bus()
        take(ledger, [engaged("e1", JOINED, "1"), supplier_ended("e2", ENDED)], ENDED)
        sweep(ledger, ENDED)
        post(ledger, bus, ENDED)
        take(ledger, [engaged("e3", BACK, "2")], BACK)
        assert commands(ledger) == [
            ("procurement", "erase", "recalling"),
            ("procurement", "recall", "unsent"),
        ]

    def test_a_contact_that_had_left_before_stays_told(self, ledger: Ledger) -> None:
        """The supplier's end later than the contact's own, and its new start, change nothing for it."""
        take(ledger, [engaged("e1", JOINED, "1"), contact_changed("e2", ENDED, "1", "2")], ENDED)
        sweep(ledger, ENDED)
        take(ledger, [supplier_ended("e3", BACK)], BACK)
        take(ledger, [engaged("e4", ENDED_AGAIN, "2")], ENDED_AGAIN)
        (row,) = [row for row in rows(ledger, tables.command) if "1/1" in row.cause]
        assert row.state == "unsent"

    def test_a_restriction_goes_out_whatever_becomes_of_the_other_purpose(
        self, ledger: Ledger
    ) -> None:
        """Research of 2000 ends in 2020 while the customer stays; the customer's end does not stop it."""
        bus = Bus()
        take(ledger, [ticket("e1", "2000-03-01T12:00:00Z", shared_with="research")], JOINED)
        sweep(ledger, "2020-02-29T12:00:00Z")
        assert commands(ledger) == [("research", "restrict", "unsent")]
        take(ledger, [terminated("t1", "2020-02-29T13:00:00Z")], "2020-02-29T13:00:00Z")
        post(ledger, bus, "2020-02-29T14:00:00Z")
        post(ledger, bus, "2020-03-01T14:00:00Z")
        assert {one.value["action"] for one in bus.sent} == {"restrict"}

    def test_a_restriction_that_was_cancelled_is_told_again(self, ledger: Ledger) -> None:
        """The customer had ended before; a corrected end takes nothing away from the restriction."""
        events = [
            ticket("e1", "2000-03-01T12:00:00Z", shared_with="research"),
            terminated("t1", "2019-06-01T12:00:00Z"),
        ]
        take(ledger, events, JOINED)
        sweep(ledger, "2020-02-29T12:00:00Z")
        events.append(terminated("t2", "2019-07-01T12:00:00Z"))
        take(ledger, events[-1:], "2020-02-29T13:00:00Z")
        sweep(ledger, "2020-02-29T14:00:00Z")
        assert missing(ledger, events, instant("2020-02-29T14:00:00Z")) == []


class TestLateArrivals:
    """What arrives under a clock that has fired is due again (ruling 2)."""

    def test_a_record_that_arrives_after_the_walk_is_commanded(self, ledger: Ledger) -> None:
        """At the next sweep, not at the next wake."""
        take(ledger, [*many(3), terminated("t1", ENDED)], ENDED)
        sweep(ledger, DUE)
        take(ledger, many(1, start=9), DUE)
        assert len(sweep(ledger, DUE)) == 1
        assert told(ledger) == 4

    def test_a_record_that_arrives_between_two_chunks_is_commanded(self, ledger: Ledger) -> None:
        """Whether the walk has passed its key or not."""
        events = [*many(1100), terminated("t1", ENDED)]
        take(ledger, events, ENDED)
        ledger.write(lambda c: claim(c, POLICY, instant(DUE), limit=1))
        late = many(40, start=5000)
        take(ledger, late, DUE)
        sweep(ledger, DUE)
        assert told(ledger) == 1140

    def test_a_record_that_arrives_before_the_first_wake_waits_for_it(self, ledger: Ledger) -> None:
        """It is not looked at before."""
        take(ledger, [terminated("t1", ENDED)], ENDED)
        take(ledger, many(1), ENDED)
        assert sweep(ledger, later(DUE, seconds=-1)) == []
        assert len(sweep(ledger, DUE)) == 1

    def test_the_end_may_arrive_after_it_is_due(self, ledger: Ledger) -> None:
        """Then everything is due at once."""
        take(ledger, many(3), FAR)
        take(ledger, [terminated("t1", ENDED)], FAR)
        sweep(ledger, FAR)
        assert told(ledger, system="crm") == 3

    def test_a_late_record_waits_for_the_second_wake_with_the_others(self, ledger: Ledger) -> None:
        """Research's pseudonym and the erasures of a ticket: each late record gets all its steps."""
        events = [
            ticket("e1", JOINED, ["1", "2"], shared_with=["repair", "research"]),
            ticket_resolved("e2", JOINED),
            terminated("t1", ENDED),
        ]
        take(ledger, events[1:], ENDED)
        for at in ("2020-07-01T12:00:00Z", "2022-06-01T12:00:00Z"):
            sweep(ledger, at)
            take(ledger, events[:1], at)
            sweep(ledger, at)
            assert missing(ledger, events, instant(at)) == []

    def test_a_crash_of_the_claim_leaves_everything_due(self, ledger: Ledger) -> None:
        """Commands, members and the walk's progress commit together."""
        take(ledger, [*many(700), terminated("t1", ENDED)], ENDED)
        crash(ledger, lambda c: claim(c, POLICY, instant(DUE), limit=1))
        assert told(ledger) == 0
        sweep(ledger, DUE)
        assert told(ledger) == 700


class _Broken:
    """A bus that is not there."""

    def send(self, commands: Sequence[Outgoing]) -> Sequence[Delivery]:
        raise ConnectionError("no broker")


class TestRelaying:
    """Nothing is `sent` before the broker has said so, and nothing is forgotten."""

    def test_a_crash_after_the_lease_sends_it_again_later(self, ledger: Ledger) -> None:
        """When the lease has run out, under the same id."""
        bus = Bus()
        take(ledger, [feedback("e1", JOINED)], JOINED)
        (identity,) = sweep(ledger, FAR)
        ledger.write(lambda c: lease(c, instant(FAR), Stops(), limit=9))
        post(ledger, bus, later(FAR, seconds=59))
        assert bus.sent == []
        post(ledger, bus, instant(FAR) + LEASE)
        assert [one.value["command_id"] for one in bus.sent] == [str(identity)]

    def test_a_bus_that_fails_marks_nothing_as_sent(self, ledger: Ledger) -> None:
        """The whole batch goes out again."""
        take(ledger, [feedback("e1", JOINED), feedback("e2", ENDED)], JOINED)
        sweep(ledger, FAR)
        leased = ledger.write(lambda c: lease(c, instant(FAR), Stops(), limit=9))
        with pytest.raises(ConnectionError):
            ledger.write(lambda c: relay(c, leased, _Broken(), POLICY, instant(FAR), Patience()))
        assert {row.state for row in rows(ledger, tables.command)} == {"sending"}
        assert rows(ledger, tables.attempt) == []
        bus = Bus()
        post(ledger, bus, instant(FAR) + LEASE)
        assert len(bus.sent) == 2

    def test_a_crash_after_the_bus_repeats_the_same_id(self, ledger: Ledger) -> None:
        """Re-sending is harmless, losing is not."""
        bus = Bus()
        take(ledger, [feedback("e1", JOINED)], JOINED)
        sweep(ledger, FAR)
        leased = ledger.write(lambda c: lease(c, instant(FAR), Stops(), limit=9))
        crash(ledger, lambda c: relay(c, leased, bus, POLICY, instant(FAR), Patience()))
        post(ledger, bus, instant(FAR) + LEASE)
        assert len(bus.sent) == 2
        assert len({one.value["command_id"] for one in bus.sent}) == 1

    def test_a_clock_that_opens_between_lease_and_relay_stops_the_command(
        self, ledger: Ledger
    ) -> None:
        """The relay looks again, inside the lock."""
        bus = Bus()
        take(ledger, [invoice("i1", JOINED), terminated("t1", ENDED)], DUE)
        sweep(ledger, DUE)
        leased = ledger.write(lambda c: lease(c, instant(DUE), Stops(), limit=9))
        take(ledger, [reinstated("r1", BACK)], DUE)
        ledger.write(lambda c: relay(c, leased, bus, POLICY, instant(DUE), Patience()))
        assert bus.sent == []

    def test_an_answer_between_lease_and_relay_stops_the_repetition(self, ledger: Ledger) -> None:
        """What is acknowledged is not sent again."""
        bus = Bus()
        take(ledger, [feedback("e1", JOINED)], JOINED)
        (identity,) = sweep(ledger, FAR)
        post(ledger, bus, FAR)
        at = later(FAR, hours=1)
        leased = ledger.write(lambda c: lease(c, at, Stops(), limit=9))
        assert leased == [identity]
        answer(ledger, identity, "done", at)
        ledger.write(lambda c: relay(c, leased, bus, POLICY, at, Patience()))
        assert len(bus.sent) == 1

    def test_a_paused_system_gets_nothing_and_a_drained_one_nothing_new(
        self, ledger: Ledger
    ) -> None:
        """What is out is repeated to a drained one."""
        take(ledger, [feedback("e1", JOINED)], JOINED)
        sweep(ledger, FAR)
        paused, drained = (
            Stops(paused=frozenset({"website"})),
            Stops(drained=frozenset({"website"})),
        )
        for stops in (paused, drained):
            assert ledger.write(lambda c, s=stops: lease(c, instant(FAR), s, limit=9)) == []  # type: ignore[misc]
        post(ledger, Bus(), FAR)
        at = later(FAR, days=1)
        assert ledger.write(lambda c: lease(c, at, paused, limit=9)) == []
        assert len(ledger.write(lambda c: lease(c, at, drained, limit=9))) == 1

    def test_two_relays_of_one_lease_raise_the_attempt_twice(self, ledger: Ledger) -> None:
        """The second reads what the first has marked."""
        bus = Bus()
        take(ledger, [feedback("e1", JOINED)], JOINED)
        leased = sweep(ledger, FAR)
        ledger.write(lambda c: lease(c, instant(FAR), Stops(), limit=9))
        for _ in range(2):
            ledger.write(lambda c: relay(c, leased, bus, POLICY, instant(FAR), Patience()))
        assert [one.value["attempt"] for one in bus.sent] == [1, 2]

    def test_a_pseudonymised_records_erasure_names_no_person(self, ledger: Ledger) -> None:
        """Neither in its key nor in its business keys (ruling 11 of the design)."""
        bus = Bus()
        take(ledger, [order("o1", JOINED)], JOINED)
        sweep(ledger, "2021-12-31T12:00:00Z")
        for identity in [row.command_id for row in rows(ledger, tables.command)]:
            post(ledger, Bus(), "2021-12-31T12:00:00Z")
            answer(ledger, identity, "done", "2021-12-31T12:00:00Z")
        sweep(ledger, FAR)
        post(ledger, bus, FAR)
        (erasure,) = [one for one in bus.sent if one.system == "research"]
        assert erasure.value["action"] == "erase"
        assert erasure.value["subject"] is None
        assert erasure.key == "o1"
        assert erasure.value["records"][0]["keys"] == {"order_id": "o1", "customer_id": "1"}


class TestAnswers:
    """Each answer is kept; the state follows from it, and what is settled stands."""

    @pytest.fixture
    def erasure(self, ledger: Ledger) -> UUID:
        """An erasure that is out."""
        take(ledger, [feedback("e1", JOINED)], JOINED)
        (identity,) = sweep(ledger, FAR)
        post(ledger, Bus(), FAR)
        return identity

    @pytest.mark.parametrize(
        ("status", "state"),
        [
            ("done", "acknowledged"),
            ("nothing_held", "acknowledged"),
            ("already_done", "acknowledged"),
            ("partial", "sent"),
            ("failed", "sent"),
            ("refused", "refused"),
        ],
    )
    def test_an_answer_makes_the_state(
        self, ledger: Ledger, erasure: UUID, status: str, state: str
    ) -> None:
        """`nothing_held` is suspicious, where the ledger knows records."""
        found = answer(ledger, erasure, status, FAR)  # type: ignore[arg-type]
        assert (found.state, found.repeated) == (state, False)
        assert found.suspicious is (status == "nothing_held")
        (row,) = rows(ledger, tables.command)
        assert (row.state, row.outcome) == (state, status)

    def test_a_repeated_answer_changes_nothing(self, ledger: Ledger, erasure: UUID) -> None:
        """It is known by its id."""
        answer(ledger, erasure, "done", FAR, name="a")
        before = rows(ledger, tables.command)
        assert answer(ledger, erasure, "done", later(FAR, days=1), name="a").repeated
        assert rows(ledger, tables.command) == before
        assert len(rows(ledger, tables.acknowledgement)) == 1

    @pytest.mark.parametrize(
        "late", ["failed", "partial", "refused", "recalled", "nothing_held", "done"]
    )
    def test_a_late_answer_is_kept_and_changes_nothing_that_is_settled(
        self, ledger: Ledger, erasure: UUID, late: str
    ) -> None:
        """The evidence says when and how it was done."""
        answer(ledger, erasure, "done", FAR)
        before = rows(ledger, tables.command)
        answer(ledger, erasure, late, later(FAR, days=1))  # type: ignore[arg-type]
        assert rows(ledger, tables.command) == before
        assert len(rows(ledger, tables.acknowledgement)) == 2

    def test_recalled_without_a_recall_stops_nobody(self, ledger: Ledger, erasure: UUID) -> None:
        """A system that answers what it was not asked is refused, or asked again; the deleter goes on."""
        try:
            answer(ledger, erasure, "recalled", FAR)
        except IllegalTransition:
            return
        take(ledger, [feedback("e2", ENDED)], FAR)
        sweep(ledger, FAR)
        assert told(ledger) == 2

    def test_what_failed_is_sent_again(self, ledger: Ledger, erasure: UUID) -> None:
        """Never given up silently."""
        bus = Bus()
        answer(ledger, erasure, "failed", FAR)
        post(ledger, bus, later(FAR, days=1))
        assert len(bus.sent) == 1

    def test_what_is_done_is_never_sent_again(self, ledger: Ledger, erasure: UUID) -> None:
        """Nor claimed again."""
        bus = Bus()
        answer(ledger, erasure, "done", FAR)
        post(ledger, bus, later(FAR, days=400))
        assert sweep(ledger, later(FAR, days=400)) == []
        assert bus.sent == []

    def test_an_answer_to_an_unsent_command_is_illegal(self, ledger: Ledger) -> None:
        """And leaves nothing behind."""
        take(ledger, [feedback("e1", JOINED)], JOINED)
        (identity,) = sweep(ledger, FAR)
        with pytest.raises(IllegalTransition):
            answer(ledger, identity, "done", FAR)
        assert rows(ledger, tables.acknowledgement) == []

    @pytest.mark.parametrize("system", ["crm", "website"])
    def test_an_answer_to_nothing_is_refused(
        self, ledger: Ledger, erasure: UUID, system: str
    ) -> None:
        """An unknown command, or another system's."""
        identity = erasure if system == "crm" else UUID(int=1)
        one = Answer(
            acknowledgement_id="a",
            command_id=identity,
            system=system,
            attempt=1,
            status="done",
            counts={},
            ground=None,
            at=instant(FAR),
        )
        with pytest.raises(UnknownCommand):
            ledger.write(lambda c: settle(c, one, POLICY, instant(FAR)))

    def test_a_controllers_refusal_is_final_and_anothers_is_escalated(self, ledger: Ledger) -> None:
        """GDPR 17(2), 19: for a controller the command is a notice."""
        take(ledger, [order("o1", JOINED)], JOINED)
        sweep(ledger, "2022-01-01T12:00:00Z")
        post(ledger, Bus(), "2022-01-01T12:00:00Z")
        for system in ("psp", "orders"):
            answer(ledger, command(ledger, system=system), "refused", "2022-01-02T12:00:00Z")
        found = {row.system: row for row in rows(ledger, tables.command)}
        assert found["psp"].escalated_at is None
        assert found["orders"].escalated_at == instant("2022-01-02T12:00:00Z")
        assert found["psp"].next_attempt_at is None

    def test_silence_is_escalated_once(self, ledger: Ledger, erasure: UUID) -> None:
        """The website has 48 hours."""
        assert ledger.write(lambda c: escalate(c, POLICY, later(FAR, hours=47.9))) == []
        at = later(FAR, hours=48)
        assert ledger.write(lambda c: escalate(c, POLICY, at)) == [("website", erasure)]
        assert ledger.write(lambda c: escalate(c, POLICY, at + timedelta(days=1))) == []

    def test_what_an_operator_gave_up_is_over(self, ledger: Ledger, erasure: UUID) -> None:
        """It is not sent again; giving up twice, or something unknown, is refused."""
        assert ledger.write(lambda c: close(c, erasure, instant(FAR))) == "closed"
        bus = Bus()
        post(ledger, bus, later(FAR, days=1))
        assert bus.sent == []
        with pytest.raises(IllegalTransition):
            ledger.write(lambda c: close(c, erasure, instant(FAR)))
        with pytest.raises(UnknownCommand):
            ledger.write(lambda c: close(c, UUID(int=1), instant(FAR)))
