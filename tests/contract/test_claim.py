"""What is due is commanded at its instant, once, under an id derived from it; also what arrives late.

Each on SQLite and on PostgreSQL. The customer of most tests has ended on 1 June 2020 at 12:00Z, so that
R1 is due a lead time before 1 June 2022 at 12:00Z.
"""

from __future__ import annotations

import pytest

from services.deleter.claim import claim_due
from services.deleter.dispatch import RetryPolicy, dispatch, lease
from services.deleter.paused_systems import PausedSystems
from services.ledger import tables
from services.storage.database import Database
from tests.contract.deleter_invariants import find_missing
from tests.contract.event_builders import (
    Event,
    feedback,
    invoice,
    order,
    terminated,
    ticket,
    ticket_resolved,
)
from tests.contract.ledgers import (
    POLICY,
    FakeBus,
    claim_all,
    empty_database,
    instant,
    later,
    list_commands,
    record_events,
    roll_back,
    select_rows,
    send_due,
)

JOINED = "2020-01-01T12:00:00Z"
ENDED = "2020-06-01T12:00:00Z"
DUE = "2022-05-31T12:00:00Z"
FAR = "2060-01-01T00:00:00Z"


def invoices(count: int, start: int = 0) -> list[Event]:
    return [invoice(f"i{number:05}", JOINED) for number in range(start, start + count)]


def crm_commands(ledger: Database) -> list[tuple[str, str]]:
    return [(action, state) for system, action, state in list_commands(ledger) if system == "crm"]


def count_commanded(ledger: Database, **values: object) -> int:
    """Return how many records the live commands cover."""
    ids = {row.command_id for row in select_rows(ledger, tables.command, **values)}
    return sum(row.command_id in ids for row in select_rows(ledger, tables.member, live=True))


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


class TestDue:
    """A command is neither early nor late."""

    def test_nothing_is_commanded_a_microsecond_before_it_is_due(self, ledger: Database) -> None:
        """The command is written at the due instant itself."""
        record_events(ledger, [invoice("i1", JOINED), terminated("t1", ENDED)], ENDED)
        assert claim_all(ledger, later(DUE, microseconds=-1)) == []
        assert len(claim_all(ledger, DUE)) == 1
        assert crm_commands(ledger) == [("erase", "unsent")]

    def test_a_due_record_is_commanded_once(self, ledger: Database) -> None:
        """Further rounds of the deleter add no command."""
        record_events(ledger, [invoice("i1", JOINED), terminated("t1", ENDED)], ENDED)
        claim_all(ledger, FAR)
        assert claim_all(ledger, FAR) == []
        assert list_commands(ledger) == [
            ("accounting", "erase", "unsent"),
            ("crm", "erase", "unsent"),
        ]

    def test_a_minimum_is_kept_to_the_microsecond(self, ledger: Database) -> None:
        """The invoice of 2020 is kept through 2027."""
        record_events(ledger, [invoice("i1", JOINED)], JOINED)
        assert claim_all(ledger, "2027-12-31T22:59:59.999999Z") == []
        claim_all(ledger, "2027-12-31T23:00:00Z")
        (row,) = select_rows(ledger, tables.command)
        assert row.not_before == instant("2027-12-31T23:00:00Z")
        assert row.system == "accounting"

    def test_a_command_with_a_minimum_is_not_sent_before_it(self, ledger: Database) -> None:
        """Sending checks `not_before` again, since its clock may be behind the claim's."""
        bus = FakeBus()
        record_events(ledger, [invoice("i1", JOINED)], JOINED)
        claim_all(ledger, "2027-12-31T23:00:00Z")
        early = "2027-12-31T22:59:59Z"
        at = instant(early)
        (identity,) = [row.command_id for row in select_rows(ledger, tables.command)]
        ledger.run_in_transaction(
            lambda c: lease(c, instant("2027-12-31T23:00:00Z"), PausedSystems(), limit=9)
        )
        ledger.run_in_transaction(lambda c: dispatch(c, [identity], bus, POLICY, at, RetryPolicy()))
        assert bus.sent == []
        send_due(ledger, bus, "2027-12-31T23:05:00Z")
        assert len(bus.sent) == 1

    def test_a_scan_that_continues_with_an_earlier_time_loses_nothing(
        self, ledger: Database
    ) -> None:
        """Two deleters read the time apart: the one that is behind may take the scan's second chunk.

        An application's clock has two check times, at a month and at a year; the scan of both continues
        at a time between the two.
        """
        events: list[Event] = []
        for number in range(501):
            events.append(_application(f"a{number:05}", "1"))
        events.append(_closed("c1", "1"))
        record_events(ledger, events, "2024-02-01T12:00:00Z")
        at_a_year, a_moment_before = "2025-01-31T12:00:00Z", "2025-01-31T11:59:59Z"
        ledger.run_in_transaction(lambda c: claim_due(c, POLICY, instant(at_a_year), limit=1))
        claim_all(ledger, a_moment_before)
        claim_all(ledger, later(at_a_year, days=3650))
        assert find_missing(ledger, events, later(at_a_year, days=3650)) == []

    def test_no_command_names_more_than_500_records(self, ledger: Database) -> None:
        """The other records are in the next command."""
        record_events(ledger, [*invoices(1001), terminated("t1", ENDED)], ENDED)
        claim_all(ledger, DUE)
        sizes = sorted(
            len(select_rows(ledger, tables.member, command_id=row.command_id))
            for row in select_rows(ledger, tables.command)
        )
        assert sizes == [1, 500, 500]

    @pytest.mark.parametrize("count", [499, 500, 501, 1000])
    def test_a_scan_ends_with_its_last_record(self, ledger: Database, count: int) -> None:
        """This holds even where the last chunk is full."""
        record_events(ledger, [*invoices(count), terminated("t1", ENDED)], ENDED)
        claim_all(ledger, DUE)
        assert count_commanded(ledger) == count
        (clock,) = select_rows(ledger, tables.clock)
        assert (clock.cursor, clock.next_due) == (None, None)


