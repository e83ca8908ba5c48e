"""An event's identity is unique only in its topic, so no publisher can take an identity on another topic.

Also in a ledger, and among keys, of an older version: there an identity counted over all topics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid5

import pytest

from services.ledger import tables
from services.storage.database import Database
from tests.contract.event_builders import (
    Event,
    event,
    feedback,
    invoice,
    order,
    reinstated,
    signed_up,
    terminated,
    ticket,
    ticket_resolved,
)
from tests.contract.ledger_life import LedgerLife
from tests.contract.ledgers import (
    FakeBus,
    claim_all,
    empty_database,
    record_events,
    select_rows,
    send_due,
)
from tests.contract.test_purge import ENDED, JOINED, lead

SPACE = "5b0f6bb4-6d0d-5a4e-9a57-7b6b0f7a1c0"
T0 = "2024-01-01T12:00:00Z"
DUE = "2026-06-01T12:00:00Z"


def hold(id_: str, subject: str = "visitor:1", time: str = T0) -> Event:
    hold_fields = {"subject": subject, "hold_id": "H1", "ground": "legal_claim"}
    return event(id_, "privacy.hold-placed", time, **hold_fields)


def send_all(ledger: Database, now: str = DUE) -> list[tuple[str, str]]:
    """Return everything that is sent by now."""
    bus = FakeBus()
    claim_all(ledger, now)
    send_due(ledger, bus, now)
    return sorted((command.system, command.value["action"]) for command in bus.sent)


def age_ids(ledger: Database) -> None:
    """Replace all ids by those of an older version's ledger."""
    with ledger.transaction() as connection:
        was = {row.event_id: row for row in connection.execute(tables.event.select())}
        records = list(connection.execute(tables.record.select()))
    ids = {
        identity: uuid5(UUID(SPACE + "1"), f"{row.source}\0{row.id}")
        for identity, row in was.items()
    }
    of = {
        row.record_id: uuid5(
            UUID(SPACE + "2"), f"{was[row.event_id].source}\0{was[row.event_id].id}\0{row.subject}"
        )
        for row in records
    }
    with ledger.transaction() as connection:
        for table, name, values in (
            (tables.event, "event_id", ids),
            (tables.act, "event_id", ids),
            (tables.record, "event_id", ids),
            (tables.record, "record_id", of),
            (tables.hanging, "record_id", of),
            (tables.command, "record_id", of),
            (tables.command_record, "record_id", of),
        ):
            for old, new in values.items():
                column = table.c[name]
                connection.execute(table.update().where(column == old).values({name: new}))


def test_a_hold_counts_whose_identity_another_topic_has_taken(ledger: Database) -> None:
    """A publisher of orders cannot suppress a hold, whether it publishes before, after or with it."""
    order_event, data = order("h1", T0, "9"), feedback("f1", T0)
    for batches in (
        [[order_event], [hold("h1")]],
        [[hold("h1")], [order_event]],
        [[order_event, hold("h1")]],
    ):
        empty_database(ledger)
        record_events(ledger, [data], T0)
        results = [record_events(ledger, batch, T0) for batch in batches]
        assert sum(result.new for result in results) == 2
        assert all(result.conflicts == () for result in results)
        assert "website" not in {system for system, _ in send_all(ledger)}


def test_two_topics_of_one_identity_move_a_clock_in_whatever_order(ledger: Database) -> None:
    """For equal time, source and id the start counts, which keeps data, in whatever order they arrive."""
    for batch in ([terminated("e1", T0), reinstated("e1", T0)], [reinstated("e1", T0)]):
        for moves in (batch, batch[::-1]):
            empty_database(ledger)
            for move in [*moves, terminated("e1", T0)]:
                record_events(ledger, [move], T0)
            (clock,) = select_rows(ledger, tables.clock)
            assert (clock.ended, clock.anchor_at) == (False, None)


