"""A clock that opens again cancels or recalls what was not carried out, and nothing else.

Each on SQLite and on PostgreSQL. The customer of most tests has ended on 1 June 2020 at 12:00Z, so that
R1 is due a lead time before 1 June 2022 at 12:00Z.
"""

from __future__ import annotations

from uuid import UUID

import pytest

from services.deleter.claim import claim_due
from services.ledger import tables
from services.storage.database import Database
from tests.contract.deleter_invariants import find_missing, find_too_early
from tests.contract.event_builders import (
    Event,
    contact_changed,
    engaged,
    invoice,
    purchase_invoice,
    reinstated,
    supplier_ended,
    terminated,
    ticket,
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

JOINED = "2020-01-01T12:00:00Z"
ENDED = "2020-06-01T12:00:00Z"
BACK = "2021-01-01T12:00:00Z"
ENDED_AGAIN = "2021-06-01T12:00:00Z"
DUE = "2022-05-31T12:00:00Z"
DUE_AGAIN = "2023-05-31T12:00:00Z"


def invoices(count: int, start: int = 0) -> list[Event]:
    return [invoice(f"i{number:05}", JOINED) for number in range(start, start + count)]


def crm_commands(ledger: Database) -> list[tuple[str, str]]:
    return [(action, state) for system, action, state in list_commands(ledger) if system == "crm"]


def count_commanded(ledger: Database, **values: object) -> int:
    """Return how many records the live commands cover."""
    ids = {row.command_id for row in select_rows(ledger, tables.command, **values)}
    return sum(row.command_id in ids for row in select_rows(ledger, tables.member, live=True))


def send_and_reopen(ledger: Database, bus: FakeBus) -> tuple[UUID, UUID]:
    """Send an erasure, reinstate its customer, and send the recall."""
    record_events(ledger, [invoice("i1", JOINED), terminated("t1", ENDED)], DUE)
    claim_all(ledger, DUE)
    send_due(ledger, bus, DUE)
    record_events(ledger, [reinstated("r1", BACK)], DUE)
    send_due(ledger, bus, DUE)
    erasure = find_command(ledger, action="erase", system="crm")
    return erasure, find_command(ledger, action="recall", system="crm")


class TestReopening:
    """A clock that opens again cancels or recalls what was not done (ruling 9; rulings 4 of the design)."""

    def test_unsent_commands_of_a_customer_who_came_back_are_cancelled(
        self, ledger: Database
    ) -> None:
        """The command is written again when the customer has ended again."""
        bus = FakeBus()
        record_events(ledger, [invoice("i1", JOINED), terminated("t1", ENDED)], DUE)
        claim_all(ledger, DUE)
        record_events(ledger, [reinstated("r1", BACK)], DUE)
        assert crm_commands(ledger) == [("erase", "cancelled")]
        send_due(ledger, bus, DUE)
        assert bus.sent == []
        record_events(ledger, [terminated("t2", ENDED_AGAIN)], DUE)
        assert claim_all(ledger, later(DUE_AGAIN, seconds=-1)) == []
        claim_all(ledger, DUE_AGAIN)
        assert crm_commands(ledger) == [("erase", "cancelled"), ("erase", "unsent")]

    def test_sent_commands_of_a_customer_who_came_back_are_recalled(self, ledger: Database) -> None:
        """The recall names the same records, and is sent at once."""
        bus = FakeBus()
        erasure, recall = send_and_reopen(ledger, bus)
        assert crm_commands(ledger) == [("erase", "recalling"), ("recall", "sent")]
        assert [command.value["action"] for command in bus.sent] == ["erase", "recall"]
        assert bus.sent[1].value["command_id"] == str(recall)
        assert bus.sent[1].value["supersedes"] == str(erasure)
        assert bus.sent[1].value["records"] == bus.sent[0].value["records"]
        assert bus.sent[1].value["seq"] > bus.sent[0].value["seq"]

    def test_a_recalled_command_is_not_sent_again(self, ledger: Database) -> None:
        """Only its recall is repeated, until that is acknowledged."""
        bus = FakeBus()
        send_and_reopen(ledger, bus)
        send_due(ledger, bus, later(DUE, days=1))
        send_due(ledger, bus, later(DUE, days=2))
        assert [command.value["action"] for command in bus.sent] == ["erase", *["recall"] * 3]

    @pytest.mark.parametrize("status", ["recalled", "done"])
    def test_an_acknowledged_recall_releases_the_records(
        self, ledger: Database, status: str
    ) -> None:
        """They are commanded again when they are due, under another id."""
        erasure, recall = send_and_reopen(ledger, FakeBus())
        acknowledge(ledger, recall, status, DUE)  # type: ignore[arg-type]
        states = {row.command_id: row.state for row in select_rows(ledger, tables.command)}
        assert states[erasure] == "recalled"
        assert states[recall] in ("acknowledged", "recalled")
        assert claim_all(ledger, DUE) == []
        record_events(ledger, [terminated("t2", ENDED_AGAIN)], DUE)
        (again,) = claim_all(ledger, DUE_AGAIN)
        assert again != erasure
        assert crm_commands(ledger)[:1] == [("erase", "recalled")]
        assert ("erase", "unsent") in crm_commands(ledger)

    def test_records_due_again_wait_for_the_answer_to_their_recall(self, ledger: Database) -> None:
        """The first command may still be carried out, so the scan skips it until the recall is settled."""
        _, recall = send_and_reopen(ledger, FakeBus())
        record_events(ledger, [terminated("t2", ENDED_AGAIN)], DUE)
        assert claim_all(ledger, DUE_AGAIN) == []
        acknowledge(ledger, recall, "done", later(DUE_AGAIN, hours=1))
        assert len(claim_all(ledger, later(DUE_AGAIN, hours=1))) == 1

    def test_an_end_that_turns_out_earlier_is_scanned_again(self, ledger: Database) -> None:
        """The contact's end was commanded; then its supplier turns out to have ended earlier."""
        events = [engaged("e1", JOINED, "1"), contact_changed("e2", BACK, "1", "2")]
        record_events(ledger, events, BACK)
        claim_all(ledger, BACK)
        events.append(supplier_ended("e3", ENDED))
        record_events(ledger, events[-1:], BACK)
        claim_all(ledger, BACK)
        assert list_commands(ledger) == [
            ("procurement", "erase", "cancelled"),
            ("procurement", "erase", "unsent"),
            ("procurement", "erase", "unsent"),
        ]
        assert find_missing(ledger, events, instant(BACK)) == []

    def test_an_answer_to_the_recalled_command_itself_ends_the_recall_too(
        self, ledger: Database
    ) -> None:
        """No command is left to repeat or to escalate."""
        bus = FakeBus()
        erasure, _ = send_and_reopen(ledger, bus)
        acknowledge(ledger, erasure, "recalled", DUE)
        send_due(ledger, bus, later(DUE, days=1))
        assert [command.value["action"] for command in bus.sent] == ["erase", "recall"]

    @pytest.mark.parametrize("of_recall", [True, False])
    def test_a_completed_command_stays_completed(self, ledger: Database, of_recall: bool) -> None:
        """A command that was carried out stays done, and is not sent again (ruling 9)."""
        erasure, recall = send_and_reopen(ledger, FakeBus())
        acknowledge(ledger, recall if of_recall else erasure, "already_done", DUE)
        assert ("erase", "acknowledged") in crm_commands(ledger)
        record_events(ledger, [terminated("t2", ENDED_AGAIN)], DUE)
        assert claim_all(ledger, DUE_AGAIN) == []

    def test_a_command_completed_before_its_recall_stays_completed(self, ledger: Database) -> None:
        """The command's state shows what was done, whatever acknowledgement the recall gets."""
        erasure, recall = send_and_reopen(ledger, FakeBus())
        acknowledge(ledger, erasure, "done", DUE)
        acknowledge(ledger, recall, "done", later(DUE, hours=1))
        (row,) = select_rows(ledger, tables.command, command_id=erasure)
        assert (row.state, row.outcome, row.settled_at) == ("acknowledged", "done", instant(DUE))

    def test_a_refused_recall_loses_no_erasure(self, ledger: Database) -> None:
        """What is due again waits until an operator closes the recall, and is then commanded again."""
        erasure, recall = send_and_reopen(ledger, FakeBus())
        acknowledge(ledger, recall, "refused", DUE)
        record_events(ledger, [terminated("t2", ENDED_AGAIN)], DUE)
        assert claim_all(ledger, DUE_AGAIN) == []
        acknowledge(ledger, recall, "recalled", DUE_AGAIN)
        (again,) = claim_all(ledger, DUE_AGAIN)
        assert again != erasure

    def test_a_corrected_end_replaces_the_commands_under_it(self, ledger: Database) -> None:
        """The end was a day later: the first erasure is cancelled, the second comes a day later."""
        record_events(ledger, [invoice("i1", JOINED), terminated("t1", ENDED)], DUE)
        claim_all(ledger, DUE)
        record_events(ledger, [terminated("t2", "2020-06-02T12:00:00Z")], DUE)
        assert crm_commands(ledger) == [("erase", "cancelled")]
        assert claim_all(ledger, later(DUE, hours=23, minutes=59)) == []
        assert len(claim_all(ledger, later(DUE, days=1))) == 1

    def test_a_reopening_midway_stops_the_rest_within_a_chunk(self, ledger: Database) -> None:
        """Of 1,600 records 500 were claimed; they are cancelled, and the others never commanded."""
        record_events(ledger, [*invoices(1600), terminated("t1", ENDED)], ENDED)
        ledger.run_in_transaction(lambda c: claim_due(c, POLICY, instant(DUE), limit=1))
        assert count_commanded(ledger) == 500
        record_events(ledger, [reinstated("r1", BACK)], DUE)
        assert claim_all(ledger, DUE) == []
        assert count_commanded(ledger) == 0
        assert list_commands(ledger) == [("crm", "erase", "cancelled")]

    def test_a_reopening_midway_recalls_what_was_sent(self, ledger: Database) -> None:
        """The first chunk was sent, the second was claimed, and the third never is."""
        bus = FakeBus()
        record_events(ledger, [*invoices(1600), terminated("t1", ENDED)], ENDED)
        ledger.run_in_transaction(lambda c: claim_due(c, POLICY, instant(DUE), limit=1))
        send_due(ledger, bus, DUE)
        ledger.run_in_transaction(lambda c: claim_due(c, POLICY, instant(DUE), limit=1))
        record_events(ledger, [reinstated("r1", BACK)], DUE)
        claim_all(ledger, DUE)
        assert crm_commands(ledger) == [
            ("erase", "cancelled"),
            ("erase", "recalling"),
            ("recall", "unsent"),
        ]

    def test_a_scan_restarts_when_the_end_changes_midway(self, ledger: Database) -> None:
        """Nothing of the first chunk is lost, and nothing of the rest is commanded twice."""
        events = [*invoices(1200), terminated("t1", ENDED)]
        record_events(ledger, events, ENDED)
        ledger.run_in_transaction(lambda c: claim_due(c, POLICY, instant(DUE), limit=1))
        corrected = terminated("t2", "2020-06-01T13:00:00Z")
        record_events(ledger, [corrected], DUE)
        at = later(DUE, hours=1)
        claim_all(ledger, at)
        assert count_commanded(ledger) == 1200
        known_events = [*events[:3], *events[-1:], corrected]
        assert find_too_early(ledger, [*events, corrected], at) == []
        assert find_missing(ledger, known_events, at) == []

    def test_an_end_that_turns_out_earlier_midway_is_scanned_from_the_start(
        self, ledger: Database
    ) -> None:
        """Of 700 records 500 were claimed under the later end; all 700 must be commanded by the earlier."""
        bills = [purchase_invoice(f"p{number:03}", JOINED) for number in range(700)]
        record_events(ledger, [*bills, contact_changed("e2", BACK, "1", "2")], BACK)
        ledger.run_in_transaction(lambda c: claim_due(c, POLICY, instant(BACK), limit=1))
        record_events(ledger, [supplier_ended("e3", ENDED)], BACK)
        claim_all(ledger, BACK)
        assert count_commanded(ledger, system="procurement", state="unsent") == 701

    def test_a_suppliers_new_start_recalls_its_contacts(self, ledger: Database) -> None:
        """A parent's clock change revokes the commands for its children's records."""
        bus = FakeBus()
        record_events(ledger, [engaged("e1", JOINED, "1"), supplier_ended("e2", ENDED)], ENDED)
        claim_all(ledger, ENDED)
        send_due(ledger, bus, ENDED)
        record_events(ledger, [engaged("e3", BACK, "2")], BACK)
        assert list_commands(ledger) == [
            ("procurement", "erase", "recalling"),
            ("procurement", "recall", "unsent"),
        ]

    def test_commands_about_a_contact_that_ended_earlier_stay(self, ledger: Database) -> None:
        """A supplier's end after the contact's own, and its new start, change nothing for the contact."""
        record_events(
            ledger, [engaged("e1", JOINED, "1"), contact_changed("e2", ENDED, "1", "2")], ENDED
        )
        claim_all(ledger, ENDED)
        record_events(ledger, [supplier_ended("e3", BACK)], BACK)
        record_events(ledger, [engaged("e4", ENDED_AGAIN, "2")], ENDED_AGAIN)
        [clock] = select_rows(ledger, tables.clock, key="1/1")
        [dependent] = select_rows(ledger, tables.command_clock, clock_id=clock.clock_id)
        [row] = select_rows(ledger, tables.command, command_id=dependent.command_id)
        assert row.state == "unsent"

    def test_a_restriction_is_sent_whatever_happens_to_the_other_purpose(
        self, ledger: Database
    ) -> None:
        """Research of 2000 ends in 2020 while the customer stays; the customer's end does not stop it."""
        bus = FakeBus()
        record_events(
            ledger, [ticket("e1", "2000-03-01T12:00:00Z", shared_with="research")], JOINED
        )
        claim_all(ledger, "2020-02-29T12:00:00Z")
        assert list_commands(ledger) == [("research", "restrict", "unsent")]
        record_events(ledger, [terminated("t1", "2020-02-29T13:00:00Z")], "2020-02-29T13:00:00Z")
        send_due(ledger, bus, "2020-02-29T14:00:00Z")
        send_due(ledger, bus, "2020-03-01T14:00:00Z")
        assert {command.value["action"] for command in bus.sent} == {"restrict"}

    def test_a_cancelled_restriction_is_commanded_again(self, ledger: Database) -> None:
        """The customer had ended before; a corrected end does not revoke the restriction."""
        events = [
            ticket("e1", "2000-03-01T12:00:00Z", shared_with="research"),
            terminated("t1", "2019-06-01T12:00:00Z"),
        ]
        record_events(ledger, events, JOINED)
        claim_all(ledger, "2020-02-29T12:00:00Z")
        events.append(terminated("t2", "2019-07-01T12:00:00Z"))
        record_events(ledger, events[-1:], "2020-02-29T13:00:00Z")
        claim_all(ledger, "2020-02-29T14:00:00Z")
        assert find_missing(ledger, events, instant("2020-02-29T14:00:00Z")) == []