class TestIds:
    """The same facts give the same commands, on whichever ledger they are computed."""

    def test_ids_and_numbers_are_the_same_in_another_ledger(self, ledger: Database) -> None:
        """The order in which the events arrived does not matter."""
        events = [
            *invoices(7),
            ticket("e1", JOINED, ["1", "2"]),
            ticket_resolved("e2", ENDED),
            terminated("t1", ENDED),
            order("o1", JOINED),
        ]
        record_events(ledger, events, ENDED)
        claim_all(ledger, FAR)
        first = {row.command_id for row in select_rows(ledger, tables.command)}
        empty_database(ledger)
        record_events(ledger, events[::-1], ENDED)
        claim_all(ledger, FAR)
        assert {row.command_id for row in select_rows(ledger, tables.command)} == first

    def test_a_retry_keeps_the_id_and_raises_the_attempt(self, ledger: Database) -> None:
        """It is retried until it is acknowledged."""
        bus = FakeBus()
        record_events(ledger, [feedback("e1", JOINED)], JOINED)
        claim_all(ledger, FAR)
        for hours in (0, 24, 48):
            send_due(ledger, bus, later(FAR, hours=hours))
        assert len({command.value["command_id"] for command in bus.sent}) == 1
        assert [command.value["attempt"] for command in bus.sent] == [1, 2, 3]
        assert len(select_rows(ledger, tables.message)) == 3

    def test_numbers_rise_by_system_and_subject(self, ledger: Database) -> None:
        """Numbers start at 1 and have no gap."""
        record_events(
            ledger, [feedback(f"e{n}", f"2020-01-0{n}T12:00:00Z") for n in (1, 2, 3)], JOINED
        )
        for day in (1, 2, 3):
            claim_all(ledger, f"2021-01-0{day}T12:00:00Z")
        assert sorted(row.seq for row in select_rows(ledger, tables.command)) == [1, 2, 3]


class TestLateArrivals:
    """A record that arrives under a clock that was already scanned is due again (ruling 2)."""

    def test_a_record_that_arrives_after_the_scan_is_commanded(self, ledger: Database) -> None:
        """It is commanded at the next sweep, without waiting for the clock's next check time."""
        record_events(ledger, [*invoices(3), terminated("t1", ENDED)], ENDED)
        claim_all(ledger, DUE)
        record_events(ledger, invoices(1, start=9), DUE)
        assert len(claim_all(ledger, DUE)) == 1
        assert count_commanded(ledger) == 4

    def test_a_record_that_arrives_between_two_chunks_is_commanded(self, ledger: Database) -> None:
        """It does not matter whether the scan has passed the record's key."""
        events = [*invoices(1100), terminated("t1", ENDED)]
        record_events(ledger, events, ENDED)
        ledger.run_in_transaction(lambda c: claim_due(c, POLICY, instant(DUE), limit=1))
        late = invoices(40, start=5000)
        record_events(ledger, late, DUE)
        claim_all(ledger, DUE)
        assert count_commanded(ledger) == 1140

    def test_a_record_that_arrives_before_the_first_check_time_waits_for_it(
        self, ledger: Database
    ) -> None:
        """It is not checked before the clock's first check time."""
        record_events(ledger, [terminated("t1", ENDED)], ENDED)
        record_events(ledger, invoices(1), ENDED)
        assert claim_all(ledger, later(DUE, seconds=-1)) == []
        assert len(claim_all(ledger, DUE)) == 1

    def test_the_end_may_arrive_after_it_is_due(self, ledger: Database) -> None:
        """Everything that depends on it is then due at once."""
        record_events(ledger, invoices(3), FAR)
        record_events(ledger, [terminated("t1", ENDED)], FAR)
        claim_all(ledger, FAR)
        assert count_commanded(ledger, system="crm") == 3

    def test_a_late_record_waits_for_the_second_check_time_with_the_others(
        self, ledger: Database
    ) -> None:
        """Each late record gets all its obligations: research's pseudonym and the erasures of a ticket."""
        events = [
            ticket("e1", JOINED, ["1", "2"], shared_with=["repair", "research"]),
            ticket_resolved("e2", JOINED),
            terminated("t1", ENDED),
        ]
        record_events(ledger, events[1:], ENDED)
        for at in ("2020-07-01T12:00:00Z", "2022-06-01T12:00:00Z"):
            claim_all(ledger, at)
            record_events(ledger, events[:1], at)
            claim_all(ledger, at)
            assert find_missing(ledger, events, instant(at)) == []

    def test_a_crash_of_the_claim_leaves_everything_due(self, ledger: Database) -> None:
        """Commands, their records and the scan's progress commit together."""
        record_events(ledger, [*invoices(700), terminated("t1", ENDED)], ENDED)
        roll_back(ledger, lambda c: claim_due(c, POLICY, instant(DUE), limit=1))
        assert count_commanded(ledger) == 0
        claim_all(ledger, DUE)
        assert count_commanded(ledger) == 700