def test_an_event_of_an_older_ledger_is_recognised_as_a_duplicate(ledger: Database) -> None:
    """With other content it is a conflict, and on another topic an event of its own."""
    record_events(ledger, [feedback("e1", T0)], T0)
    age_ids(ledger)
    again = record_events(ledger, [feedback("e1", T0)], T0)
    assert (again.new, again.duplicates, again.conflicts) == (0, 1, ())
    other = record_events(ledger, [feedback("e1", "2024-01-01T12:00:01Z")], T0)
    assert (other.new, [conflict.id for conflict in other.conflicts]) == (0, ["e1"])
    assert record_events(ledger, [hold("e1")], T0).new == 1
    assert "website" not in {system for system, _ in send_all(ledger)}


EVENTS: Sequence[Event] = [
    signed_up("e1", T0),
    ticket("e2", T0, ["8", "9"], share_with=["research"]),
    ticket_resolved("e3", "2024-02-01T12:00:00Z"),
    invoice("e4", "2024-02-01T12:00:00Z"),
    terminated("e5", "2024-03-01T12:00:00Z"),
    hold("e6", "consumer:8", "2024-01-15T12:00:00Z"),
]


def test_an_older_ledger_sends_the_same_commands(ledger: Database) -> None:
    """Its ids are replaced between recording and sweeping, and again between two sweeps."""
    command_states: list[list[Any]] = []
    for old in (False, True):
        empty_database(ledger)
        bus = FakeBus()
        for now in (T0, "2024-02-02T12:00:00Z", "2026-03-02T12:00:00Z", "2033-06-01T12:00:00Z"):
            record_events(ledger, [event for event in EVENTS if event["time"] <= now], now)
            if old:
                age_ids(ledger)
            claim_all(ledger, now)
            send_due(ledger, bus, now)
        command_states.append(
            sorted(
                (
                    command.system,
                    command.value["action"],
                    sorted(r["id"] for r in command.value["records"]),
                )
                for command in bus.sent
            )
        )
    assert command_states[0] == command_states[1]
    assert len(command_states[0]) > 5


@pytest.fixture
def life(ledger: Database) -> LedgerLife:
    return LedgerLife(ledger=ledger)


def test_a_purged_event_of_an_older_ledger_is_still_recognised(life: LedgerLife) -> None:
    """It is recognised by its content; another topic's event under its identity is new."""
    life.record_events([feedback("e1", T0)], T0)
    age_ids(life.ledger)
    life.work("2025-06-01T12:00:00Z")
    life.purge("2026-06-01T12:00:00Z")
    assert select_rows(life.ledger, tables.event) == []
    at = "2026-06-02T12:00:00Z"
    result = life.record_events([feedback("e1", T0), hold("e1", time=at)], at)
    assert (result.new, result.duplicates, result.conflicts) == (1, 1, ())


def test_a_restored_person_of_an_older_ledger_is_purged_again(life: LedgerLife) -> None:
    """Its old ids are purged as well."""
    objection = {"subject": "prospect:P-9", "purpose": "acquisition", "objection_id": "b1"}
    raised = event("o1", "privacy.objection-raised", ENDED, **objection)
    decided = event("o2", "privacy.objection-decided", ENDED, **objection, outcome="upheld")
    life.record_events([lead("l1", JOINED)], JOINED)
    life.record_events([raised, decided], ENDED)
    age_ids(life.ledger)
    for year in range(2010, 2023):
        life.work(f"{year}-12-01T12:00:00Z")
    life.purge("2023-01-15T12:00:00Z")
    assert "P-9" not in life.dump()
    at = "2023-02-01T12:00:00Z"
    result = life.record_events([lead("l1", JOINED), raised, lead("l2", at)], at)
    assert (result.new, result.duplicates) == (1, 2)
    for year in range(2023, 2040):
        life.work(f"{year}-02-01T12:00:00Z")
        life.work(f"{year}-12-01T12:00:00Z")
    life.purge("2040-01-01T12:00:00Z")
    life.seal_evidence("2040-01-01T12:00:00Z")
    assert "P-9" not in life.dump()
