"""A claim may lease its own commands for sending, and the newest due record is claimed with the oldest.

Each on SQLite and on PostgreSQL. Feedback of 1 January 2020 at 12:00Z is due, under D5, a lead time
before 1 January 2021.
"""

from __future__ import annotations

from datetime import timedelta

from services.deleter.claim import ClaimResult, claim_due
from services.deleter.command_records import NOTHING_CLAIMED
from services.deleter.dispatch import RetryPolicy, dispatch, lease
from services.deleter.message import CommandMessage
from services.deleter.paused_systems import PausedSystems
from services.ledger import tables
from services.ledger.outbox import LeaseRequest
from services.storage.bulk import update_each
from services.storage.database import Database
from tests.contract.event_builders import feedback, order
from tests.contract.ledgers import POLICY, FakeBus, claim_all, instant, record_events, select_rows

JOINED = "2020-01-01T12:00:00Z"
FAR = "2060-01-01T00:00:00Z"


def _claim(ledger: Database, *, room: int, stopped: frozenset[str] = frozenset()) -> ClaimResult:
    lease_request = LeaseRequest(
        until=instant(FAR) + timedelta(seconds=60), room=room, stopped_systems=stopped
    )
    return ledger.run_in_transaction(
        lambda c: claim_due(c, POLICY, instant(FAR), limit=100, lease=lease_request)
    )


def _sent(ledger: Database, claimed: ClaimResult, *, sent: bool) -> list[CommandMessage]:
    bus = FakeBus()
    known = claimed.known if sent else NOTHING_CLAIMED
    ledger.run_in_transaction(
        lambda c: dispatch(c, list(claimed.leased), bus, POLICY, instant(FAR), RetryPolicy(), known)
    )
    return bus.sent


def test_commands_leased_by_a_claim_are_not_dispatched_by_another_deleter(ledger: Database) -> None:
    """It is `sending` from the claim's commit on, since it may be on the bus after any crash."""
    record_events(ledger, [feedback("e1", JOINED)], JOINED)
    claimed = _claim(ledger, room=10)
    assert list(claimed.leased) == list(claimed.commands)
    assert [row.state for row in select_rows(ledger, tables.command)] == ["sending"]
    at = instant(FAR)
    assert ledger.run_in_transaction(lambda c: lease(c, at, PausedSystems(), limit=9)) == []
    at += timedelta(seconds=60)
    assert ledger.run_in_transaction(lambda c: lease(c, at, PausedSystems(), limit=9)) == list(
        claimed.commands
    )


def test_a_claim_takes_no_more_than_there_is_room_for(ledger: Database) -> None:
    """The cap is kept, and the other commands stay in the outbox."""
    record_events(ledger, [feedback("e1", JOINED), feedback("e2", "2020-01-01T12:00:01Z")], JOINED)
    claimed = _claim(ledger, room=1)
    assert (len(claimed.commands), len(claimed.leased)) == (2, 1)
    assert sorted(row.state for row in select_rows(ledger, tables.command)) == ["sending", "unsent"]


def test_a_claim_takes_nothing_for_a_stopped_system(ledger: Database) -> None:
    """A paused or drained system gets nothing new."""
    record_events(ledger, [feedback("e1", JOINED)], JOINED)
    claimed = _claim(ledger, room=10, stopped=frozenset({"website"}))
    assert not claimed.leased
    assert [row.state for row in select_rows(ledger, tables.command)] == ["unsent"]


def test_the_message_of_a_claim_equals_the_one_read_from_the_ledger(
    ledger: Database,
) -> None:
    """The message from a claim's own events equals the one made by reading them again."""
    record_events(ledger, [feedback("e1", JOINED), order("o1", JOINED)], JOINED)
    claimed = _claim(ledger, room=10)
    first, again = _sent(ledger, claimed, sent=True), _sent(ledger, claimed, sent=False)
    assert len(first) == len(claimed.commands) > 1
    assert [(command.key, {**command.value, "attempt": 2}) for command in first] == [
        (command.key, command.value) for command in again
    ]


def test_the_latest_due_is_claimed_with_the_oldest(ledger: Database) -> None:
    """Of eight records that fit, seven have been due for longest, and one became due last."""
    record_events(
        ledger,
        [feedback(f"e{second}", f"2020-01-01T12:00:{second:02}Z") for second in range(10, 40)],
        JOINED,
    )
    ledger.run_in_transaction(lambda c: claim_due(c, POLICY, instant(FAR), limit=8))
    claimed = sorted(row.due_at.second for row in select_rows(ledger, tables.command))
    assert claimed == [10, 11, 12, 13, 14, 15, 16, 39]


def test_a_lease_takes_no_more_than_so_many_records_and_always_a_command(ledger: Database) -> None:
    """Of three commands of one record each, two fit into two records, and one into none."""
    record_events(ledger, [feedback(f"e{n}", f"2020-01-01T12:00:0{n}Z") for n in range(3)], JOINED)
    claim_all(ledger, FAR)
    at = instant(FAR)
    assert (
        len(ledger.run_in_transaction(lambda c: lease(c, at, PausedSystems(), limit=9, records=2)))
        == 2
    )
    assert (
        len(ledger.run_in_transaction(lambda c: lease(c, at, PausedSystems(), limit=9, records=0)))
        == 1
    )
    assert (
        ledger.run_in_transaction(lambda c: lease(c, at, PausedSystems(), limit=9, records=2)) == []
    )


def test_each_row_gets_its_own_values(ledger: Database) -> None:
    """Rows are found by their key, and other rows stay unchanged."""
    record_events(
        ledger, [feedback("e1", JOINED), feedback("e2", JOINED), feedback("e3", JOINED)], JOINED
    )
    first, second, third = sorted(row.record_id for row in select_rows(ledger, tables.record))
    changes = [
        {"record_id": first, "next_due": instant(FAR)},
        {"record_id": third, "next_due": None},
    ]
    ledger.run_in_transaction(lambda c: update_each(c, tables.record, changes))
    due = {row.record_id: row.next_due for row in select_rows(ledger, tables.record)}
    assert due == {first: instant(FAR), second: instant("2020-12-31T12:00:00Z"), third: None}
