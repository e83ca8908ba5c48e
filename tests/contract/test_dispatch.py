"""The outbox is sent: no command is `sent` before the broker acknowledged it, and none is lost.

Each on SQLite and on PostgreSQL. The customer of most tests has ended on 1 June 2020 at 12:00Z, so that
R1 is due a lead time before 1 June 2022 at 12:00Z.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest

from services.deleter.dispatch import LEASE, RetryPolicy, dispatch, lease
from services.deleter.message import CommandMessage
from services.deleter.paused_systems import PausedSystems
from services.kafka.record_metadata import RecordMetadata
from services.ledger import tables
from services.storage.database import Database
from tests.contract.event_builders import feedback, invoice, order, reinstated, terminated
from tests.contract.ledgers import (
    POLICY,
    FakeBus,
    acknowledge,
    claim_all,
    instant,
    later,
    record_events,
    roll_back,
    select_rows,
    send_due,
)

JOINED = "2020-01-01T12:00:00Z"
ENDED = "2020-06-01T12:00:00Z"
BACK = "2021-01-01T12:00:00Z"
DUE = "2022-05-31T12:00:00Z"
FAR = "2060-01-01T00:00:00Z"


class _UnavailableBus:
    """A bus that cannot be reached."""

    def send(self, commands: Sequence[CommandMessage]) -> Sequence[RecordMetadata]:
        raise ConnectionError("no broker")


class TestRelaying:
    """No command is `sent` before the broker acknowledged it, and none is lost."""

    def test_after_a_crash_a_leased_command_is_sent_later(self, ledger: Database) -> None:
        """It is sent when the lease has run out, under the same id."""
        bus = FakeBus()
        record_events(ledger, [feedback("e1", JOINED)], JOINED)
        (identity,) = claim_all(ledger, FAR)
        ledger.run_in_transaction(lambda c: lease(c, instant(FAR), PausedSystems(), limit=9))
        send_due(ledger, bus, later(FAR, seconds=59))
        assert bus.sent == []
        send_due(ledger, bus, instant(FAR) + LEASE)
        assert [command.value["command_id"] for command in bus.sent] == [str(identity)]

    def test_a_failed_delivery_marks_nothing_as_sent(self, ledger: Database) -> None:
        """The whole batch is sent again."""
        record_events(ledger, [feedback("e1", JOINED), feedback("e2", ENDED)], JOINED)
        claim_all(ledger, FAR)
        leased = ledger.run_in_transaction(
            lambda c: lease(c, instant(FAR), PausedSystems(), limit=9)
        )
        with pytest.raises(ConnectionError):
            ledger.run_in_transaction(
                lambda c: dispatch(
                    c, leased, _UnavailableBus(), POLICY, instant(FAR), RetryPolicy()
                )
            )
        assert {row.state for row in select_rows(ledger, tables.command)} == {"sending"}
        assert select_rows(ledger, tables.message) == []
        bus = FakeBus()
        send_due(ledger, bus, instant(FAR) + LEASE)
        assert len(bus.sent) == 2

    def test_a_crash_after_the_delivery_repeats_the_same_id(self, ledger: Database) -> None:
        """Sending twice is harmless, losing a command is not."""
        bus = FakeBus()
        record_events(ledger, [feedback("e1", JOINED)], JOINED)
        claim_all(ledger, FAR)
        leased = ledger.run_in_transaction(
            lambda c: lease(c, instant(FAR), PausedSystems(), limit=9)
        )
        roll_back(ledger, lambda c: dispatch(c, leased, bus, POLICY, instant(FAR), RetryPolicy()))
        send_due(ledger, bus, instant(FAR) + LEASE)
        assert len(bus.sent) == 2
        assert len({command.value["command_id"] for command in bus.sent}) == 1

    def test_a_clock_that_opens_between_lease_and_dispatch_stops_the_command(
        self, ledger: Database
    ) -> None:
        """Sending checks the facts again, inside the lock."""
        bus = FakeBus()
        record_events(ledger, [invoice("i1", JOINED), terminated("t1", ENDED)], DUE)
        claim_all(ledger, DUE)
        leased = ledger.run_in_transaction(
            lambda c: lease(c, instant(DUE), PausedSystems(), limit=9)
        )
        record_events(ledger, [reinstated("r1", BACK)], DUE)
        ledger.run_in_transaction(
            lambda c: dispatch(c, leased, bus, POLICY, instant(DUE), RetryPolicy())
        )
        assert bus.sent == []

    def test_an_acknowledgement_between_lease_and_dispatch_stops_the_repetition(
        self, ledger: Database
    ) -> None:
        """An acknowledged command is not sent again."""
        bus = FakeBus()
        record_events(ledger, [feedback("e1", JOINED)], JOINED)
        (identity,) = claim_all(ledger, FAR)
        send_due(ledger, bus, FAR)
        at = later(FAR, hours=1)
        leased = ledger.run_in_transaction(lambda c: lease(c, at, PausedSystems(), limit=9))
        assert leased == [identity]
        acknowledge(ledger, identity, "done", at)
        ledger.run_in_transaction(lambda c: dispatch(c, leased, bus, POLICY, at, RetryPolicy()))
        assert len(bus.sent) == 1

    def test_a_paused_system_gets_nothing_and_a_drained_one_nothing_new(
        self, ledger: Database
    ) -> None:
        """A command that was sent before is repeated to a drained system."""
        record_events(ledger, [feedback("e1", JOINED)], JOINED)
        claim_all(ledger, FAR)
        paused, drained = (
            PausedSystems(paused=frozenset({"website"})),
            PausedSystems(drained=frozenset({"website"})),
        )
        for stops in (paused, drained):
            leased = partial(lease, now=instant(FAR), paused=stops, limit=9)
            assert ledger.run_in_transaction(leased) == []
        send_due(ledger, FakeBus(), FAR)
        at = later(FAR, days=1)
        assert ledger.run_in_transaction(lambda c: lease(c, at, paused, limit=9)) == []
        assert len(ledger.run_in_transaction(lambda c: lease(c, at, drained, limit=9))) == 1

    def test_two_dispatches_of_one_lease_raise_the_attempt_twice(self, ledger: Database) -> None:
        """The second reads what the first has marked."""
        bus = FakeBus()
        record_events(ledger, [feedback("e1", JOINED)], JOINED)
        leased = claim_all(ledger, FAR)
        ledger.run_in_transaction(lambda c: lease(c, instant(FAR), PausedSystems(), limit=9))
        for _ in range(2):
            ledger.run_in_transaction(
                lambda c: dispatch(c, leased, bus, POLICY, instant(FAR), RetryPolicy())
            )
        assert [command.value["attempt"] for command in bus.sent] == [1, 2]

    def test_a_pseudonymised_records_erasure_names_no_person(self, ledger: Database) -> None:
        """Neither its key nor its business keys do (ruling 11 of the design)."""
        bus = FakeBus()
        record_events(ledger, [order("o1", JOINED)], JOINED)
        claim_all(ledger, "2021-12-31T12:00:00Z")
        for identity in [row.command_id for row in select_rows(ledger, tables.command)]:
            send_due(ledger, FakeBus(), "2021-12-31T12:00:00Z")
            acknowledge(ledger, identity, "done", "2021-12-31T12:00:00Z")
        claim_all(ledger, FAR)
        send_due(ledger, bus, FAR)
        (erasure,) = [command for command in bus.sent if command.system == "research"]
        assert erasure.value["action"] == "erase"
        assert erasure.value["subject"] is None
        assert erasure.key == "o1"
        assert erasure.value["records"][0]["keys"] == {"order_id": "o1"}
