"""The ledger keeps each message that was sent, with its commands, until the last of them is purged.

Each on SQLite and on PostgreSQL.
"""

from __future__ import annotations

from uuid import UUID

from services.ledger import tables
from services.storage.database import Database
from tests.contract.event_builders import feedback
from tests.contract.ledger_life import LedgerLife
from tests.contract.ledgers import (
    FakeBus,
    claim_all,
    later,
    record_events,
    select_rows,
    send_due,
    visitors_of_a_lane,
)

JOINED, FAR = "2020-01-01T12:00:00Z", "2060-01-01T00:00:00Z"
FIRST, SECOND, THIRD = visitors_of_a_lane(3)


def packed(*subjects: str, ledger: Database) -> bytes:
    """Return the ids of the subjects' commands, as a message has them."""
    commands = {row.subject: row.command_id for row in select_rows(ledger, tables.command)}
    ids: list[UUID] = [commands[f"visitor:{subject}"] for subject in subjects]
    return b"".join(command_id.bytes for command_id in ids)


def test_commands_in_one_place_are_one_message(ledger: Database) -> None:
    """Their ids are in the order of the message, and each command names its message and place."""
    record_events(ledger, [feedback("e1", JOINED, visitor=FIRST)], JOINED)
    record_events(ledger, [feedback("e2", JOINED, visitor=SECOND)], JOINED)
    claim_all(ledger, FAR)
    send_due(ledger, FakeBus(), FAR)
    [message] = select_rows(ledger, tables.message)
    assert (message.system, message.action, message.offset) == ("website", "erase", 0)
    places = {row.item: row for row in select_rows(ledger, tables.command)}
    assert message.commands == places[0].command_id.bytes + places[1].command_id.bytes
    assert {row.message_id for row in places.values()} == {message.message_id}


def test_a_repetition_is_in_a_message_of_its_own(ledger: Database) -> None:
    """The earlier message still has the command, and the command names the later one."""
    record_events(ledger, [feedback("e1", JOINED, visitor=FIRST)], JOINED)
    claim_all(ledger, FAR)
    bus = FakeBus()
    send_due(ledger, bus, FAR)
    record_events(ledger, [feedback("e2", JOINED, visitor=SECOND)], FAR)
    claim_all(ledger, later(FAR, minutes=2))
    send_due(ledger, bus, later(FAR, minutes=2))
    earlier, repeated = select_rows(ledger, tables.message)
    assert earlier.commands == packed(FIRST, ledger=ledger)
    assert sorted([repeated.commands[:16], repeated.commands[16:]]) == sorted(
        [packed(FIRST, ledger=ledger), packed(SECOND, ledger=ledger)]
    )
    rows = select_rows(ledger, tables.command)
    assert {row.message_id for row in rows} == {repeated.message_id}


def test_a_message_is_purged_with_the_last_of_its_commands(ledger: Database) -> None:
    """Until then, the ids of purged commands are zeros, and the others keep their places."""
    life = LedgerLife(ledger=ledger)
    at = "2022-06-01T12:00:00Z"
    life.record_events(
        [feedback(f"e{id_}", JOINED, visitor=id_) for id_ in (FIRST, SECOND, THIRD)], JOINED
    )
    claim_all(ledger, at)
    open_command = UUID(bytes=packed(SECOND, ledger=ledger))
    life.work(at, without={open_command})
    [erasures] = select_rows(ledger, tables.message, action="erase")
    place = erasures.commands.index(open_command.bytes)
    assert life.purge("2022-08-01T12:00:00Z")["messages"] >= 1
    [left] = select_rows(ledger, tables.message, action="erase")
    assert left.commands == bytes(place) + open_command.bytes + bytes(32 - place)
    life.work("2022-08-01T12:00:00Z")
    life.purge("2022-10-01T12:00:00Z")
    assert select_rows(ledger, tables.message) == []
